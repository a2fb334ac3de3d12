"""flwr_swarm.privacy."""
