"""Import what warns while it is imported, before warnings become errors."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Flower's typer still uses a deprecated name of click's
    import flwr_swarm.flower.replay
    import flwr_swarm.flower.state

__all__ = ["flwr_swarm"]
