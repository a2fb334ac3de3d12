"""flwr_swarm.chain."""
