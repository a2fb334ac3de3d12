"""The integers of a lane: how many are the update's own, and how many are room for noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError

from .noise import TAIL, SharedNoise, skellam
from .quantise import BLOCK
from .randomness import RandomBytes, Stream

_WIDEST: Final = 2.0**20
"""Deviation of a share, in levels. Values of 24 bits, all that precision=16 gives, need less."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Rounding of entries, and what shared noise makes of it.

    Parameters
    ----------
    levels : int
        A lane holds the integers from -levels to levels, offset by levels.
    largest : float
        Largest entry of a weighted update: clip times the largest weight.
    noise : SharedNoise or None
    """

    levels: int
    largest: float
    noise: SharedNoise | None

    def check(self) -> None:
        """Raise ConfigurationError if noise leaves too few levels to tell one record's change.

        Or so many that it could not be drawn: a table of its distribution is as long as it is.
        """
        if self.noise is not None and self.sensitivity < 1:
            raise ConfigurationError(
                f"shared noise leaves {self.top} levels for updates of at most {self.largest:g} "
                f"(clip * max_weight), of which one record moves {self.sensitivity:.2g}; lower "
                "clip, max_weight (towards the largest expected batch), or noise_multiplier"
            )
        if self.share_variance > _WIDEST**2:
            raise ConfigurationError(
                f"a share of the noise would be {math.sqrt(self.share_variance):.2g} levels wide, "
                f"of at most {_WIDEST:g} for which there are tables; noise is far coarser than "
                "rounding then, so use precision=16"
            )

    @property
    def top(self) -> int:
        """The integer of the largest entry; without noise the lane's own."""
        return math.floor(self.levels / (1 + TAIL * self._relative_share))

    @property
    def sensitivity(self) -> float:
        """L2 norm, in integers, by which one record changes an update before it is rounded."""
        return 0.0 if self.noise is None else self.noise.sensitivity * self.top / self.largest

    @property
    def share_variance(self) -> float:
        """Variance, in integers, of one member's share of the noise."""
        return (self._relative_share * self.top) ** 2

    @property
    def _relative_share(self) -> float:
        """Deviation of a share over the largest entry."""
        noise = self.noise
        if noise is None:
            return 0.0
        deviation = noise.noise_multiplier * noise.sensitivity / math.sqrt(noise.honest)
        return deviation / self.largest

    def add_share(self, entries: NDArray[np.uint32], random: RandomBytes) -> None:
        """Add a member's noise in place to integers offset by `top`; they come out by `levels`."""
        if self.noise is None:
            return
        stream = Stream(random=random)
        for start in range(0, entries.size, BLOCK):
            block = entries[start : start + BLOCK]
            noisy = block.astype(np.int64) + (self.levels - self.top)
            noisy += skellam(self.share_variance, block.size, stream)
            # A lane must not overflow, though no share is ever so long: see `TAIL`.
            block[:] = np.clip(noisy, 0, 2 * self.levels)
