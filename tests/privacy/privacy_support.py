"""A small site: data, model, and the training loop that a user would write."""

import warnings
from functools import cache
from unittest.mock import patch

import torch
from flwr.app import Context, RecordDict
from hypothesis import settings
from opacus.accountants import RDPAccountant
from opacus.accountants.analysis import rdp
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

unhurried = settings(deadline=None, max_examples=40)


@cache
def _slow(q, noise_multiplier, steps):
    orders = RDPAccountant.DEFAULT_ALPHAS
    return rdp_of_opacus(q=q, noise_multiplier=noise_multiplier, steps=steps, orders=orders)


rdp_of_opacus = rdp.compute_rdp


def opacus_epsilon(history, delta):
    """Opacus' own accountant over (noise multiplier, sample rate, steps); repeats are cached."""
    accountant = RDPAccountant()
    accountant.history = list(history)
    cached = patch.object(rdp, "compute_rdp", lambda orders, **key: _slow(**key))
    with warnings.catch_warnings(), cached:
        warnings.simplefilter("ignore")
        return max(0.0, accountant.get_epsilon(delta=delta))


def context(state=None):
    return Context(
        run_id=1,
        node_id=2,
        node_config={},
        state=RecordDict() if state is None else state,
        run_config={},
    )


def site(records=60, batch_size=10, *, seed=0, layers=None):
    torch.manual_seed(seed)
    model = layers or nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    data = TensorDataset(torch.randn(records, 4), torch.randint(0, 2, (records,)))
    loader = DataLoader(data, batch_size, shuffle=True)
    return model, torch.optim.SGD(model.parameters(), lr=0.1), loader


def train(model, optimizer, loader, epochs=1):
    steps = 0
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            steps += 1
    return steps


def weights(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])
