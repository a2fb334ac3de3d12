"""Model, patients and training loop: plain PyTorch, as in any Flower project."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from flwr_swarm.demo.data import Cohort, load


class Net(nn.Module):
    """One hidden layer over a patient's features; returns logits of shape (n,)."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x).squeeze(-1)


def build(config: dict[str, Any]) -> Net:
    """An untrained model, the same for the same seed."""
    torch.manual_seed(int(config["seed"]))
    return Net(len(load(str(config["dataset"])).features), int(config["hidden"]))


def loader_of(cohort: Cohort, config: dict[str, Any], *, salt: int = 0) -> DataLoader[Any]:
    """Shuffled batches of a cohort; the order follows the seed and `salt`."""
    order = torch.Generator().manual_seed(1_000_003 * int(config["seed"]) + salt)
    rows = TensorDataset(torch.from_numpy(cohort.x), torch.from_numpy(cohort.y))
    return DataLoader(rows, int(config["batch-size"]), shuffle=True, generator=order)


def optimizer_of(model: nn.Module, config: dict[str, Any]) -> torch.optim.Optimizer:
    """Plain SGD."""
    return torch.optim.SGD(model.parameters(), lr=float(config["learning-rate"]))


def fit(
    model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader[Any], epochs: int
) -> float:
    """Train in place; return the mean loss of the last epoch."""
    model.train()
    total = rows = 0.0
    for _ in range(epochs):
        total = rows = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.binary_cross_entropy_with_logits(model(x), y)
            loss.backward()
            optimizer.step()
            if len(y) > 0:  # a private loader draws empty batches too; they take a step as well
                total, rows = total + loss.item() * len(y), rows + len(y)
    return total / max(rows, 1.0)


@torch.no_grad()
def score(model: nn.Module, cohort: Cohort) -> torch.Tensor:
    """Logits of shape (n,) for the rows of a cohort."""
    model.eval()
    return model(torch.from_numpy(cohort.x))


def swarm(config: dict[str, Any]) -> dict[str, Any]:
    """What a swarm agrees on beside the strategy: the largest site, and the budget on chain."""
    private = float(config["noise-multiplier"]) > 0
    return {
        "max_weight": float(config["max-examples"]),
        "epsilon_cap": float(config["epsilon-budget"]) if private else None,
    }


def dp(config: dict[str, Any]) -> dict[str, Any]:
    """What differentially private training needs to know."""
    return {
        "epochs": int(config["local-epochs"]),
        "noise_multiplier": float(config["noise-multiplier"]),
        "max_grad_norm": float(config["max-grad-norm"]),
        "delta": float(config["delta"]),
        "budget": float(config["epsilon-budget"]),
    }
