"""What tests of the deployment engine share."""

from pathlib import Path

from flwr_swarm.commands import policies
from flwr_swarm.deployment.consortium import Local

TINY = Path(__file__).parent / "tiny_app"


def new(path, members=3, wanted=None):
    """A consortium with the default terms, or with those that an app wants."""
    terms = policies.default_terms(members) if wanted is None else wanted.terms
    settings = () if wanted is None else wanted.policy
    return Local.create(
        path,
        members=members,
        terms=terms,
        policy=lambda t: policies.adjusted(policies.default_policy(members, t), settings),
    )
