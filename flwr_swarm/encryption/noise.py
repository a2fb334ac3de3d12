"""Noise that the members of a sum add together: Skellam, so that integer shares add up exactly.

The sum of independent Skellam variables is Skellam, and their variances add up. A site whose share
has 1/h of the variance needs h - 1 others that add theirs, and need not trust anybody else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError

from .randomness import Stream

TAIL: Final = 12
"""Deviations of a share for which a lane keeps room: beyond is less than 2^-96 an entry."""
_BELOW_ONE: Final = 2.0**-64


@dataclass(frozen=True, kw_only=True)
class SharedNoise:
    """What all members agree on about the noise of a sum.

    Parameters
    ----------
    noise_multiplier : float
        Standard deviation of the noise in a sum over `sensitivity`, > 0, if `honest` members add
        their share. With more it is more.
    sensitivity : float
        L2 norm by which one record can change a member's weight times its update: the learning
        rate times `max_grad_norm`, since a member's weight is its expected batch size.
    honest : int
        Members of every sum that add their share and tell nobody, at least. The smallest sum,
        less those who may collude or leave their share out.
    """

    noise_multiplier: float
    sensitivity: float
    honest: int

    def __post_init__(self) -> None:
        for name in ("noise_multiplier", "sensitivity"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigurationError(f"{name} of shared noise must be > 0, got {value}")
        if self.honest < 1:
            raise ConfigurationError(
                f"honest of shared noise must be 1 or more, got {self.honest}; give the smallest "
                "number of members of a sum, less the tolerated faults"
            )

    def to_terms(self) -> dict[str, float | int]:
        """Public numbers, for the hash of the terms."""
        return {
            "noise_multiplier": float(self.noise_multiplier),
            "sensitivity": float(self.sensitivity),
            "honest": int(self.honest),
        }


def skellam(variance: float, count: int, stream: Stream) -> NDArray[np.int64]:
    """`count` Skellam variables of mean 0, by inversion in double precision.

    128 bits each decide the magnitude, so that tails are as exact as the middle.

    Parameters
    ----------
    variance : float
        Of each, > 0: the difference of two Poisson variables of half of it.
    stream : Stream
    """
    # Entry by entry, so that a vector gets the same noise in however many pieces it comes.
    words = stream.words64(3 * count).reshape(count, 3)
    high, low = words[:, 0].astype(np.float64), words[:, 1].astype(np.float64)
    uniform = (high + (low + 0.5) * _BELOW_ONE) * _BELOW_ONE
    rising = _tails(variance)
    magnitude = len(rising) - np.searchsorted(rising, uniform, side="right")
    signs = 1 - 2 * (words[:, 2] & np.uint64(1)).astype(np.int64)
    result: NDArray[np.int64] = magnitude.astype(np.int64) * signs
    return result


@lru_cache(maxsize=4)
def _tails(variance: float) -> NDArray[np.float64]:
    """P(|Z| >= k) for k from the largest down to 1, so that they rise.

    P(Z = k) is e^-v I_k(v). The ratios r_k = I_{k+1}(v) / I_k(v) come from the stable backward
    recurrence r_{k-1} = 1 / (2k/v + r_k), begun at a bound of Amos (1974).
    """
    deviation = math.sqrt(variance)
    largest = math.ceil(2 * TAIL * deviation) + 40
    ratio = variance / (largest + 1 + math.hypot(variance, largest + 1))
    ratios = np.empty(largest)
    for k in range(largest, 0, -1):
        ratio = 1.0 / (2.0 * k / variance + ratio)
        ratios[k - 1] = ratio
    mass = np.exp(np.cumsum(np.log(ratios)))  # of 1, 2, ... over that of 0
    tails: NDArray[np.float64] = np.cumsum(mass[::-1])
    tails *= 2 / (1 + 2 * tails[-1])
    return tails[tails > 0]
