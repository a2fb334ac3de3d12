"""Lanes of small integers side by side in one ring coefficient; sums stay in their lanes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import CapacityExceeded, OpeningRejected, UpdateMismatch

from .parameters import DEGREE, RingParameters
from .wire import MAX_LANES


def check_lanes(lanes: NDArray[np.uint32], parameters: RingParameters) -> None:
    """Raise UpdateMismatch or CapacityExceeded unless `pack` can take these lanes."""
    if lanes.ndim != 1 or lanes.dtype != np.uint32 or not lanes.size:
        raise UpdateMismatch(
            f"lanes must be a non-empty vector of uint32, got {lanes.dtype} {lanes.shape}"
        )
    if int(lanes.max()) >> parameters.lane_bits:
        raise CapacityExceeded(
            f"a lane needs more than {parameters.lane_bits} bits; encode with `Codec`"
        )


def check_length(lanes: int) -> None:
    """Raise CapacityExceeded if so many lanes are no update."""
    if lanes > MAX_LANES:
        raise CapacityExceeded(
            f"{lanes} lanes exceed the {MAX_LANES} of one update; use a smaller model"
        )


def pack(
    lanes: NDArray[np.uint32], parameters: RingParameters, *, chunks: int | None = None
) -> NDArray[np.int64]:
    """Coefficients of all chunks, (chunks, 4096), the lowest lane first, zeros to the end.

    With `chunks`, so many of them: `lanes` are then a part of an update.
    """
    chunks = parameters.chunks(lanes.size) if chunks is None else chunks
    padded = np.zeros(chunks * parameters.lanes_per_chunk, dtype=np.int64)
    padded[: lanes.size] = lanes
    rows = padded.reshape(-1, parameters.lanes)
    packed = rows[:, 0].copy()
    for lane in range(1, parameters.lanes):
        packed |= rows[:, lane] << (lane * parameters.lane_bits)
    return packed.reshape(chunks, DEGREE)


def unpack(
    coefficients: NDArray[np.int64], parameters: RingParameters, *, out: NDArray[np.uint32]
) -> None:
    """Write the lane sums in `coefficients` to `out`, as many as they hold."""
    flat, rows = coefficients.reshape(-1), out.reshape(-1, parameters.lanes)
    mask = (1 << parameters.lane_bits) - 1
    for lane in range(parameters.lanes):
        rows[:, lane] = (flat >> (lane * parameters.lane_bits)) & mask


def without_filling(sums: NDArray[np.uint32], lanes: int) -> NDArray[np.uint32]:
    """The first `lanes` lane sums.

    Raises
    ------
    OpeningRejected
        If a lane behind them is not zero: what fills up the last chunk checks the key.
    """
    if sums[lanes:].any():
        raise OpeningRejected(
            f"the sum opens to more than its {lanes} lanes: an opening was shifted, or a member "
            "sealed something else than an update"
        )
    return sums[:lanes]
