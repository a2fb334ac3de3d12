"""What one call promises about the model, the noise, the clipping and the sampling."""

import copy
import logging
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.grad_sample import GradSampleModule
from opacus.layers import DPLSTM
from privacy_support import context, site, train, weights
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset
from torch.utils.data import WeightedRandomSampler as Weighted

from flwr_swarm._exceptions import BudgetExhausted, ConfigurationError, PrivacyError
from flwr_swarm.privacy import epsilon_spent, load_history, make_private
from flwr_swarm.privacy.randomness import SecureRandom
from flwr_swarm.privacy.sampling import PoissonSampler

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


@pytest.mark.parametrize(("sigma", "clip"), [(1.0, 1.0), (3.0, 0.5)])
def test_noise_has_standard_deviation_sigma_times_clip(sigma, clip):
    model, optimizer, loader = site(records=10, batch_size=10, layers=nn.Linear(4, 5000))
    model, optimizer, loader = make_private(
        context(), model, optimizer, loader,
        epochs=1, noise_multiplier=sigma, budget=math.inf, delta=1e-3, max_grad_norm=clip,
    )  # fmt: skip
    before = weights(model)
    train(model, optimizer, loader)
    noise = (before - weights(model)) / 0.1 * 10  # undo learning rate and mean
    # 25,000 samples: the standard error of the deviation is 0.45 %. The clipped gradient adds at
    # most (10 * clip)^2 / 25,000 to the variance.
    assert noise.std().item() == pytest.approx(sigma * clip, rel=0.03)


def test_secure_normals_are_standard_and_uniforms_uniform():
    random = SecureRandom()
    normal, uniform = random.normal(torch.Size((200_000,))), random.uniform(200_000)
    assert normal.mean().abs() < 0.015
    assert normal.std() == pytest.approx(1.0, abs=0.01)
    assert (normal**4).mean() == pytest.approx(3.0, abs=0.15)
    assert (normal.abs() > 3).double().mean() == pytest.approx(0.0027, abs=0.0008)
    assert uniform.min() > 0
    assert uniform.max() < 1
    assert np.histogram(uniform, 10, (0, 1))[0] == pytest.approx([20_000] * 10, rel=0.05)


@pytest.mark.parametrize("byte", [b"\x00", b"\xff"])
def test_no_keystream_makes_an_infinite_normal(byte):
    class Stuck:
        def update(self, zeros):
            return byte * len(zeros)

    random = SecureRandom()
    random._keystream = Stuck()
    assert torch.isfinite(random.normal(torch.Size((3,)))).all()


SITE = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from privacy_support import context, site, train, weights
from flwr_swarm.privacy import make_private
torch.manual_seed(7)
model, optimizer, loader = site(seed=7)
before = weights(model)
model, optimizer, loader = make_private(
    context(), model, optimizer, loader, epochs=1, noise_multiplier=50.0, budget=50.0, delta=1e-3)
print([i for batch in loader.batch_sampler for i in batch])
torch.manual_seed(7)
train(model, optimizer, loader)
print((weights(model) - before).tolist())
"""


def test_two_processes_with_one_torch_seed_draw_different_batches_and_noise():
    command = [sys.executable, "-c", SITE, str(Path(__file__).parent)]
    sites = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [site.communicate()[0].splitlines() for site in sites]
    assert [site.returncode for site in sites] == [0, 0]
    (batches_a, update_a), (batches_b, update_b) = outputs
    assert batches_a != batches_b
    a, b = (np.array(eval(u)) for u in (update_a, update_b))  # noqa: S307
    # 44 parameters: the cosine of independent Gaussians has deviation 0.15; shared noise has 1.
    assert abs(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) < 0.75


def test_copies_of_the_randomness_do_not_repeat_it():
    random = SecureRandom()
    assert not torch.equal(copy.deepcopy(random).uniform(4), random.uniform(4))


@pytest.mark.parametrize("steps", [1, 6, 93, 99, 105, 393])
def test_batches_and_rate_are_exactly_those_that_are_charged(steps):
    """Opacus alone makes 92 batches of 93 and accounts for a rate that it does not use."""
    model, optimizer, loader = site(records=2 * steps, batch_size=2)
    kept = context()
    model, optimizer, loader = make_private(
        kept, model, optimizer, loader, **CALL | {"delta": 1e-4}
    )
    (charge,) = load_history(kept).charges
    assert len(loader) == charge.steps == steps == len(list(loader.batch_sampler))
    assert charge.sample_rate == 1 / steps == loader.batch_sampler.sample_rate


def test_each_record_is_drawn_at_the_rate_and_independently():
    sampler = PoissonSampler(records=50, steps=2000, random=SecureRandom())
    sampler.sample_rate = 0.2
    drawn = np.zeros((2000, 50))
    for row, batch in zip(drawn, sampler, strict=True):
        row[batch] = 1
    assert drawn.mean(axis=0) == pytest.approx([0.2] * 50, abs=0.05)
    assert drawn.sum(axis=1).var() == pytest.approx(50 * 0.2 * 0.8, rel=0.2)


def test_empty_batches_come_out_add_noise_and_count():
    model, optimizer, loader = site(records=8, batch_size=1)
    model, optimizer, loader = make_private(
        context(), model, optimizer, loader, epochs=40, noise_multiplier=5.0, budget=math.inf,
        delta=1e-2,
    )  # fmt: skip
    empty = 0
    for _ in range(40):
        for x, y in loader:
            before = weights(model)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            if len(x) == 0:
                empty += 1
                assert x.shape == (0, 4)
                assert torch.isfinite(weights(model)).all()
                assert (weights(model) != before).all()
    assert empty > 0  # each of 320 batches is empty with probability 0.34


class Dicts(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return {"x": torch.ones(4), "label": index}


def test_an_empty_first_batch_looks_like_any_other():
    model, optimizer, _ = site()
    _, _, loader = make_private(
        context(), model, optimizer, DataLoader(Dicts(), 1), **{**CALL, "delta": 0.1}
    )
    batch = loader.collate_fn([])
    assert batch["x"].shape == (0, 4)
    assert batch["label"].shape == (0,)
    assert batch["label"].dtype == torch.int64


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
