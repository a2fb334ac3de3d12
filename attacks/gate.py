"""A gate: a one-sided test that a right build passes, and of which it is known what it catches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from flwr_swarm._exceptions import GateTripped

ALPHA = 1e-5
"""Largest probability with which a gate trips on a right build."""


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """What a gate found.

    Parameters
    ----------
    gate : str
        Its name in reports.
    statistic, threshold : float
        It trips if the statistic is beyond the threshold.
    tripped : bool
    false_alarm : float
        Bound on the probability that it trips on a right build, over random seeds.
    power : float
        Probability that it trips on the fault that `against` names.
    against : str
    detail : str
        What was tested, in words.
    """

    gate: str
    statistic: float
    threshold: float
    tripped: bool
    false_alarm: float
    power: float
    against: str
    detail: str

    def check(self) -> GateResult:
        """This result, or `GateTripped` if the gate tripped."""
        if self.tripped:
            raise GateTripped(
                f"gate {self.gate!r} tripped: {self.detail}: {self.statistic:.4g} is beyond "
                f"{self.threshold:.4g}, which a right build is with probability "
                f"{self.false_alarm:.0e} at most"
            )
        return self

    def to_json(self) -> dict[str, str | float | bool]:
        """Field names to plain values."""
        return asdict(self)


def check_all(results: Iterable[GateResult]) -> None:
    """Raise for the first gate that tripped, after naming all of them."""
    tripped = [result for result in results if result.tripped]
    if len(tripped) == 1:
        tripped[0].check()
    if tripped:
        raise GateTripped(
            f"{len(tripped)} gates tripped: "
            + "; ".join(f"{r.gate} ({r.statistic:.4g} beyond {r.threshold:.4g})" for r in tripped)
        )
