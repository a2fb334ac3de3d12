"""What a step with shared noise costs: Skellam noise on a rounded sum of sampled records.

Let v be the sum of a site's clipped gradients in integers, before rounding. One record changes it
by delta with |delta| <= D (L2) in d entries. Each entry is rounded up or down by a coin u that does
not depend on data, so that for every u the rounded sum changes by an integer vector r(u), each
entry of which is delta_j rounded up or down, with mean delta_j and independent of the others.

1. For fixed u the release is a Skellam mechanism of variance mu. Agarwal, Kairouz and Liu (2021),
   in several dimensions: for integer a > 1 its Renyi divergence of order a is at most
   a |r|^2 / (2 mu) + ((2a - 1) |r|^2 + 6 |r|_1) / (4 mu^2). Since r is an integer vector,
   |r|_1 <= |r|^2, and this is kappa |r|^2 with kappa = a / (2 mu) + (2a + 5) / (4 mu^2).
2. Over u, (a - 1) times the divergence is at most log E exp((a - 1) kappa |r(u)|^2). Entry by entry
   r_j^2 - delta_j^2 takes two values 2 |delta_j| + 1 apart at most, with mean 1/4 at most:
   Hoeffding's lemma gives, with c = (a - 1) kappa, c (D^2 + d/4) + c^2 (2 D + sqrt d)^2 / 8.
   (So Kairouz, Liu and Steinke 2021 bound the norm of a rounded vector; here the moments are used
   as they are, without a tail that fails.) And always |r| <= D + sqrt d.
3. Poisson sampling at rate q. Skellam noise is symmetric and shifted by r: theorem 5 of Mironov,
   Talwar and Zhang (2019) says that adding a record is the worse direction, and its divergence is
   log(sum_k C(a,k) (1-q)^(a-k) q^k exp((k-1) eps_k)) / (a - 1) with eps_k from 2, k >= 2.

Coins have 32 bits: a mean is off by 2^-32 of a step, for which step 2 has a term as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

_COIN = 2.0**-31


@dataclass(frozen=True, kw_only=True)
class SharedCharge:
    """`steps` equal steps with shared noise, one a round.

    Parameters
    ----------
    noise_multiplier : float
        Deviation of the honest members' noise over `sensitivity`.
    sample_rate : float
        Probability with which each record enters a step, in (0, 1].
    steps : int
    sensitivity : float
        L2 norm, in integers, by which one record changes a sum before it is rounded.
    size : int
        Entries of the sum.
    """

    noise_multiplier: float
    sample_rate: float
    steps: int
    sensitivity: float
    size: int

    @property
    def mechanism(self) -> tuple[float, float, float, int]:
        """What makes two charges the same but for their steps."""
        return self.noise_multiplier, self.sample_rate, self.sensitivity, self.size


def rdp_of_rounded_skellam(order: int, *, variance: float, sensitivity: float, size: int) -> float:
    """Bound on the Renyi divergence of `order` of one release, without sampling: steps 1 and 2."""
    kappa = order / (2 * variance) + (2 * order + 5) / (4 * variance**2)
    spread = (2 * sensitivity + math.sqrt(size)) ** 2
    coins = _COIN * math.sqrt(size * spread)
    expected = kappa * (sensitivity**2 + size / 4 + coins) + (order - 1) * kappa**2 * spread / 8
    return min(expected, kappa * (sensitivity + math.sqrt(size)) ** 2)


@lru_cache(maxsize=256)
def rdp_of_one_step(
    noise_multiplier: float,
    sample_rate: float,
    sensitivity: float,
    size: int,
    orders: tuple[float, ...],
) -> np.ndarray[Any, Any]:
    """Bounds for all `orders`; at one between integers, that of the next integer."""
    variance = (noise_multiplier * sensitivity) ** 2
    whole = [max(2, math.ceil(order)) for order in orders]
    plain = {
        k: rdp_of_rounded_skellam(k, variance=variance, sensitivity=sensitivity, size=size)
        for k in range(2, max(whole) + 1)
    }
    sampled = {k: _sampled(k, sample_rate, plain) for k in set(whole)}
    return np.array([sampled[k] for k in whole])


def _sampled(order: int, rate: float, plain: dict[int, float]) -> float:
    """Step 3, in logarithms."""
    if rate >= 1:
        return plain[order]
    terms = []
    for k in range(order + 1):
        log_binomial = math.lgamma(order + 1) - math.lgamma(k + 1) - math.lgamma(order - k + 1)
        log_weight = log_binomial + (order - k) * math.log1p(-rate) + k * math.log(rate)
        terms.append(log_weight + (k - 1) * plain[k] if k >= 2 else log_weight)
    largest = max(terms)
    if math.isinf(largest):
        return math.inf
    total = largest + math.log(math.fsum(math.exp(term - largest) for term in terms))
    return max(0.0, total) / (order - 1)
