"""Canaries grafted onto a model and a loader that are about to be trained privately.

Each canary is a record whose gradient lies in a row of its own of an extra `nn.Embedding(m+1, 1)`.
Whatever clips, samples, noises and accounts the patients does the same to it. What the optimizer
gets for that row is the canary's noisy score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from flwr_swarm._exceptions import ConfigurationError

NAME = "flwr_swarm_canaries"
_PULL = 1e4
"""Length of a canary's gradient before clipping: nothing else of the record counts beside it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Graft:
    """Canaries for one call of `make_private`, and what became of them.

    Parameters
    ----------
    chosen : bool array, shape (m,)
        Which canaries are in the data; the rows of the others show the noise alone.
    gradients : float64 array, shape (m,)
        What the optimizer was given for each row so far, added up over the steps.
    steps : list of float
        Length of what it was given in each step.
    """

    chosen: NDArray[np.bool_]
    gradients: NDArray[np.float64] = field(init=False)
    steps: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gradients", np.zeros(len(self.chosen)))

    def attach(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loader: DataLoader[Any],
        *,
        sparse: int = 0,
    ) -> DataLoader[Any]:
        """Change model and optimizer in place; return a loader of one batch: the data, once.

        With one batch everybody is in every step, and the mechanism is exactly Gaussian. With
        `sparse` > 0 it has so many records only, in as many batches, so that a third is empty.
        """
        nobody = len(self.chosen)
        rows = nn.Embedding(nobody + 1, 1, padding_idx=nobody)
        nn.init.zeros_(rows.weight)
        device = next(model.parameters()).device
        holder = _holder(model)
        holder.add_module(NAME, rows.to(device).train())
        holder.register_state_dict_post_hook(_forget)
        optimizer.add_param_group({"params": list(rows.parameters())})
        patients = Subset(loader.dataset, range(sparse)) if sparse else loader.dataset
        data = _WithCanaries(data=patients, canaries=np.flatnonzero(self.chosen))
        collate = _Collate(inner=loader.collate_fn, nobody=nobody)

        def pull(_model: nn.Module, _inputs: Any, output: Any) -> Any:
            if not torch.is_grad_enabled():
                return output
            first = output[0] if isinstance(output, tuple) else output
            pulled = _Pull.apply(first, rows(collate.indices(len(first)).to(first.device)))
            return (pulled, *output[1:]) if isinstance(output, tuple) else pulled

        def record(_optimizer: Any, _args: Any, _kwargs: Any) -> None:
            if rows.weight.grad is not None:
                given = rows.weight.grad[:nobody, 0].detach().cpu().double().numpy()
                self.gradients[:] -= given
                self.steps.append(float(np.linalg.norm(given)))

        model.register_forward_hook(pull)
        optimizer.register_step_pre_hook(record)
        return DataLoader(data, 1 if sparse else len(data), shuffle=True, collate_fn=collate)


class _Pull(torch.autograd.Function):
    """Leaves a model's output as it is, and pulls each record's own row by a fixed gradient."""

    @staticmethod
    def forward(_ctx: Any, output: torch.Tensor, _rows: torch.Tensor) -> torch.Tensor:
        return output.view_as(output)

    @staticmethod
    def backward(_ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return gradient, torch.full((len(gradient), 1), -_PULL, dtype=gradient.dtype)


@dataclass(frozen=True, kw_only=True, eq=False)
class _WithCanaries(Dataset[Any]):
    """Records of `data`, then one copy of the first record for each canary; with their rows."""

    data: Any
    canaries: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.data) + len(self.canaries)

    def __getitem__(self, index: int) -> tuple[int | None, Any]:
        place = index - len(self.data)
        if place < 0:
            return None, self.data[index]
        return int(self.canaries[place]), self.data[0]


@dataclass(kw_only=True, eq=False)
class _Collate:
    """The user's collation, that keeps the rows of the last batch for the forward pass."""

    inner: Callable[[list[Any]], Any]
    nobody: int
    last: list[int] = field(default_factory=list)

    def __call__(self, items: list[tuple[int | None, Any]]) -> Any:
        self.last = [self.nobody if row is None else row for row, _ in items]
        return self.inner([item for _, item in items])

    def indices(self, records: int) -> torch.Tensor:
        """Rows of a batch of so many records; an empty Poisson batch is never collated."""
        if records and records != len(self.last):
            raise ConfigurationError(
                f"the model was called on {records} records, the loader gave {len(self.last)}; "
                "canaries can be told apart only if a batch goes through the model as it is"
            )
        return torch.tensor(self.last[:records], dtype=torch.long)


def _holder(model: nn.Module) -> nn.Module:
    """A layer that keeps a stranger among its children; containers would call it in turn."""
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    return next(layer for layer in model.modules() if not isinstance(layer, containers))


def _forget(_module: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    """Canaries do not travel with the model."""
    for name in [name for name in state if name.startswith(f"{prefix}{NAME}.")]:
        del state[name]
