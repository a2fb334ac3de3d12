"""The strategy that a swarm wraps: what its options say, and where its own state stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedProx, Strategy

from .._exceptions import ConfigurationError
from ..encryption import SharedNoise
from ..protocol.hashing import Arrays
from .clock import Clock
from .founding import Swarm
from .replay import Spec, require_spec, restore, server_state, spec_of
from .trips import MemberGrid


@dataclass(frozen=True, kw_only=True)
class Wrapped:
    """A Flower strategy, as the relay asks it.

    Parameters
    ----------
    strategy : Strategy
    encrypted : bool
        Whether it works on sums; then it must be one that members can replay.
    spec : Spec
        The step that it takes.
    """

    strategy: Strategy
    encrypted: bool
    spec: Spec = field(init=False)

    def __post_init__(self) -> None:
        spec = require_spec(self.strategy) if self.encrypted else spec_of(self.strategy)
        named = spec or Spec(name=type(self.strategy).__name__, parameters={})
        object.__setattr__(self, "spec", named)

    @property
    def weight_key(self) -> str:
        """Metric that holds the number of training examples."""
        return str(self._option("weighted_by_key", "num-examples"))

    def available(self, default: int) -> int:
        """Nodes that it waits for."""
        return int(self._option("min_available_nodes", default))

    def sampled(self, members: int) -> int:
        """Members that it trains in a round, of so many."""
        fraction = float(self._option("fraction_train", 1.0))
        fewest = int(self._option("min_train_nodes", 1))
        return min(members, max(int(members * fraction), fewest))

    def sampling(self, grid: Grid, swarm: Swarm, least: str, clock: Clock) -> Grid:
        """The grid to sample from: as many members as the strategy waits for, or a quorum.

        Parameters
        ----------
        least : str
            Name of the option with the fewest nodes for this purpose.
        """
        members = MemberGrid(
            grid,
            swarm.nodes.values(),
            needed=max(int(self._option(name, 1)) for name in ("min_available_nodes", least)),
            quorum=max(swarm.policy.min_included, swarm.policy.threshold),
            seconds=swarm.policy.seal_seconds,
            clock=clock,
        )
        return cast(Grid, members)

    def state(self) -> Arrays:
        """Its server state, which members recompute beside the model; empty where they do not."""
        return server_state(self.strategy) if self.encrypted else {}

    def restore(self, model: Arrays, state: Arrays) -> None:
        """Put it where it stands before it steps from `model`."""
        if self.encrypted:
            restore(self.strategy, model, state)

    def _option(self, name: str, default: Any) -> Any:
        return getattr(self.strategy, name, default)


def check_one_step(noise: SharedNoise | None, strategy: Strategy, interval: object) -> None:
    """Refuse, beside shared noise, what lets members take more than one local step.

    Raises
    ------
    ConfigurationError
    """
    unfit = "interval=..." if interval is not None else None
    unfit = "FedProx" if isinstance(strategy, FedProx) else unfit
    if noise is not None and unfit is not None:
        raise ConfigurationError(
            f"with shared noise a round is one local step, which {unfit} has no use for; use "
            "FedAvg, FedAvgM, FedAdam, FedYogi or FedAdagrad, without an interval"
        )
