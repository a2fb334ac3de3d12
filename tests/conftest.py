"""What holds for every test: Hypothesis sets no deadlines, since the machine may be busy."""

from hypothesis import settings

settings.register_profile("flwr_swarm", deadline=None)
settings.load_profile("flwr_swarm")
