"""A member's update, weight and metrics as lanes of integers, and the exact mean of their sums.

Lanes of one member: the weight in three 16-bit limbs, one lane that is 1 if the update was
clipped, each metric times the weight in four 16-bit limbs, then one lane for each entry of the
update times the weight. 256 members of 16-bit limbs fit a 24-bit lane, so limbs never overflow;
entries have value_bits = 24 - ceil(log2(members)) bits for the same reason.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError, OpeningRejected, UpdateMismatch

from . import fixed_point
from .fixed_point import METRIC_LIMBS, PRODUCT_LIMIT, WEIGHT_FRACTION, WEIGHT_LIMBS, WEIGHT_LIMIT
from .grid import Grid
from .noise import SharedNoise
from .parameters import DEFAULT, MAX_MEMBERS
from .quantise import check_update, clip_to_ball, round_to_grid
from .randomness import RandomBytes

LANE_BITS: Final = DEFAULT.lane_bits


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The weighted mean of the included members' updates.

    Parameters
    ----------
    update : (size,) float64
        Difference from the global model.
    weight : float
        Sum of the weights.
    metrics : tuple of float
        Weighted means, in the order in which they were given.
    clipped : int
        How many updates were clipped.
    rounding_error : float
        Bound on the error that rounding put into each entry of `update`, in its units.
    """

    update: NDArray[np.float64]
    weight: float
    metrics: tuple[float, ...]
    clipped: int
    rounding_error: float

    def __repr__(self) -> str:
        return f"Mean(size={self.update.size}, weight={self.weight}, metrics={len(self.metrics)})"


@dataclass(frozen=True, kw_only=True)
class Codec:
    """Fixed-point encoding of weighted updates.

    Parameters
    ----------
    clip : float
        L2 bound of an update, in the units of the update; longer ones are scaled down to it.
    max_weight : float
        Public bound of a member's weight (its number of examples), 1 to 2^31.
    members : int
        Most members that can be in one sum, 1 to 256.
    metric_bound : float
        Public bound of |metric|; max_weight * metric_bound is at most 2^45.
    noise : SharedNoise, optional
        Each member adds its share of it to its integers. Nothing else is then told of an update:
        no metric, and not whether it was clipped.

    Raises
    ------
    ConfigurationError
        If a parameter cannot work. Nothing can overflow later.
    """

    clip: float = 10.0
    max_weight: float = 65536.0
    members: int
    metric_bound: float = 2.0**20
    noise: SharedNoise | None = None

    def __post_init__(self) -> None:
        """Refuse parameters under which a lane could overflow."""
        if not (math.isfinite(self.clip) and self.clip > 0):
            raise ConfigurationError(
                f"clip must be > 0 and finite, got {self.clip}; "
                "choose the L2 norm of a typical update"
            )
        if not 1 <= self.members <= MAX_MEMBERS:
            raise ConfigurationError(
                f"members must be 1 to {MAX_MEMBERS}, got {self.members}; "
                "more do not fit a 24-bit lane"
            )
        if not 1 <= self.max_weight <= WEIGHT_LIMIT:
            raise ConfigurationError(
                f"max_weight must be at least 1 and at most 2^31, got {self.max_weight}; "
                "choose the number of examples of the largest member"
            )
        if not 0 < self.metric_bound <= PRODUCT_LIMIT / self.max_weight:
            raise ConfigurationError(
                f"metric_bound must be > 0 and at most 2^45/max_weight = "
                f"{PRODUCT_LIMIT / self.max_weight:g}, got {self.metric_bound}"
            )
        self.grid.check()

    @property
    def value_bits(self) -> int:
        """Bits of one member's lane for an entry."""
        return LANE_BITS - (self.members - 1).bit_length()

    @property
    def levels(self) -> int:
        """L: entries are integers from -L to L, offset by L; without noise the grid has all."""
        return (1 << (self.value_bits - 1)) - 1

    @property
    def grid(self) -> Grid:
        """The integers between which entries are rounded."""
        return Grid(levels=self.levels, largest=self.clip * self.max_weight, noise=self.noise)

    @property
    def _metric_fraction(self) -> int:
        return fixed_point.metric_fraction(self.max_weight, self.metric_bound)

    def header_lanes(self, metrics: int) -> int:
        """Lanes before the entries."""
        return WEIGHT_LIMBS + 1 + METRIC_LIMBS * metrics

    def worst_rounding_error(self, *, included: int, weight: float) -> float:
        """Bound on the rounding error of an entry of the mean, in units of the update.

        Parameters
        ----------
        included : int
            Members in the sum; each adds at most one step of the grid.
        weight : float
            Sum of their weights.
        """
        grid = self.grid
        return included * grid.largest / (grid.top * weight)

    def to_terms(self) -> dict[str, float | int]:
        """Public numbers that all members must share, for the hash of the terms."""
        return {
            "clip": self.clip,
            "max_weight": self.max_weight,
            "members": self.members,
            "metric_bound": self.metric_bound,
            "value_bits": self.value_bits,
            "weight_fraction": WEIGHT_FRACTION,
            "metric_fraction": self._metric_fraction,
        }

    def encode(
        self,
        update: NDArray[np.float64],
        *,
        weight: float,
        metrics: Sequence[float] = (),
        random: RandomBytes = os.urandom,
    ) -> NDArray[np.uint32]:
        """Lanes of one member.

        Parameters
        ----------
        update : (size,) float64
            Difference from the global model.
        weight : float
            Number of examples, > 0; kept to 16 fractional bits.
        metrics : sequence of float
            Same number and order at all members.
        random : callable
            Source of the stochastic rounding, whose expectation is the exact value to within
            2^-32 of a step.

        Returns
        -------
        (header_lanes(len(metrics)) + size,) uint32

        Raises
        ------
        UpdateMismatch
            If `update` is not a non-empty vector of float64, or there are metrics beside shared
            noise.
        NonFiniteUpdate
            If the update, the weight or a metric holds NaN or infinity.
        CapacityExceeded
            If weight or a metric is out of bounds.
        """
        check_update(update)
        if self.noise is not None and metrics:
            raise UpdateMismatch(
                f"{len(metrics)} metrics beside an update with shared noise would be told without "
                "noise; return the number of examples only"
            )
        fixed = fixed_point.fixed_weight(weight, self.max_weight)
        bounded, clipped = clip_to_ball(update, self.clip)
        told, grid = clipped and self.noise is None, self.grid
        head = [*fixed_point.limbs(fixed, WEIGHT_LIMBS), int(told)]
        for index, metric in enumerate(metrics):
            product = fixed_point.fixed_product(
                fixed,
                metric,
                bound=self.metric_bound,
                fraction=self._metric_fraction,
                index=index,
            )
            head += fixed_point.limbs(product, METRIC_LIMBS)
        lanes = np.empty(len(head) + update.size, dtype=np.uint32)
        lanes[: len(head)] = head
        share = fixed / 2**WEIGHT_FRACTION / self.max_weight
        round_to_grid(
            bounded,
            scale=share * grid.top / self.clip,
            levels=grid.top,
            random=random,
            out=lanes[len(head) :],
        )
        grid.add_share(lanes[len(head) :], random)
        return lanes

    def decode(
        self, sums: NDArray[np.uint64], *, included: int, size: int, metrics: int = 0
    ) -> Mean:
        """The exact weighted mean from the sums of lanes.

        Parameters
        ----------
        sums : (header_lanes(metrics) + size,) uint64
        included : int
            Members in the sum, 1 to `members`.
        size : int
            Entries of the update.
        metrics : int
            Metrics of each member.

        Raises
        ------
        ConfigurationError
            If `included` is out of bounds.
        UpdateMismatch
            If the number of lanes is another.
        OpeningRejected
            If the sums cannot be those of `included` encodings.
        """
        if not 1 <= included <= self.members:
            raise ConfigurationError(f"included must be 1 to {self.members}, got {included}")
        head = self.header_lanes(metrics)
        if sums.shape != (head + size,):
            raise UpdateMismatch(
                f"{size} entries and {metrics} metrics take {head + size} lanes, got {sums.shape}"
            )
        fixed = fixed_point.from_limbs(sums[:WEIGHT_LIMBS])
        clipped = int(sums[WEIGHT_LIMBS])
        signed = sums[head:].astype(np.int64) - included * self.levels
        if (
            not 0 < fixed <= included * fixed_point.largest_weight(self.max_weight)
            or clipped > included
            or np.max(np.abs(signed), initial=0) > included * self.levels
        ):
            raise OpeningRejected(
                f"the opened sum is not one of {included} encoded updates: "
                "a member sealed something else, or members disagree on the codec"
            )
        weight, grid = fixed / 2**WEIGHT_FRACTION, self.grid
        means = tuple(
            fixed_point.mean_of_products(
                fixed_point.from_limbs(sums[start : start + METRIC_LIMBS]),
                included=included,
                fixed=fixed,
                fraction=self._metric_fraction,
            )
            for start in range(WEIGHT_LIMBS + 1, head, METRIC_LIMBS)
        )
        return Mean(
            update=signed * np.float64(grid.largest / (grid.top * weight)),
            weight=weight,
            metrics=means,
            clipped=clipped,
            rounding_error=self.worst_rounding_error(included=included, weight=weight),
        )

    def fixed_point_mean(
        self, encoded: Sequence[NDArray[np.uint32]], *, size: int, metrics: int = 0
    ) -> Mean:
        """The mean that opening the sum of these members' lanes must give, bit for bit.

        Plaintext reference, without any encryption; parameters and errors as in `decode`.
        """
        total = np.zeros(self.header_lanes(metrics) + size, dtype=np.uint64)
        for lanes in encoded:
            total += lanes
        return self.decode(total, included=len(encoded), size=size, metrics=metrics)
