"""Entries of an update: checked, clipped to an L2 ball, and rounded to a symmetric grid."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import NonFiniteUpdate, UpdateMismatch

from .engines import engine_for
from .parameters import DEFAULT
from .randomness import RandomBytes, Stream

BLOCK: Final = 1 << 15
"""Entries that are worked on at a time: what a core's cache holds."""
_LARGEST_EXPONENT: Final = 1023


def check_update(update: NDArray[np.float64]) -> None:
    """Raise unless `update` is a non-empty vector of finite float64.

    Raises
    ------
    UpdateMismatch
        If dtype or shape differ.
    NonFiniteUpdate
        If an entry is NaN or infinite; the message says where, and no other value.
    """
    if update.dtype != np.float64 or update.ndim != 1 or not update.size:
        raise UpdateMismatch(
            f"an update must be a non-empty vector of float64, got {update.dtype} {update.shape}; "
            "concatenate the flattened arrays"
        )
    if not all(np.isfinite(block).all() for block in _blocks(update)):
        bad = np.flatnonzero(~np.isfinite(update))
        first, last = int(bad[0]), int(bad[-1])
        raise NonFiniteUpdate(
            f"{bad.size} of {update.size} entries are not finite, the first at {first} "
            f"({update[first]}), the last at {last}; lower the learning rate or check the data"
        )


def _blocks(vector: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    for start in range(0, vector.size, BLOCK):
        yield vector[start : start + BLOCK]


def clip_to_ball(update: NDArray[np.float64], clip: float) -> tuple[NDArray[np.float64], bool]:
    """A finite `update` scaled down to L2 norm `clip` if it is longer, and whether it was."""
    factors = factors_to_ball(update, clip)
    if factors is None:
        return update, False
    clipped = update * factors[0]
    clipped *= factors[1]
    return clipped, True


def factors_to_ball(update: NDArray[np.float64], clip: float) -> tuple[float, float] | None:
    """Two factors, to be applied in turn, that scale a finite `update` down to L2 norm `clip`.

    None if it is no longer than that.
    """
    largest = max(float(np.max(np.abs(block))) for block in _blocks(update))
    if largest == 0.0:
        return None
    # In two steps, the first by a power of two, exact, that brings the largest entry near one: no
    # square overflows or vanishes, and no factor is so small that it loses digits, which would
    # let the clipped norm exceed the bound.
    near_one = math.ldexp(1.0, min(-math.frexp(largest)[1], _LARGEST_EXPONENT))
    squares = (float(np.sum(np.square(block * near_one))) for block in _blocks(update))
    relative = math.sqrt(math.fsum(squares))
    if clip * near_one >= relative:
        return None
    return near_one, clip / relative


def round_to_grid(
    update: NDArray[np.float64],
    *,
    scale: float,
    levels: int,
    random: RandomBytes,
    out: NDArray[np.uint32],
) -> None:
    """Write round(update * scale) + levels to `out`, rounding up with the fraction's probability.

    The expectation is exact to within 2^-32 of a step, and integers, zero among them, stay.

    Parameters
    ----------
    update : (n,) float64
        Finite, |update * scale| <= levels but for the last bit.
    scale : float
    levels : int
        Integers from -levels to levels are on the grid.
    random : callable
    out : (n,) uint32
    """
    stream = Stream(random=random)
    engine = engine_for(update.size // DEFAULT.lanes_per_chunk)
    for start in range(0, update.size, BLOCK):
        block = update[start : start + BLOCK]
        coins = stream.words32(block.size)
        engine.round(block, scale=scale, levels=levels, coins=coins, out=out[start : start + BLOCK])
