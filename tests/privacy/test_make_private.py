"""The private gradient is the clipped sum it should be, and the model stays the user's own."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.grad_sample import GradSampleModule
from opacus.layers import DPLSTM
from privacy_support import context, site, train, weights
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from flwr_swarm._exceptions import BudgetExhausted, PrivacyError
from flwr_swarm.privacy import make_private

CALL = {"epochs": 1, "noise_multiplier": 1.0, "budget": 50.0, "delta": 1e-3}


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.out = DPLSTM(2, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x):
        return self.out(self.lstm(x.reshape(len(x), 2, 2))[0][:, -1])


class Direct(nn.Module):
    """Parameters of its own, one layer used twice, in-place operations."""

    def __init__(self):
        super().__init__()
        self.shift, self.twice, self.out = Shift(), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        h = self.twice(self.shift(x))
        h += x
        return self.out(self.twice(h.relu_()))


class Tied(nn.Module):
    """One weight in two layers, a frozen bias, and a linear layer over a sequence."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(2, 2)
        self.b.weight = self.a.weight
        self.out.bias.requires_grad_(False)

    def forward(self, x):
        return self.out(self.b(self.a(x).tanh()).reshape(len(x), 2, 2)).sum(dim=1)


class Shift(nn.Module):
    def __init__(self):
        super().__init__()
        self.by, self.times = nn.Parameter(torch.randn(4)), nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        return x * self.times + self.by


MODELS = {
    "mlp": lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 2)),
    "norm": lambda: nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 2)),
    "conv": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 4, 2), nn.GroupNorm(2, 4), nn.Flatten(),
        nn.Linear(12, 2),
    ),
    "lstm": Recurrent,
    "direct": Direct,
    "tied": Tied,
}  # fmt: skip


@pytest.mark.parametrize("clip", [0.3, 1e3])
@pytest.mark.parametrize("name", MODELS)
def test_without_noise_a_step_is_the_clipped_sum_of_single_record_gradients(name, clip):
    """The oracle is a loop over records with plain autograd; noise is set negligible."""
    model, optimizer, loader = site(records=12, batch_size=12, layers=MODELS[name]())
    expected = torch.zeros_like(weights(model))
    for x, y in loader.dataset:
        model.zero_grad()
        nn.functional.cross_entropy(model(x[None]), y[None]).backward()
        zeros = (torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters())
        grad = torch.cat([g.reshape(-1) for g in zeros])
        expected += grad * min(1.0, clip / (grad.norm().item() + 1e-6))
    before = weights(model)
    model, optimizer, loader = make_private(
        context(), model, optimizer, loader,
        **{**CALL, "noise_multiplier": 1e-9, "budget": math.inf}, max_grad_norm=clip,
    )  # fmt: skip
    assert train(model, optimizer, loader) == 1
    assert torch.allclose((before - weights(model)) / 0.1, expected / 12, atol=1e-5)
    assert expected.norm() > 0.1


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-3, 1e6), st.floats(1e-2, 10.0))
def test_no_record_contributes_more_than_the_clip(size, clip):
    model, optimizer, _ = site()
    record = TensorDataset(size * torch.ones(1, 4), torch.tensor([1]))
    before = weights(model)
    model, optimizer, loader = make_private(
        context(), model, optimizer, DataLoader(record, 1),
        epochs=1, noise_multiplier=1e-9, budget=math.inf, delta=0.1, max_grad_norm=clip,
    )  # fmt: skip
    train(model, optimizer, loader)
    assert (before - weights(model)).norm() / 0.1 <= clip * 1.001 + 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_the_model_stays_itself(name):
    model, optimizer, loader = site(layers=MODELS[name]())
    keys, parameters = list(model.state_dict()), list(model.parameters())
    private, optimizer, loader = make_private(context(), model, optimizer, loader, **CALL)
    train(private, optimizer, loader)
    assert private is model
    assert list(private.state_dict()) == keys
    assert all(a is b for a, b in zip(private.parameters(), parameters, strict=True))
    MODELS[name]().load_state_dict(private.state_dict())


def test_rounds_in_one_process_do_not_pile_up_hooks():
    kept = context()
    model, optimizer, loader = site()
    hooks = []
    for _ in range(3):
        model, optimizer, loader = make_private(kept, model, optimizer, loader, **CALL)
        hooks.append(sum(len(layer._forward_hooks) for layer in model.modules()))
        assert train(model, optimizer, loader) == 6
    assert len(set(hooks)) == 1
    clone = copy.deepcopy(model)
    clone_optimizer = torch.optim.SGD(clone.parameters(), lr=0.1)
    clone, clone_optimizer, loader = make_private(kept, clone, clone_optimizer, loader, **CALL)
    train(clone, clone_optimizer, loader)


def test_a_model_wrapped_by_opacus_is_unwrapped():
    model, optimizer, loader = site()
    private, optimizer, loader = make_private(
        context(), GradSampleModule(model), optimizer, loader, **CALL
    )
    assert private is model
    train(private, optimizer, loader)


def test_two_backward_passes_in_one_step_are_refused():
    model, optimizer, loader = site()
    model, optimizer, loader = make_private(context(), model, optimizer, loader, **CALL)
    x, y = loader.dataset[:5]
    nn.functional.cross_entropy(model(x), y).backward()
    with pytest.raises(ValueError, match="two backward passes"):
        nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
    with pytest.raises(ValueError, match="zero_grad"):
        optimizer.step()


def test_a_wide_linear_layer_never_holds_a_gradient_a_record():
    model, optimizer, loader = site(layers=nn.Sequential(nn.Linear(4, 100), nn.Linear(100, 2)))
    model, optimizer, loader = make_private(context(), model, optimizer, loader, **CALL)
    x, y = loader.dataset[:5]
    nn.functional.cross_entropy(model(x), y).backward()
    assert all(p.grad_sample.ndim == 2 for p in model.parameters())


def test_a_step_beyond_the_plan_is_refused_and_changes_nothing():
    model, optimizer, loader = site()
    model, optimizer, loader = make_private(context(), model, optimizer, loader, **CALL)
    train(model, optimizer, loader)
    before = weights(model)
    with pytest.raises(BudgetExhausted, match="6 steps"):
        train(model, optimizer, loader)
    assert torch.equal(weights(model), before)


def test_noise_cannot_be_lowered_after_the_charge():
    model, optimizer, loader = site()
    model, optimizer, loader = make_private(context(), model, optimizer, loader, **CALL)
    optimizer.noise_multiplier = 0.5
    before = weights(model)
    with pytest.raises(PrivacyError, match="lowered"):
        train(model, optimizer, loader)
    assert torch.equal(weights(model), before)
