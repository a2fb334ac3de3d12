"""What tests of the deployment engine share."""

from pathlib import Path

from flwr_swarm.commands import policies
from flwr_swarm.deployment.consortium import Local

TINY = Path(__file__).parent / "tiny_app"


def new(path, members=3):
    return Local.create(
        path,
        members=members,
        terms=policies.default_terms(members),
        policy=lambda terms: policies.default_policy(members, terms),
    )
