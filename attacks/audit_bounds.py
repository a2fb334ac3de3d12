"""Lower confidence bounds on epsilon from one training run with many canaries.

Each takes scores, a probability alpha that the bound is above the true epsilon, and delta.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit, ndtr, ndtri
from scipy.stats import beta, binom, chi2, nct

from flwr_swarm._exceptions import ConfigurationError

from .audit_gdp import epsilon_of
from .audit_scores import CanaryScores

_TOLERANCE = 1e-7
_HIGHEST = 1e4
_LARGE_T = 60.0
Objective = Callable[[float], float]


def fdp(
    scores: CanaryScores,
    *,
    alpha: float,
    delta: float,
    thresholds: ArrayLike | None = None,
    shares: Sequence[float] = (),
) -> float:
    """f-DP in one run (Mahloujifar et al. 2024, algorithm 3), with the Gaussian trade-off curves.

    Assumes nothing about the scores. The bound is on the epsilon of the least private mu-GDP
    mechanism that the guesses do not contradict.

    Parameters
    ----------
    thresholds : array, optional
        Scores at or above one are guessed to be in; see `CanaryScores.splits`.
    shares : sequence of float
        Instead, shares of all canaries that are guessed, at both ends: see
        `CanaryScores.guesses`. Bonferroni over either.
    """
    _check(alpha, delta)
    guesses, each, total = _tried(scores, alpha, thresholds, shares)

    def excess(made: int, right: int) -> Objective:
        return lambda mu: _fdp_excess(mu, total, made, right, each)

    return epsilon_of(_best(guesses, excess), delta)


def steinke(
    scores: CanaryScores,
    *,
    alpha: float,
    delta: float,
    thresholds: ArrayLike | None = None,
    shares: Sequence[float] = (),
) -> float:
    """Privacy auditing in one run (Steinke et al. 2023, theorem 5.2). Valid, and weak."""
    _check(alpha, delta)
    guesses, each, total = _tried(scores, alpha, thresholds, shares)

    def excess(made: int, right: int) -> Objective:
        return lambda epsilon: each - _steinke_p(epsilon, delta, total, made, right)

    return _best(guesses, excess)


def gdp_clopper_pearson(
    scores: CanaryScores, *, alpha: float, delta: float, thresholds: ArrayLike | None = None
) -> float:
    """From upper bounds of both error rates to mu-GDP (Nasr et al. 2023; Annamalai et al. 2024).

    Assumes that canaries do not influence each other's scores: so it is if each has a
    coordinate of its own.
    """
    _check(alpha, delta)
    splits = scores.splits(thresholds)
    each = alpha / (2 * len(splits))
    missed = _upper(splits.inside - splits.hits, splits.inside, each)
    accused = _upper(splits.false, splits.outside, each)
    useful = np.maximum(missed, accused) < 1
    gaps = -ndtri(accused[useful]) - ndtri(missed[useful])
    return epsilon_of(float(gaps.max(initial=0.0)), delta)


def gdp_z(scores: CanaryScores, *, alpha: float, delta: float) -> float:
    """From the distance of the two means, in deviations, to mu-GDP.

    Assumes Gaussian scores of one variance, and canaries that do not influence each other. Then
    the two-sample t statistic is noncentral t, and the bound is exact.
    """
    _check(alpha, delta)
    n, m = len(scores.inside), len(scores.outside)
    if n + m < 4 or min(n, m) < 2:
        return 0.0
    squares = sum(float(np.square(s - s.mean()).sum()) for s in (scores.inside, scores.outside))
    deviation = math.sqrt(squares / (n + m - 2))
    distance = float(scores.inside.mean() - scores.outside.mean())
    if deviation == 0:
        return math.inf if distance > 0 else 0.0
    size = math.sqrt(n * m / (n + m))
    return epsilon_of(_noncentral(distance / deviation * size, n + m - 2, alpha) / size, delta)


def _noncentral(statistic: float, freedom: int, alpha: float) -> float:
    """Smallest noncentrality under which so large a t statistic has probability alpha."""

    def excess(centre: float) -> float:
        return float(nct.sf(statistic, freedom, centre)) - alpha

    if not statistic > 0 or excess(0.0) >= 0:
        return 0.0
    if statistic > _LARGE_T:
        # The library's series ends here. The normal and the chi-square apart, at alpha / 2 each.
        shrunk = statistic * math.sqrt(float(chi2.ppf(alpha / 2, freedom)) / freedom)
        return max(0.0, shrunk + float(ndtri(alpha / 2)))
    return float(brentq(excess, 0.0, statistic, xtol=1e-6))


def _fdp_excess(mu: float, total: int, guesses: int, correct: int, alpha: float) -> float:
    """Above 0 if mu-GDP is refuted by `correct` of `guesses` guesses about `total` canaries."""
    right, wrong = alpha * correct / total, alpha * (guesses - correct) / total
    for i in range(correct - 1, -1, -1):
        grown = max(wrong, float(ndtr(ndtri(right) - mu)))
        if grown == wrong:
            break  # then neither moves any more
        right, wrong = min(right + i / (guesses - i) * (grown - wrong), 1.0), grown
    return right + wrong - guesses / total


def _steinke_p(epsilon: float, delta: float, total: int, guesses: int, correct: int) -> float:
    rate = float(expit(epsilon))
    plain = float(binom.sf(correct - 1, guesses, rate))
    if delta == 0:
        return plain
    steps = np.arange(1, correct + 1)
    mass = binom.sf(correct - steps - 1, guesses, rate) - plain
    slope = float(np.max(mass / steps, initial=0.0))
    return min(plain + 2 * total * delta * slope, 1.0)


def _tried(
    scores: CanaryScores, alpha: float, thresholds: ArrayLike | None, shares: Sequence[float]
) -> tuple[list[tuple[int, int]], float, int]:
    """Guesses (made, right), what of alpha each may err with, and how many canaries there are."""
    guesses = scores.guesses(shares) if shares else scores.splits(thresholds).guesses
    return guesses, alpha / len(guesses), len(scores.inside) + len(scores.outside)


def _best(guesses: list[tuple[int, int]], excess: Callable[[int, int], Objective]) -> float:
    """The largest value that some guesses, of which so many are right, refute."""
    best = 0.0
    for made, right in sorted(guesses, key=lambda pair: -pair[1] / max(pair[0], 1)):
        if 2 * right <= made:
            continue
        objective = excess(made, right)
        if objective(best) <= 0:
            continue
        high = max(1.0, 2 * best)
        while objective(high) > 0 and high < _HIGHEST:
            best, high = high, 2 * high
        if objective(high) > 0:
            return high
        best = float(brentq(objective, best, high, xtol=_TOLERANCE))
    return best


def _upper(count: np.ndarray, trials: int, alpha: float) -> np.ndarray:
    """Clopper and Pearson's one-sided upper bound of a rate."""
    return np.where(
        count < trials, beta.ppf(1 - alpha, count + 1, np.maximum(trials - count, 1)), 1.0
    )


def _check(alpha: float, delta: float) -> None:
    if not 0 < alpha < 0.5 or not 0 <= delta < 1:
        raise ConfigurationError(
            f"alpha must be in (0, 0.5) and delta in [0, 1), got {alpha} and {delta}"
        )
