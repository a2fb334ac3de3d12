"""What the utility benchmark promises, and in words whether a data set bears it out."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from .utility_scores import Cell, Gap, foreign, gap

LOCAL: Final = "local"
POOLED: Final = "pooled"
FEDERATED: Final = "federated"
SWARM: Final = "swarm"
OWN: Final = "swarm, noise of each site's own"
CENTRAL: Final = "central DP-SGD"
TOGETHER: Final = "swarm, distributed noise"
WHOLE: Final = "swarm, distributed noise (whole protocol)"

HOLDS: Final = "holds"
ON_AVERAGE: Final = "holds on average"
OPEN: Final = "cannot be told"
FAILS: Final = "FAILS"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One promise on one data set.

    Parameters
    ----------
    line : str
        The promise.
    verdict : str
        HOLDS if the whole interval keeps it, ON_AVERAGE if the mean does, FAILS if the whole
        interval breaks it; OPEN if only the mean does: patients and seeds are too few to tell.
    value, low, high : float
        What must not be above `limit`, and its 95 % interval.
    limit : float
    """

    line: str
    verdict: str
    value: float
    low: float
    high: float
    limit: float

    def to_json(self) -> dict[str, Any]:
        """Plain values; an infinite end is None."""
        return {
            name: None if isinstance(value, float) and math.isinf(value) else value
            for name, value in vars(self).items()
        }

    def __str__(self) -> str:
        return (
            f"{self.verdict}: {self.line}: {self.value:+.4f} [{self.low:+.4f}, {self.high:+.4f}], "
            f"allowed {self.limit:+.3f}"
        )


def judged(line: str, lost: Gap, limit: float, *, strictly: bool = False) -> Judgement:
    """That `lost` is at most `limit`; `strictly`: that it is below."""
    below = operator.lt if strictly else operator.le
    if below(lost.high, limit):
        verdict = HOLDS
    elif below(lost.value, limit):
        verdict = ON_AVERAGE
    else:
        verdict = FAILS if lost.low > limit else OPEN
    return Judgement(
        line=line, verdict=verdict, value=lost.value, low=lost.low, high=lost.high, limit=limit
    )


def judge(cells: Sequence[Cell]) -> list[Judgement]:
    """All promises on one data set."""
    found = {(cell.regime, cell.epsilon): cell for cell in cells}
    by, to, pooled = found[SWARM, None], found[FEDERATED, None], found[POOLED, None]
    lines = [
        judged("swarm within 0.01 of federated", _either_way(gap(to, by)), 0.01),
        judged("swarm within 0.02 of pooled", gap(pooled, by), 0.02),
    ]
    for epsilon in sorted({cell.epsilon for cell in cells if cell.epsilon is not None}):
        together, at = found[TOGETHER, epsilon], f"at epsilon {epsilon:g}"
        lines += [
            judged(
                f"distributed noise within 0.02 of central DP-SGD {at}",
                gap(found[CENTRAL, epsilon], together),
                0.02,
            ),
            judged(
                f"distributed noise above local noise {at}",
                gap(found[OWN, epsilon], together),
                0.0,
                strictly=True,
            ),
            _spent(f"no more than epsilon {epsilon:g} spent", cells, epsilon),
        ]
        if (WHOLE, epsilon) in found:
            lines.append(_same(found[WHOLE, epsilon], together, at))
    return lines


def _either_way(found: Gap) -> Gap:
    """Of the absolute difference."""
    ends = sorted((abs(found.low), abs(found.high)))
    low = 0.0 if found.low <= 0 <= found.high else ends[0]
    return Gap(value=abs(found.value), low=low, high=ends[1])


def _spent(line: str, cells: Sequence[Cell], epsilon: float) -> Judgement:
    worst = max(math.inf if c.spent is None else c.spent for c in cells if c.epsilon == epsilon)
    return judged(line, Gap(value=worst, low=worst, high=worst), epsilon)


def _same(whole: Cell, loop: Cell, at: str) -> Judgement:
    """The run through chain and encryption is one more draw of what the loop draws."""
    assert whole.spent is not None
    assert loop.spent is not None
    line = f"whole protocol and loop agree {at}: AUROC outside the loop's spread"
    far = math.inf if abs(whole.spent / loop.spent - 1) > 0.01 else foreign(whole, loop)
    return judged(line, Gap(value=far, low=far, high=far), 0.0)
