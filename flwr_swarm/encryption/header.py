"""The lanes before an update's entries: the weight, whether it was clipped, and the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import OpeningRejected

from . import fixed_point
from .fixed_point import METRIC_BITS, WEIGHT_BITS, from_limbs, limbs


@dataclass(frozen=True, kw_only=True)
class Header:
    """What rides beside the entries, in limbs as wide as a member's part of a lane.

    Parameters
    ----------
    max_weight, metric_bound : float
        See `Codec`.
    limb_bits : int
        Bits of a limb; a lane has room for the sum of all members' limbs.
    """

    max_weight: float
    metric_bound: float
    limb_bits: int

    @property
    def metric_fraction(self) -> int:
        """Fractional bits of a metric times its weight."""
        return fixed_point.metric_fraction(self.max_weight, self.metric_bound)

    @property
    def _weight_limbs(self) -> int:
        return -(-WEIGHT_BITS // self.limb_bits)

    @property
    def _metric_limbs(self) -> int:
        return -(-METRIC_BITS // self.limb_bits)

    def lanes(self, metrics: int) -> int:
        """Lanes that come before the entries."""
        return self._weight_limbs + 1 + self._metric_limbs * metrics

    def encode(self, fixed: int, metrics: Sequence[float], *, clipped: bool) -> list[int]:
        """Lanes of one member; `fixed` is its weight's integer.

        Raises
        ------
        NonFiniteUpdate, CapacityExceeded
            If a metric has no place in its limbs.
        """
        lanes = [*limbs(fixed, self._weight_limbs, self.limb_bits), int(clipped)]
        for index, metric in enumerate(metrics):
            product = fixed_point.fixed_product(
                fixed,
                metric,
                bound=self.metric_bound,
                fraction=self.metric_fraction,
                index=index,
            )
            lanes += limbs(product, self._metric_limbs, self.limb_bits)
        return lanes

    def decode(self, sums: NDArray[np.uint64], included: int) -> tuple[int, int, tuple[float, ...]]:
        """Sum of the weights' integers, how many were clipped, and the metrics' weighted means.

        Raises
        ------
        OpeningRejected
            If these are not the sums of `included` headers.
        """
        fixed = from_limbs(sums[: self._weight_limbs], self.limb_bits)
        clipped = int(sums[self._weight_limbs])
        if not 0 < fixed <= included * fixed_point.largest_weight(self.max_weight) or (
            clipped > included
        ):
            raise OpeningRejected(NOT_A_SUM.format(included=included))
        means = tuple(
            fixed_point.mean_of_products(
                from_limbs(sums[start : start + self._metric_limbs], self.limb_bits),
                included=included,
                fixed=fixed,
                fraction=self.metric_fraction,
            )
            for start in range(self._weight_limbs + 1, len(sums), self._metric_limbs)
        )
        return fixed, clipped, means


NOT_A_SUM = (
    "the opened sum is not one of {included} encoded updates: a member sealed something else, or "
    "members disagree on the codec"
)
