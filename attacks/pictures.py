"""How much of some examples was reconstructed: each against its closest reconstruction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError

GOOD_PSNR = 20.0
"""Decibels from which a person takes a picture for the original."""
GOOD_EXPLAINED = 0.8
"""Share of what sets a picture apart from all others: the mean of similar pictures has none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reconstruction:
    """Closest reconstruction of each example.

    Parameters
    ----------
    psnr : float array, shape (n,)
        Peak signal-to-noise ratio in decibels, the peak being the range of the examples.
    explained : float array, shape (n,)
        Share of the example's squared distance from the mean of all examples (of a single one,
        from its own mean value) that the reconstruction explains; at most 1.
    closest : int array, shape (n,)
        Which candidate it is.
    """

    psnr: NDArray[np.float64]
    explained: NDArray[np.float64]
    closest: NDArray[np.int64]

    @property
    def good(self) -> NDArray[np.bool_]:
        """Which examples were reconstructed well (`GOOD_PSNR` and `GOOD_EXPLAINED`)."""
        found: NDArray[np.bool_] = self.psnr >= GOOD_PSNR
        return found & (self.explained >= GOOD_EXPLAINED)

    @property
    def share(self) -> float:
        """Share of the examples that were."""
        return float(self.good.mean())


def compare(candidates: torch.Tensor, examples: torch.Tensor) -> Reconstruction:
    """Find each example among the candidates.

    Parameters
    ----------
    candidates : tensor, shape (m, ...)
        What an attack came up with, in any order. None at all is a reconstruction of nothing.
    examples : tensor, shape (n, ...)
    """
    if not len(examples) or candidates.shape[1:] != examples.shape[1:]:
        raise ConfigurationError(
            f"candidates {tuple(candidates.shape)} and examples {tuple(examples.shape)} must be "
            "(m, ...) and (n, ...) of one kind"
        )
    if not len(candidates):
        nothing = np.full(len(examples), -np.inf)
        return Reconstruction(psnr=nothing, explained=nothing, closest=np.full(len(examples), -1))
    truth = examples.reshape(len(examples), -1).double()
    found = torch.nan_to_num(candidates.reshape(len(candidates), -1).double(), 0.0, 0.0, 0.0)
    errors = torch.cdist(truth, found) ** 2 / truth.shape[1]
    least, closest = errors.min(dim=1)
    peak = float(truth.max() - truth.min()) or 1.0
    psnr = 10 * np.log10(peak**2 / np.maximum(least.numpy(), 1e-12 * peak**2))
    mean = truth.mean(dim=0) if len(truth) > 1 else truth.mean()
    apart = (truth - mean).square().mean(dim=1).clamp_min(1e-12 * peak**2)
    explained = (1 - least / apart).numpy()
    return Reconstruction(psnr=psnr, explained=explained, closest=closest.numpy())
