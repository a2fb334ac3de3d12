"""flwr_swarm.report."""
