"""Scores of canaries that were in and of those that were not, and how thresholds split them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flwr_swarm._exceptions import ConfigurationError

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """For each threshold: canaries at or above it that were in (`hits`), and that were not.

    `inside` and `outside` count all canaries of a kind.
    """

    hits: Ints
    false: Ints
    inside: int
    outside: int

    def __len__(self) -> int:
        return len(self.hits)

    @property
    def guesses(self) -> list[tuple[int, int]]:
        """How many canaries are guessed to be in at each threshold, and how many rightly."""
        return [(int(h + f), int(h)) for h, f in zip(self.hits, self.false, strict=True)]


@dataclass(frozen=True, kw_only=True, eq=False)
class CanaryScores:
    """What an auditor read off a model for each canary; higher means more likely in.

    Parameters
    ----------
    inside, outside : float array, shape (k,)
        Scores of the canaries that were, and were not, in the training data. Which ones were in
        must have been decided by independent fair coins.
    """

    inside: Array
    outside: Array

    def __post_init__(self) -> None:
        for scores in (self.inside, self.outside):
            if scores.ndim != 1 or not scores.size or not np.isfinite(scores).all():
                raise ConfigurationError(
                    f"canary scores must be non-empty vectors of finite numbers, got shapes "
                    f"{self.inside.shape} and {self.outside.shape}; did training diverge?"
                )

    @classmethod
    def of(cls, scores: ArrayLike, chosen: ArrayLike) -> CanaryScores:
        """From all canaries' scores, and which of them were in."""
        values, truth = np.asarray(scores, np.float64), np.asarray(chosen, np.bool_)
        return cls(inside=values[truth], outside=values[~truth])

    def splits(self, thresholds: ArrayLike | None = None) -> Splits:
        """How `thresholds` split the canaries.

        Without `thresholds`, those of the upper hull of the ROC curve, as jax_privacy takes them.
        These depend on the scores, so that bounds at many of them hold only nearly; fix the
        thresholds beforehand where a false alarm must not happen.
        """
        points = (
            np.r_[np.union1d(self.inside, self.outside), np.inf]
            if thresholds is None
            else np.asarray(thresholds, np.float64)
        )
        missed = np.searchsorted(np.sort(self.inside), points, side="left")
        spared = np.searchsorted(np.sort(self.outside), points, side="left")
        if thresholds is None:
            kept = _hull(np.stack([missed, spared], axis=1))
            missed, spared = missed[kept], spared[kept]
        return Splits(
            hits=len(self.inside) - missed,
            false=len(self.outside) - spared,
            inside=len(self.inside),
            outside=len(self.outside),
        )

    def guesses(self, shares: Sequence[float]) -> list[tuple[int, int]]:
        """Guesses at both ends, and how many are right, for each share of all canaries.

        The highest scores are guessed to be in, as many of the lowest to be out; the rest abstain.
        """
        pooled = np.r_[self.inside, self.outside]
        truth = np.arange(len(pooled)) < len(self.inside)
        ranked = truth[np.argsort(pooled, kind="stable")]
        made = []
        for share in shares:
            count = min(max(1, round(share * len(ranked) / 2)), len(ranked) // 2)
            right = int(ranked[-count:].sum()) + int((~ranked[:count]).sum())
            made.append((2 * count, right))
        return made


def _hull(points: Ints) -> NDArray[np.intp]:
    """Indices of the points that no segment between two others lies on or above."""
    kept = np.arange(len(points))
    while len(kept) > 2:
        step = np.diff(points[kept], axis=0)
        below = step[:-1, 1] * step[1:, 0] - step[1:, 1] * step[:-1, 0] <= 0
        if not below.any():
            break
        kept = kept[np.r_[True, ~below, True]]
    return kept
