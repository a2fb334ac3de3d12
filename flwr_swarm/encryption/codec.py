"""A member's update, weight and metrics as lanes of integers, and the exact mean of their sums.

Lanes of one member: the weight in limbs, one lane that is 1 if the update was clipped, each metric
times the weight in limbs, then one lane for each entry of the update times the weight. Entries
and limbs leave ceil(log2(members)) bits of a lane free, so no sum of so many overflows.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError, OpeningRejected, UpdateMismatch

from . import fixed_point
from .fixed_point import METRIC_BOUND, PRODUCT_LIMIT, WEIGHT_FRACTION, WEIGHT_LIMIT
from .grid import Grid
from .header import NOT_A_SUM, Header
from .layers import Layer, Part, check_noise, clip_parts, parts_of
from .mean import Mean
from .noise import SharedNoise
from .parameters import RingParameters
from .profile import DEFAULT_PRECISION, Precision, Profile
from .quantise import check_update, round_to_grid
from .randomness import RandomBytes


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
    precision : {8, 12, 16, 24}
        Bits of a value at least; see `Profile`.
    metric_bound : float
        Public bound of |metric|; max_weight * metric_bound is at most 2^45.
    noise : SharedNoise, optional
        Each member adds its share of it to its integers. Nothing else is then told of an update:
        no metric, and not whether it was clipped. Not beside layers with bounds of their own.

    Raises
    ------
    ConfigurationError
        If a parameter cannot work. Nothing can overflow later.
    """

    clip: float = 10.0
    max_weight: float = 65536.0
    members: int
    precision: Precision = DEFAULT_PRECISION
    metric_bound: float = METRIC_BOUND
    noise: SharedNoise | None = None

    def __post_init__(self) -> None:
        """Refuse parameters under which a lane could overflow."""
        if not (math.isfinite(self.clip) and self.clip > 0):
            raise ConfigurationError(
                f"clip must be > 0 and finite, got {self.clip}; "
                "choose the L2 norm of a typical update"
            )
        _ = self.profile  # refuses bits and members that no lane holds
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
    def profile(self) -> Profile:
        """Lanes for this precision and so many members."""
        return Profile(bits=self.precision, members=self.members)

    @property
    def ring(self) -> RingParameters:
        """What encrypts these lanes: ``ThresholdScheme(parameters=codec.ring)``."""
        return self.profile.ring

    @property
    def value_bits(self) -> int:
        """Bits of one member's lane for an entry."""
        return self.profile.value_bits

    @property
    def levels(self) -> int:
        """L: entries are integers from -L to L, offset by L; without noise the grid has all."""
        return self.profile.levels

    @property
    def grid(self) -> Grid:
        """The integers between which entries are rounded."""
        return Grid(levels=self.levels, largest=self.clip * self.max_weight, noise=self.noise)

    @property
    def header(self) -> Header:
        """The lanes before the entries."""
        return Header(
            max_weight=self.max_weight,
            metric_bound=self.metric_bound,
            limb_bits=self.profile.limb_bits,
        )

    def header_lanes(self, metrics: int) -> int:
        """Lanes before the entries."""
        return self.header.lanes(metrics)

    def worst_rounding_error(self, *, included: int, weight: float) -> float:
        """Bound on the rounding error of an entry of the mean, in units of the update.

        In a layer with lower bounds of its own it is as much lower as they are.

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
        terms = {
            "clip": self.clip,
            "max_weight": self.max_weight,
            "members": self.members,
            "metric_bound": self.metric_bound,
            "value_bits": self.value_bits,
            "weight_fraction": WEIGHT_FRACTION,
            "metric_fraction": self.header.metric_fraction,
        }
        if self.precision != DEFAULT_PRECISION:  # terms with it stay what they were
            ring = self.ring
            terms |= {"lanes": ring.lanes, "lane_bits": ring.lane_bits}
            terms |= {"limb_bits": self.profile.limb_bits}
        return terms

    def _parts(self, layers: Sequence[Layer], size: int) -> list[Part]:
        check_noise(layers, self.noise)
        return parts_of(layers, size, self.clip)

    def encode(
        self,
        update: NDArray[np.float64],
        *,
        weight: float,
        metrics: Sequence[float] = (),
        layers: Sequence[Layer] = (),
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
        layers : sequence of Layer
            Parts of `update` in order, the same at all members; without, one clip holds for all.
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
        parts, grid = self._parts(layers, update.size), self.grid
        fixed = fixed_point.fixed_weight(weight, self.max_weight)
        bounded, clipped = clip_parts(update, parts, self.clip)
        head = self.header.encode(fixed, metrics, clipped=clipped and self.noise is None)
        lanes = np.empty(len(head) + update.size, dtype=np.uint32)
        lanes[: len(head)] = head
        entries = lanes[len(head) :]
        share = fixed / 2**WEIGHT_FRACTION / self.max_weight
        for part in parts:
            round_to_grid(
                bounded[part.place],
                scale=share * grid.top / part.largest,
                levels=grid.top,
                random=random,
                out=entries[part.place],
            )
        grid.add_share(entries, random)
        return lanes

    def decode(
        self,
        sums: NDArray[np.uint64],
        *,
        included: int,
        size: int,
        metrics: int = 0,
        layers: Sequence[Layer] = (),
    ) -> Mean:
        """The exact weighted mean from the sums of lanes.

        Parameters
        ----------
        sums : (header_lanes(metrics) + size,) uint64
        included : int
            Members in the sum, 1 to `members`.
        size, metrics : int
            Entries of the update, and metrics of each member.
        layers : sequence of Layer
            As they were encoded.

        Raises
        ------
        ConfigurationError
            If `included` is out of bounds.
        UpdateMismatch
            If there are more or fewer lanes.
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
        parts, grid = self._parts(layers, size), self.grid
        fixed, clipped, means = self.header.decode(sums[:head], included)
        signed = sums[head:].astype(np.int64) - included * self.levels
        if np.max(np.abs(signed), initial=0) > included * self.levels:
            raise OpeningRejected(NOT_A_SUM.format(included=included))
        weight = fixed / 2**WEIGHT_FRACTION
        update = np.empty(size)
        variance = 0.0
        for part in parts:
            step = np.float64(part.largest * self.max_weight / (grid.top * weight))
            entries = update[part.place]
            np.multiply(signed[part.place], step, out=entries)
            variance += entries.size * included * float(step) ** 2 / 4
        return Mean(
            update=update,
            weight=weight,
            metrics=means,
            clipped=clipped,
            rounding_error=self.worst_rounding_error(included=included, weight=weight),
            rounding_norm=math.sqrt(variance),
        )

    def fixed_point_mean(
        self,
        encoded: Sequence[NDArray[np.uint32]],
        *,
        size: int,
        metrics: int = 0,
        layers: Sequence[Layer] = (),
    ) -> Mean:
        """The mean that opening the sum of these members' lanes must give, bit for bit.

        Plaintext reference, without any encryption; parameters and errors as in `decode`.
        """
        total = np.zeros(self.header_lanes(metrics) + size, dtype=np.uint64)
        for lanes in encoded:
            total += lanes
        return self.decode(total, included=len(encoded), size=size, metrics=metrics, layers=layers)
