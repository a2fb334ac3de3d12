"""Weights and weighted metrics as integers in limbs, and back from the sums of limbs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Final

from flwr_swarm._exceptions import CapacityExceeded, NonFiniteUpdate

WEIGHT_BITS: Final = 48
METRIC_BITS: Final = 64
WEIGHT_FRACTION: Final = 16
"""Fractional bits of a weight."""
WEIGHT_LIMIT: Final = 2.0**31
"""A weight's integer is below 2^48."""
PRODUCT_LIMIT: Final = 2.0**45
"""Bound of |weight * metric| that leaves 16 fractional bits or more."""
METRIC_BOUND: Final = 2.0**20
"""Bound of |metric| where nobody asks for another."""
METRIC_OFFSET: Final = 1 << 62
"""Added to each product, so that it is not negative."""


def limbs(value: int, count: int, bits: int) -> list[int]:
    """`value` in `count` limbs of so many bits, the lowest first."""
    mask = (1 << bits) - 1
    return [(value >> (bits * place)) & mask for place in range(count)]


def from_limbs(sums: Iterable[int], bits: int) -> int:
    """The sum of values from the sums of their limbs, which may exceed a limb's bits."""
    return sum(int(limb) << (bits * place) for place, limb in enumerate(sums))


def metric_fraction(max_weight: float, metric_bound: float) -> int:
    """Fractional bits f of a product, so that |weight * metric| * 2^f stays below 2^62.

    It is near 2^61 at most: the spare bit absorbs that logarithm and bounds are floats.
    """
    return 61 - math.ceil(math.log2(max_weight * metric_bound))


def largest_weight(max_weight: float) -> int:
    """The integer of the greatest weight that is not above `max_weight`, exact."""
    return math.floor(Fraction(max_weight) * 2**WEIGHT_FRACTION)


def fixed_weight(weight: float, max_weight: float) -> int:
    """weight * 2^16 to the nearest integer.

    Raises
    ------
    NonFiniteUpdate
        If `weight` is NaN or infinite.
    CapacityExceeded
        If it is above `max_weight`, or not above zero.
    """
    if not math.isfinite(weight):
        raise NonFiniteUpdate(
            f"weight must be finite, got {weight}; check num-examples of the train reply"
        )
    if weight > max_weight:
        raise CapacityExceeded(
            f"weight must be at most {max_weight}, got {weight}; "
            "raise SwarmStrategy(max_weight=...)"
        )
    fixed = round(Fraction(weight) * 2**WEIGHT_FRACTION)
    if fixed <= 0:
        raise CapacityExceeded(
            f"weight must be at least 2^-{WEIGHT_FRACTION}, got {weight}; "
            "a member without examples must not take part"
        )
    # Rounding must not lift a weight above a bound that lies between two integers.
    return min(fixed, largest_weight(max_weight))


def fixed_product(fixed: int, metric: float, *, bound: float, fraction: int, index: int) -> int:
    """weight * metric in fixed point, offset to [0, 2^63].

    Raises
    ------
    NonFiniteUpdate
        If `metric` is NaN or infinite.
    CapacityExceeded
        If |metric| is above `bound`.
    """
    if not math.isfinite(metric):
        raise NonFiniteUpdate(
            f"metric {index} must be finite, got {metric}; check what the train function returns"
        )
    if abs(metric) > bound:
        raise CapacityExceeded(
            f"metric {index} must be between -{bound} and {bound}, got {metric}; "
            "raise Codec(metric_bound=...) or do not report it"
        )
    product = fixed * Fraction(metric) * (1 << (fraction - WEIGHT_FRACTION))
    return round(product) + METRIC_OFFSET


def mean_of_products(total: int, *, included: int, fixed: int, fraction: int) -> float:
    """The weighted mean of a metric from the sum of offset products; `fixed` sums the weights."""
    exact = Fraction(total - included * METRIC_OFFSET, fixed << (fraction - WEIGHT_FRACTION))
    return float(exact)
