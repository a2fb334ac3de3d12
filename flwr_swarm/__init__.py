"""flwr_swarm: swarm learning for Flower."""
