"""flwr_swarm.encryption."""
