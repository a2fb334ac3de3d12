"""What holds for every test: the machine may be busy, so Hypothesis limits no time."""

from hypothesis import HealthCheck, settings

settings.register_profile("flwr_swarm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("flwr_swarm")
