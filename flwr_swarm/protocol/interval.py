"""How long members train between two rounds: longer while the mean loss falls, shorter when not."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from .._exceptions import ConfigurationError
from .stopping import Finished, check_patience, mean


@dataclass(frozen=True, kw_only=True)
class AdaptiveInterval:
    """The synchronisation interval, adapted to the mean loss on the members' validation data.

    HPE Swarm Learning calls this adaptive sync: ``SwarmCallback(syncFrequency=start,
    useAdaptiveSync=True, adsValData=...)`` changes the next sync frequency after each
    synchronisation by the performance on validation data (its user guide, "How to Swarm enable an
    ML algorithm"). Its rule is not published; this is ours. Here all members train equally long,
    and each validates on its own held-out data inside its train function.

    A round's mean *falls* if it is lower by more than `min_delta` than the lowest of the
    `patience` means before it: then the interval grows. After `patience` rounds in a row without
    a fall it *stalls*: then the interval shrinks. The same means always lead to the same interval.

    Parameters
    ----------
    metric : str
        Name under which the train function returns the loss; lower is better.
    shortest, longest : int
        Bounds of the interval, in whatever unit the train function takes under `key`; from 1.
    start : int
        The first round's, within the bounds: HPE's ``syncFrequency``.
    grow : float
        Factor above 1; the interval grows by 1 at least.
    shrink : float
        Factor between 0 and 1; the interval shrinks by 1 at least.
    patience : int
        Rounds, at least 1.
    min_delta : float
        At least 0.
    key : str
        Entry of the train message's config that holds the interval.

    Notes
    -----
    The train function must read the interval from the message's config, and give the same number
    to its loop and to ``make_private(epochs=...)``, which charges for it and lets the loop make no
    more steps than were charged. The interval is the same for all: updates of members that were
    asked otherwise are not added up. A relay that asks for longer training spends the sites'
    budgets faster, and never beyond them.
    """

    metric: str = "val-loss"
    shortest: int = 1
    longest: int
    start: int
    grow: float = 2.0
    shrink: float = 0.5
    patience: int = 1
    min_delta: float = 0.0
    key: str = "local-epochs"

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.start <= self.longest:
            raise ConfigurationError(
                "the interval needs 1 <= shortest <= start <= longest, got "
                f"shortest={self.shortest}, start={self.start}, longest={self.longest}"
            )
        if not (math.isfinite(self.grow) and self.grow > 1 and 0 < self.shrink < 1):
            raise ConfigurationError(
                f"the interval needs grow > 1 > shrink > 0, got grow={self.grow}, "
                f"shrink={self.shrink}"
            )
        if not self.key:
            raise ConfigurationError("the interval needs a key in the train config, got ''")
        check_patience(self.patience, self.min_delta)

    def after(self, rounds: Iterable[Finished]) -> int:
        """The next round's interval. Rounds that led to no model change nothing.

        Raises
        ------
        UnusableMetric
            If a round has no such mean, or one that is no finite number.
        """
        means = [mean(self.metric, finished) for finished in rounds if finished.metrics is not None]
        length, stalled = self.start, 0
        for at in range(1, len(means)):
            lowest = min(means[max(0, at - self.patience) : at])
            if means[at] < lowest - self.min_delta:
                length, stalled = self._longer(length), 0
                continue
            stalled += 1
            if stalled == self.patience:
                length, stalled = self._shorter(length), 0
        return length

    def _longer(self, length: int) -> int:
        return min(self.longest, max(length + 1, math.floor(min(length * self.grow, self.longest))))

    def _shorter(self, length: int) -> int:
        return max(self.shortest, min(length - 1, math.ceil(length * self.shrink)))
