"""Entries of an update: checked, clipped to an L2 ball, and rounded to a symmetric grid."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import NonFiniteUpdate, UpdateMismatch

from .randomness import RandomBytes, Stream

BLOCK: Final = 1 << 15
"""Entries that are worked on at a time: what a core's cache holds."""


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
    bad = np.flatnonzero(~np.isfinite(update))
    if bad.size:
        first, last = int(bad[0]), int(bad[-1])
        raise NonFiniteUpdate(
            f"{bad.size} of {update.size} entries are not finite, the first at {first} "
            f"({update[first]}), the last at {last}; lower the learning rate or check the data"
        )


def clip_to_ball(update: NDArray[np.float64], clip: float) -> tuple[NDArray[np.float64], bool]:
    """A finite `update` scaled down to L2 norm `clip` if it is longer, and whether it was."""
    largest = float(np.max(np.abs(update)))
    if largest == 0.0:
        return update, False
    # In two steps, through the largest entry: no square overflows or vanishes, and no factor is
    # so small that it loses digits, which would let the clipped norm exceed the bound.
    direction = update / largest
    relative = math.sqrt(float(np.sum(np.square(direction))))
    if clip / largest >= relative:
        return update, False
    direction *= clip / relative
    return direction, True


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
    for start in range(0, update.size, BLOCK):
        exact = update[start : start + BLOCK] * scale
        np.clip(exact, -levels, levels, out=exact)  # clipping may leave one unit in the last place
        below = np.floor(exact)
        exact -= below
        coins = stream.words32(exact.size) * 2.0**-32
        below += coins < exact
        below += levels
        out[start : start + BLOCK] = below
