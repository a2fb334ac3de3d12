"""Shadow federations: what FedAvg over several sites would have made of other rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from flwr_swarm._exceptions import ConfigurationError

from .shadows import Ensemble, OptimizerFactory, train_shadows


def train_federations(
    make_model: Callable[[], nn.Module],
    x: torch.Tensor,
    y: torch.Tensor,
    masks: NDArray[np.bool_],
    sites: NDArray[np.int64],
    *,
    rounds: int,
    epochs: int,
    batch_size: int,
    optimizer: OptimizerFactory,
    initial: Mapping[str, torch.Tensor],
    seed: int = 0,
) -> list[Ensemble]:
    """FedAvg as the victims ran it, once a mask, all together.

    Parameters
    ----------
    make_model : callable
        As in `train_shadows`.
    x, y : tensors
        The rows of all sites.
    masks : bool array, shape (K, n)
        Which rows train in which federation.
    sites : int array, shape (n,)
        Who holds each row.
    rounds, epochs, batch_size : int
        Of the victims: rounds, and epochs at a site in each.
    optimizer : callable
        As in `train_shadows`; made anew for each site and round, as sites do.
    initial : state dict
        The first global model, which is public.
    seed : int

    Returns
    -------
    list of Ensemble
        The global models after each round.
    """
    if sites.shape != (masks.shape[1],):
        raise ConfigurationError(
            f"sites has shape {sites.shape} for {masks.shape[1]} rows; name the site of each row"
        )
    weights = torch.stack(
        [torch.from_numpy((masks & (sites == site)).sum(axis=1)) for site in np.unique(sites)]
    ).double()
    start: Mapping[str, torch.Tensor] | Ensemble = initial
    found: list[Ensemble] = []
    for turn in range(rounds):
        trained = []
        for k, site in enumerate(np.unique(sites)):
            here = np.flatnonzero(sites == site)
            trained.append(
                train_shadows(
                    make_model,
                    x[here],
                    y[here],
                    masks[:, here],
                    epochs=epochs,
                    batch_size=batch_size,
                    optimizer=optimizer,
                    initial=start,
                    seed=seed + 1000 * turn + k,
                )
            )
        start = _averaged(trained, weights / weights.sum(dim=0))
        found.append(start)
    return found


def _averaged(trained: list[Ensemble], weights: torch.Tensor) -> Ensemble:
    """The weighted mean over sites, federation by federation; weights have shape (sites, K)."""

    def mean(values: list[torch.Tensor]) -> torch.Tensor:
        total = torch.zeros_like(values[0], dtype=torch.float64)
        for value, weight in zip(values, weights, strict=True):
            total += value.double() * weight.reshape(-1, *[1] * (value.ndim - 1))
        return total.to(values[0].dtype)

    def of(kind: str) -> dict[str, torch.Tensor]:
        return {
            n: mean([getattr(one, kind)[n] for one in trained]) for n in getattr(trained[0], kind)
        }

    return Ensemble(
        skeleton=trained[0].skeleton, parameters=of("parameters"), buffers=of("buffers")
    )
