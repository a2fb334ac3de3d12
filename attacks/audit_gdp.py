"""Gaussian differential privacy: between mu and the epsilon that it is worth at a delta."""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import log_ndtr

_LARGEST = 1e4


def delta_of(mu: float, epsilon: float) -> float:
    """Smallest delta at which mu-GDP is (epsilon, delta)-DP (Dong et al. 2019, corollary 2.13)."""
    if mu <= 0:
        return 0.0
    first = float(log_ndtr(-epsilon / mu + mu / 2))
    second = epsilon + float(log_ndtr(-epsilon / mu - mu / 2))
    # In logarithms: both terms are far below the smallest double where epsilon is large.
    return math.exp(first) * -math.expm1(second - first) if second < first else 0.0


def epsilon_of(mu: float, delta: float) -> float:
    """Epsilon at `delta` of a mu-GDP mechanism; 0 if mu is not above 0, infinity beyond 10,000."""
    if delta_of(mu, 0.0) <= delta:
        return 0.0
    if delta_of(mu, _LARGEST) >= delta:
        return math.inf
    return float(brentq(lambda epsilon: delta_of(mu, epsilon) - delta, 0.0, _LARGEST, xtol=1e-9))


def mu_of(epsilon: float, delta: float) -> float:
    """The mu of the Gaussian mechanism that is (epsilon, delta)-DP and no better."""
    high = 1.0
    while delta_of(high, epsilon) < delta:
        high *= 2
    return float(brentq(lambda mu: delta_of(mu, epsilon) - delta, 0.0, high, xtol=1e-12))
