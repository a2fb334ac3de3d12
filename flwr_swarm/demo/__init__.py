"""flwr_swarm.demo."""
