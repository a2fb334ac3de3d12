"""What an opened sum says: the weighted mean of updates and metrics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
        Bound on the error that rounding put into each entry of `update`, in its units. In a layer
        with a lower bound of its own it is as much lower.
    rounding_norm : float
        Bound on the root mean square of the L2 norm of these errors.
    """

    update: NDArray[np.float64]
    weight: float
    metrics: tuple[float, ...]
    clipped: int
    rounding_error: float
    rounding_norm: float

    def __repr__(self) -> str:
        return f"Mean(size={self.update.size}, weight={self.weight}, metrics={len(self.metrics)})"
