"""AUROC of a regime, with what patients and what seeds leave open; and of two regimes the gap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Array = NDArray[np.float64]

RESAMPLES: Final = 500
_TAIL: Final = 0.025


@dataclass(frozen=True, kw_only=True, eq=False)
class Judges:
    """The patients that judge, and their bootstrap: the same resamples for every regime.

    Cases are drawn among cases and others among others, so that no resample lacks either.

    Parameters
    ----------
    case : bool array, shape (n,)
    times : float array, shape (resamples, n)
        How often each patient is in each resample.
    """

    case: NDArray[np.bool_]
    times: Array = field(repr=False)

    @classmethod
    def of(cls, case: NDArray[np.bool_], *, resamples: int = RESAMPLES, seed: int = 0) -> Judges:
        """Draw the resamples."""
        rng, times = np.random.default_rng(seed), np.zeros((resamples, len(case)))
        for kind in (True, False):
            here = np.flatnonzero(case == kind)
            times[:, here] = rng.multinomial(len(here), [1 / len(here)] * len(here), resamples)
        return cls(case=case, times=times)

    def aurocs(self, scores: Array) -> Array:
        """AUROC of one model on all patients, then on each resample: shape (1 + resamples,)."""
        order = np.argsort(scores, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
        weights = np.vstack([np.ones(len(scores)), self.times])[:, order]
        cases = np.add.reduceat(weights * self.case[order], starts, axis=1)
        others = np.add.reduceat(weights * ~self.case[order], starts, axis=1)
        below = np.cumsum(others, axis=1) - others / 2  # a tie counts one half
        pairs = cases.sum(axis=1) * others.sum(axis=1)
        result: Array = (cases * below).sum(axis=1) / pairs
        return result


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """One regime, over all seeds.

    Parameters
    ----------
    regime : str
    epsilon : float or None
        Asked for; None without DP.
    spent : float or None
        What the accountant says, the worst of all seeds.
    through : str
        What the rows went through.
    aurocs : float array, shape (seeds, 1 + resamples)
        On all patients, then on each resample; the mean over a seed's models.
    """

    regime: str
    epsilon: float | None = None
    spent: float | None = None
    through: str
    aurocs: Array = field(repr=False)

    @property
    def seeds(self) -> list[float]:
        """AUROC with each seed."""
        return [float(value) for value in self.aurocs[:, 0]]

    @property
    def value(self) -> float:
        """Mean over seeds."""
        return float(self.aurocs[:, 0].mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % percentile interval from the bootstrap over patients, of the mean over seeds."""
        low, high = np.quantile(self.aurocs[:, 1:].mean(axis=0), [_TAIL, 1 - _TAIL])
        return min(float(low), self.value), max(float(high), self.value)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        low, high = self.interval
        return {
            "regime": self.regime,
            "epsilon_asked": self.epsilon,
            "epsilon_spent": self.spent,
            "auroc": self.value,
            "interval_over_patients": [low, high],
            "seeds": self.seeds,
            "spread_over_seeds": [min(self.seeds), max(self.seeds)],
            "went_through": self.through,
        }


@dataclass(frozen=True, kw_only=True)
class Gap:
    """By how much one regime's AUROC is above another's, and its 95 % interval."""

    value: float
    low: float
    high: float


def gap(above: Cell, below: Cell) -> Gap:
    """Mean over paired seeds, on the same patients.

    The interval adds the variance over seeds (Student's t) to that over patients (bootstrap).
    """
    difference = above.aurocs - below.aurocs
    count = len(difference)
    value, patients = float(difference[:, 0].mean()), float(difference[:, 1:].mean(axis=0).var())
    if count < 2:
        return Gap(value=value, low=-math.inf, high=math.inf)
    seeds = float(difference[:, 0].var(ddof=1)) / count
    half = float(student.ppf(1 - _TAIL, count - 1)) * math.sqrt(seeds + patients)
    return Gap(value=value, low=value - half, high=value + half)


def foreign(cell: Cell, others: Cell, *, level: float = 1e-4) -> float:
    """How far a cell of one seed is outside what another cell's seeds let one expect; 0 within.

    A prediction interval of Student's t that fails with probability `level`.
    """
    values: Sequence[float] = others.seeds
    spread = float(np.std(values, ddof=1)) * math.sqrt(1 + 1 / len(values))
    reach = float(student.isf(level / 2, len(values) - 1)) * spread
    return max(0.0, abs(cell.seeds[0] - float(np.mean(values))) - reach)
