"""Inversion: exact where theory is exact, recognisable where it is not, and nothing from noise."""

import numpy as np
import pytest
import torch
from flwr_swarm_attacks.imprint import imprint, imprinted
from flwr_swarm_attacks.inversion import (
    deep_leakage,
    gradient_of,
    inverted_gradients,
    label_of,
)
from flwr_swarm_attacks.inversion_linear import layer_moves, linear_inputs
from flwr_swarm_attacks.model_inversion import class_portrait
from flwr_swarm_attacks.pictures import GOOD_PSNR, compare
from flwr_swarm_attacks.views import Outsider, Step
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import nn

from flwr_swarm._exceptions import ConfigurationError

unhurried = settings(deadline=None, max_examples=25)
X = torch.tensor(load_digits().images / 16, dtype=torch.float32)
Y = torch.tensor(load_digits().target)


def smooth():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Sigmoid(), nn.Linear(32, 10))


def sharp(neurons=256):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, neurons), nn.ReLU(), nn.Linear(neurons, 10))


def state_of(make, seed):
    torch.manual_seed(seed)
    return {name: value.clone() for name, value in make().state_dict().items()}


@unhurried
@given(st.integers(0, 2**32 - 1), st.integers(2, 20), st.integers(1, 30), st.floats(0.01, 10))
def test_one_example_is_in_every_row_of_a_linear_layers_gradient(seed, inputs, neurons, rate):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(inputs, neurons), nn.Tanh(), nn.Linear(neurons, 3)).double()
    x = torch.randn(1, inputs, dtype=torch.float64)
    gradients = dict(zip(
        sorted(dict(model.named_parameters())),
        gradient_of(model, model.state_dict(), x, torch.tensor([1])),
        strict=True,
    ))  # fmt: skip
    found = linear_inputs(-rate * gradients["0.weight"], -rate * gradients["0.bias"])
    assert len(found) >= 1
    assert torch.allclose(found, x.expand_as(found), atol=1e-6)


def test_a_step_of_sgd_tells_as_much_as_its_gradient():
    state = state_of(sharp, 0)
    model = sharp()
    model.load_state_dict(state)
    nn.functional.cross_entropy(model(X[3:4]), Y[3:4]).backward()
    after = {n: (p - 0.1 * p.grad).detach() for n, p in model.named_parameters()}
    step = Step(before=state, after={2: after})
    found = linear_inputs(*layer_moves(step, 2, weight="1.weight", bias="1.bias"))
    assert compare(found.reshape(-1, 8, 8), X[3:4]).psnr.min() > 40


@unhurried
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 9))
def test_bins_are_taken_apart_exactly(seed, neurons, inputs):
    """By hand: neuron i sums all examples from bin i upwards, one example a bin."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(neurons, inputs, generator=draw, dtype=torch.float64)
    pull = torch.rand(neurons, generator=draw, dtype=torch.float64) + 0.1
    weight = torch.stack([(pull[i:, None] * x[i:]).sum(dim=0) for i in range(neurons)])
    bias = torch.stack([pull[i:].sum() for i in range(neurons)])
    assert torch.allclose(imprinted(weight, bias), x, atol=1e-9)


@unhurried
@given(st.integers(0, 1700), st.sampled_from([8, 16, 32]))
def test_an_imprint_returns_each_example_that_is_alone_in_its_bin(start, size):
    batch, labels = X[start : start + size], Y[start : start + size]
    crafted = imprint(
        state_of(sharp, 1), X.flatten(1), first=("1.weight", "1.bias"), second="3.weight", gain=0.1
    )
    names = sorted(crafted)
    gradient = dict(zip(names, gradient_of(sharp(), crafted, batch, labels), strict=True))
    found = imprinted(gradient["1.weight"], gradient["1.bias"]).reshape(-1, 8, 8)
    bins = torch.searchsorted(-crafted["1.bias"], batch.flatten(1).mean(dim=1))
    # An example on a cut may fall to either side of it: its neighbours' bins must be empty, too.
    alone = np.array([int(((bins - one).abs() <= 1).sum()) == 1 for one in bins])
    assert (compare(found, batch).psnr[alone] > 40).all()


def test_not_even_the_darkest_example_escapes_an_imprint():
    darkest = int(X.flatten(1).mean(dim=1).argmin())
    batch, labels = X[[darkest, 1, 2]], Y[[darkest, 1, 2]]
    crafted = imprint(
        state_of(sharp, 1), X.flatten(1), first=("1.weight", "1.bias"), second="3.weight", gain=0.1
    )
    gradient = gradient_of(sharp(), crafted, batch, labels)
    named = dict(zip(sorted(crafted), gradient, strict=True))
    found = imprinted(named["1.weight"], named["1.bias"]).reshape(-1, 8, 8)
    assert compare(found, batch).psnr.min() > 40


def test_an_honest_model_gives_less_than_an_imprint():
    state, batch, labels = state_of(sharp, 1), X[:32], Y[:32]
    first = dict(zip(sorted(state), gradient_of(sharp(), state, batch, labels), strict=True))
    honest = linear_inputs(first["1.weight"], first["1.bias"]).reshape(-1, 8, 8)
    crafted = imprint(state, X.flatten(1), first=("1.weight", "1.bias"), second="3.weight")
    second = dict(zip(sorted(state), gradient_of(sharp(), crafted, batch, labels), strict=True))
    robbed = imprinted(second["1.weight"], second["1.bias"]).reshape(-1, 8, 8)
    assert compare(robbed, batch).share > compare(honest, batch).share + 0.3
    assert compare(robbed, batch).share > 0.6


@pytest.mark.parametrize("digit", [0, 7, 42])
def test_deep_leakage_finds_the_digit_and_its_label(digit):
    state = state_of(smooth, digit)
    seen = gradient_of(smooth(), state, X[digit : digit + 1], Y[digit : digit + 1])
    found, label = deep_leakage(smooth(), state, seen, shape=(1, 8, 8), classes=10, steps=20)
    assert compare(found, X[digit : digit + 1]).psnr.min() > 30
    assert label.item() == Y[digit].item()


@pytest.mark.parametrize("digit", [0, 7])
def test_inverted_gradients_look_like_the_digit_and_noise_hides_it(digit):
    state, one = state_of(smooth, digit), slice(digit, digit + 1)
    seen = gradient_of(smooth(), state, X[one], Y[one])
    names = sorted(state)
    label = label_of(seen[names.index("3.bias")])
    assert label == Y[digit].item()

    def attack(gradient):
        found = inverted_gradients(
            smooth(), state, gradient, labels=Y[one], shape=(1, 8, 8), restarts=1
        )
        return compare(found, X[one]).psnr.min()

    assert attack(seen) > GOOD_PSNR
    draw = torch.Generator().manual_seed(0)
    length = torch.cat([g.reshape(-1) for g in seen]).norm() / 10
    noisy = [g + length * torch.randn(g.shape, generator=draw) for g in seen]
    assert attack(noisy) < compare(X[100:101], X[one]).psnr.min() + 1  # as good as another digit


def test_a_portrait_shows_what_a_class_has_in_common():
    torch.manual_seed(0)
    model = smooth()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(X), Y).backward()
        optimizer.step()
    means = torch.stack([X[k == Y].mean(dim=0) for k in range(10)]).flatten(1)

    def likeness(state):
        """For each portrait, which class's mean it is most like."""
        view = Outsider(model={n: v.detach() for n, v in state.items()})
        portraits = torch.stack(
            [class_portrait(view, smooth, label=k, shape=(8, 8)) for k in range(10)]
        ).flatten(1)
        table = torch.corrcoef(torch.cat([portraits, means]))[:10, 10:]
        return (table.argmax(dim=1) == torch.arange(10)).sum().item()

    assert likeness(model.state_dict()) >= 7
    assert likeness(state_of(smooth, 1)) <= 4  # an untrained model knows no digit


@unhurried
@given(st.integers(1, 6), st.integers(0, 6), st.integers(0, 99))
def test_comparing_finds_each_example_wherever_it_stands(n, others, seed):
    draw = torch.Generator().manual_seed(seed)
    examples = torch.rand(n, 5, generator=draw)
    order = torch.randperm(n + others, generator=draw)
    candidates = torch.cat([examples, torch.rand(others, 5, generator=draw)])[order]
    found = compare(candidates, examples)
    assert torch.equal(candidates[found.closest], examples)
    assert found.share == 1.0
    assert compare(candidates[:0], examples).share == 0.0


def test_the_mean_of_similar_pictures_reconstructs_none_of_them():
    examples = 0.5 + 0.03 * torch.randn(20, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    examples[0, 0, 0, 0] = 1.0  # the range is wide, the pictures are alike
    mean = compare(examples.mean(dim=0, keepdim=True), examples)
    assert (mean.psnr > GOOD_PSNR).mean() > 0.9
    assert mean.share == 0.0
    assert mean.explained == pytest.approx(0, abs=1e-5)
    near = examples + 0.003 * torch.randn(
        examples.shape, generator=torch.Generator().manual_seed(1)
    )
    assert compare(near, examples).share == 1.0


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigurationError, match="first linear"):
        linear_inputs(torch.zeros(3, 2), torch.zeros(2))
    with pytest.raises(ConfigurationError, match="one kind"):
        compare(torch.zeros(1, 3), torch.zeros(1, 4))
    with pytest.raises(ConfigurationError, match="does not fit"):
        imprint(state_of(sharp, 0), X, first=("1.weight", "1.bias"), second="3.weight")
