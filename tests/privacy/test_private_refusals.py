"""What cannot be private is refused by name, with a remedy, and nothing is charged."""

import logging
import math

import pytest
import torch
from privacy_support import context, site
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, Subset
from torch.utils.data import WeightedRandomSampler as Weighted

from flwr_swarm._exceptions import BudgetExhausted, ConfigurationError
from flwr_swarm.privacy import epsilon_spent, make_private

CALL = {"epochs": 1, "noise_multiplier": 1.0, "budget": 50.0, "delta": 1e-3}


def test_noise_zero_switches_dp_off_and_says_so(caplog):
    model, optimizer, loader = site()
    kept = context()
    with caplog.at_level(logging.WARNING, logger="flwr_swarm"):
        same = make_private(kept, model, optimizer, loader, **{**CALL, "noise_multiplier": 0})
    assert same[0] is model
    assert same[1] is optimizer
    assert same[2] is loader
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "OFF" in caplog.text
    assert epsilon_spent(kept) is None
    with pytest.raises(BudgetExhausted, match="without DP"):
        make_private(kept, model, optimizer, loader, **CALL)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"noise_multiplier": -1.0}, "noise_multiplier"),
        ({"noise_multiplier": math.nan}, "noise_multiplier"),
        ({"noise_multiplier": math.inf}, "noise_multiplier"),
        ({"max_grad_norm": 0.0}, "max_grad_norm"),
        ({"max_grad_norm": math.inf}, "max_grad_norm"),
        ({"epochs": 0}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
        ({"budget": 0.0}, "budget"),
        ({"budget": math.nan}, "budget"),
        ({"delta": 0.0}, "delta"),
        ({"delta": math.nan}, "delta"),
        ({"delta": 1 / 60}, "delta"),
        ({"loss_reduction": "none"}, "loss_reduction"),
    ],
)
def test_a_wrong_number_is_named_and_nothing_is_charged(wrong, says):
    kept = context()
    with pytest.raises(ConfigurationError, match=says):
        make_private(kept, *site(), **{**CALL, **wrong})
    assert len(kept.state) == 0


class Stream(IterableDataset):
    def __iter__(self):
        yield torch.ones(4), 1


DATA = site()[2].dataset
WRONG_LOADERS = {
    "stream": (lambda: DataLoader(Stream(), 1), "map-style"),
    "weighted": (lambda: DataLoader(DATA, 10, sampler=Weighted(torch.ones(60), 60)), "Subset"),
    "part": (
        lambda: DataLoader(DATA, 10, sampler=torch.utils.data.SubsetRandomSampler(range(30))),
        "Subset",
    ),
    "no batches": (lambda: DataLoader(DATA, 100, drop_last=True), "batch_size"),
    "empty": (lambda: DataLoader(Subset(DATA, []), 10), "0 records"),
}
WRONG_MODELS = {
    "batch norm": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)),
        "1 ",
    ),
    "statistics only": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, affine=False), nn.Linear(6, 2)),
        "GroupNorm",
    ),
    "torch lstm": (lambda: nn.Sequential(nn.LSTM(4, 2)), "LSTM"),
    "evaluating": (lambda: nn.Linear(4, 2).eval(), "train"),
    "frozen": (lambda: nn.Linear(4, 2).requires_grad_(False), "trainable"),
}


@pytest.mark.parametrize("case", WRONG_LOADERS)
def test_a_loader_that_poisson_sampling_would_change_is_refused(case):
    make, says = WRONG_LOADERS[case]
    model, optimizer, _ = site()
    kept = context()
    with pytest.raises(ConfigurationError, match=says):
        make_private(kept, model, optimizer, make(), **CALL)
    assert len(kept.state) == 0


@pytest.mark.parametrize("case", WRONG_MODELS)
def test_a_model_that_cannot_be_private_is_refused_with_a_remedy(case):
    make, says = WRONG_MODELS[case]
    model = make()
    optimizer, kept = torch.optim.SGD(model.parameters(), lr=0.1), context()
    with pytest.raises(ConfigurationError, match=says):
        make_private(kept, model, optimizer, site()[2], **CALL)
    assert len(kept.state) == 0
    assert not any(layer._forward_hooks for layer in model.modules())


def test_an_optimizer_of_another_model_is_refused():
    model, _, loader = site()
    with pytest.raises(ConfigurationError, match="not the model's"):
        make_private(context(), model, site()[1], loader, **CALL)
