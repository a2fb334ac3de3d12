"""How much of some examples was reconstructed: each against its closest reconstruction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError

GOOD_PSNR = 20.0
"""Decibels from which a person takes a picture for the original."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reconstruction:
    """Closest reconstruction of each example.

    Parameters
    ----------
    psnr : float array, shape (n,)
        Peak signal-to-noise ratio in decibels, the peak being the range of the examples.
    closest : int array, shape (n,)
        Which candidate it is.
    """

    psnr: NDArray[np.float64]
    closest: NDArray[np.int64]

    @property
    def share(self) -> float:
        """Share of examples that were reconstructed well (`GOOD_PSNR`)."""
        return float((self.psnr >= GOOD_PSNR).mean())


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
        return Reconstruction(
            psnr=np.full(len(examples), -np.inf), closest=np.full(len(examples), -1)
        )
    truth = examples.reshape(len(examples), -1).double()
    found = torch.nan_to_num(candidates.reshape(len(candidates), -1).double(), 0.0, 0.0, 0.0)
    errors = torch.cdist(truth, found) ** 2 / truth.shape[1]
    least, closest = errors.min(dim=1)
    peak = float(truth.max() - truth.min()) or 1.0
    psnr = 10 * np.log10(peak**2 / np.maximum(least.numpy(), 1e-12 * peak**2))
    return Reconstruction(psnr=psnr, closest=closest.numpy())
