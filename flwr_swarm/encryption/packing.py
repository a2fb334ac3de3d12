"""Lanes of small integers side by side in one ring coefficient; sums stay in their lanes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .parameters import DEGREE, RingParameters


def pack(lanes: NDArray[np.uint32], parameters: RingParameters) -> NDArray[np.int64]:
    """Coefficients of all chunks, (chunks, 4096), the lowest lane first, zeros to the end."""
    chunks = parameters.chunks(lanes.size)
    padded = np.zeros(chunks * parameters.lanes_per_chunk, dtype=np.int64)
    padded[: lanes.size] = lanes
    rows = padded.reshape(-1, parameters.lanes)
    packed = rows[:, 0].copy()
    for lane in range(1, parameters.lanes):
        packed |= rows[:, lane] << (lane * parameters.lane_bits)
    return packed.reshape(chunks, DEGREE)


def unpack(
    coefficients: NDArray[np.int64], lanes: int, parameters: RingParameters
) -> NDArray[np.uint64]:
    """The first `lanes` lane sums, 1-D."""
    flat = coefficients.reshape(-1)
    rows = np.empty((flat.size, parameters.lanes), dtype=np.uint64)
    mask = (1 << parameters.lane_bits) - 1
    for lane in range(parameters.lanes):
        rows[:, lane] = (flat >> (lane * parameters.lane_bits)) & mask
    return rows.reshape(-1)[:lanes]
