"""Gates on noise: is there enough of it, and is it new each time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import chi2, t

from flwr_swarm._exceptions import ConfigurationError

from .gate import ALPHA, GateResult

Array = NDArray[np.float64]


def noise_variance_gate(
    noise: Array, *, alpha: float = ALPHA, name: str = "noise variance"
) -> GateResult:
    """Trips if noise that should be standard normal varies too little (chi-square).

    Parameters
    ----------
    noise : float array
        Noise alone, over the deviation that was claimed. The sum of squares of k right ones is
        chi-square with k degrees of freedom. Too much noise is no leak, and does not trip it.
    """
    values = np.asarray(noise, np.float64).ravel()
    _enough(len(values))
    lowest = float(chi2.ppf(alpha, len(values)))
    squares = float(np.square(values).sum())
    return GateResult(
        gate=name,
        statistic=squares / len(values),
        threshold=lowest / len(values),
        tripped=not squares >= lowest,
        false_alarm=alpha,
        power=float(chi2.cdf(4 * lowest, len(values))),
        against="half the noise",
        detail=f"variance of {len(values)} noise values over the claimed one, from below",
    )


def noise_independence_gate(
    noises: Mapping[str, Array], *, alpha: float = ALPHA, name: str = "noise independence"
) -> GateResult:
    """Trips if two of several noise vectors are correlated, either way (they may cancel too).

    Parameters
    ----------
    noises : mapping of str to float array, shape (k,)
        Two or more, of one length: of two sites, say, or of two rounds. The correlation r of
        independent normals has r sqrt((k-2)/(1-r^2)) ~ Student's t; Bonferroni over the pairs.
    """
    size = len(next(iter(noises.values())))
    _enough(size)
    pairs = list(combinations(noises, 2))
    if not pairs or any(np.shape(v) != (size,) for v in noises.values()):
        raise ConfigurationError(
            f"independence is tested on two or more vectors of one length, got {len(noises)} of "
            f"shapes {sorted({np.shape(v) for v in noises.values()})}"
        )
    found = {pair: _correlation(noises[pair[0]], noises[pair[1]]) for pair in pairs}
    worst = max(pairs, key=lambda pair: abs(found[pair]))
    point = float(t.isf(alpha / (2 * len(pairs)), size - 2))
    threshold = point / math.sqrt(size - 2 + point**2)
    # Fisher's z for a correlation of one half.
    distance = (math.atanh(0.5) - math.atanh(threshold)) * math.sqrt(size - 3)
    return GateResult(
        gate=name,
        statistic=abs(found[worst]),
        threshold=threshold,
        tripped=not abs(found[worst]) <= threshold,
        false_alarm=alpha,
        power=float(ndtr(distance)),
        against="noise of which half is shared",
        detail=f"largest correlation of {len(pairs)} pairs ({worst[0]} and {worst[1]})",
    )


def values_needed(ratio: float, *, alpha: float = ALPHA, power: float = 0.99) -> int:
    """Noise values with which the variance gate finds noise of `ratio` times the variance."""
    if not 0 < ratio < 1:
        raise ConfigurationError(f"ratio must be in (0, 1), got {ratio}")
    # The cube root of a chi-square is nearly normal (Wilson and Hilferty 1931): a first guess.
    a, b = -float(ndtri(alpha)), float(ndtri(power))
    count = max(4, math.floor(2 * ((a + b * ratio) / (1 - ratio)) ** 2 / 4))
    while chi2.cdf(chi2.ppf(alpha, count) / ratio, count) < power:
        count = math.ceil(count * 1.05)
    return count


def _correlation(a: Array, b: Array) -> float:
    x, y = a - a.mean(), b - b.mean()
    length = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / length if length else 1.0  # noise that does not vary is none


def _enough(count: int) -> None:
    if count < 4:
        raise ConfigurationError(f"{count} noise values test nothing; give hundreds")
