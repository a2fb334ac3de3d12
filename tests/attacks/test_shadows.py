"""The vmapped ensemble is the same nets trained one by one, and depends on its seed alone."""

import numpy as np
import pytest
import torch
from flwr_swarm_attacks import (
    balanced_masks,
    confidence,
    confidences,
    shadows,
    train_shadows,
)
from flwr_swarm_attacks.shadows import batches
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from flwr_swarm._exceptions import ConfigurationError

N, EPOCHS, BATCH = 50, 3, 8
X = torch.randn(N, 5, generator=torch.Generator().manual_seed(0))


def net(outputs):
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, outputs))


class Flat(nn.Module):
    """Logits of shape (n,), as the demo's model gives them."""

    def __init__(self):
        super().__init__()
        self.net = net(1)

    def forward(self, x):
        return self.net(x).squeeze(-1)


def labels(classes):
    return torch.randint(0, classes, (N,), generator=torch.Generator().manual_seed(1))


CASES = {
    "one logit": (lambda: net(1), labels(2).float()),
    "flat logit": (Flat, labels(2).float()),
    "three classes": (lambda: net(3), labels(3)),
}
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.9, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.05),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_together_is_the_same_as_one_by_one(case, kind):
    make, y = CASES[case]
    masks = balanced_masks(4, N, seed=2)
    start = make().state_dict()
    ensemble = train_shadows(
        make, X, y, masks,
        epochs=EPOCHS, batch_size=BATCH, optimizer=OPTIMIZERS[kind], initial=start, seed=3,
    )  # fmt: skip
    steps = -(-int(masks.sum(axis=1).max()) // BATCH)
    together = confidences(ensemble, X, y)
    for k, mask in enumerate(masks):
        model = make()
        model.load_state_dict(start)
        optimizer = OPTIMIZERS[kind](list(model.parameters()))
        for index in batches(mask, steps=steps, epochs=EPOCHS, seed=(3, k)):
            optimizer.zero_grad()
            logits, target = model(X[index]), y[index]
            loss = (
                nn.functional.cross_entropy(logits, target)
                if case == "three classes"
                else nn.functional.binary_cross_entropy_with_logits(logits.reshape(-1), target)
            )
            loss.backward()
            optimizer.step()
        for name, value in ensemble.state_dict(k).items():
            assert torch.allclose(value, model.state_dict()[name], atol=1e-4), name
        alone = confidence(model(X), y).numpy()
        assert np.allclose(together[k], alone, atol=1e-3)
    assert not np.allclose(together[0], together[1], atol=0.1)


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=4, max_size=60), st.integers(1, 3), st.integers(0, 9))
def test_an_epoch_shows_each_member_once_and_nobody_else(mask, epochs, seed):
    mask = np.array([*mask, True, True])
    plan = list(batches(mask, steps=2, epochs=epochs, seed=(seed,)))
    assert len(plan) == 2 * epochs
    for a, b in zip(plan[::2], plan[1::2], strict=True):
        assert sorted([*a, *b]) == list(np.flatnonzero(mask))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 20).map(lambda k: 2 * k), st.integers(1, 80), st.integers(0, 99))
def test_each_example_is_in_exactly_half_of_the_shadows(shadows, examples, seed):
    masks = balanced_masks(shadows, examples, seed=seed)
    assert masks.shape == (shadows, examples)
    assert (masks.sum(axis=0) == shadows // 2).all()


def test_training_is_repeatable_and_leaves_torchs_randomness_alone():
    make, y = CASES["one logit"]
    masks = balanced_masks(4, N, seed=2)
    call = {"epochs": 1, "batch_size": BATCH, "lr": 0.1}

    def run(seed):
        return confidences(train_shadows(make, X, y, masks, **call, seed=seed), X, y)

    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first = run(3)
    assert torch.equal(torch.rand(3), expected)
    assert np.array_equal(first, run(3))
    assert not np.allclose(first, run(4))


def test_progress_counts_to_the_end():
    make, y = CASES["one logit"]
    seen = []
    train_shadows(
        make, X, y, balanced_masks(2, N, seed=0), epochs=2, batch_size=BATCH, lr=0.1,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert [done for done, _ in seen] == list(range(1, seen[0][1] + 1))


@pytest.mark.parametrize("large", [50, 100, 10**9])
def test_large_nets_train_in_turn_and_to_the_same_end(monkeypatch, large):
    """A net of this test has 50 parameters; the machine's own limit would take a minute."""
    make, y = CASES["one logit"]
    masks = balanced_masks(6, N, seed=2)
    seen = []

    def run():
        return train_shadows(
            make, X, y, masks, epochs=2, batch_size=BATCH, optimizer=OPTIMIZERS["adam"], seed=5,
            progress=lambda done, total: seen.append((done, total)),
        )  # fmt: skip

    together = confidences(run(), X, y)
    assert sum(p.numel() for p in make().parameters()) == 50
    seen.clear()
    monkeypatch.setattr(shadows, "_TOGETHER", large)
    ensemble = run()
    assert len(ensemble) == len(masks)
    assert np.allclose(confidences(ensemble, X, y), together, atol=1e-3)
    assert [done for done, _ in seen] == list(range(1, seen[0][1] + 1))


@given(st.floats(-300, 300), st.booleans())
def test_confidence_is_the_logit_of_p_and_never_saturates(z, label):
    one = confidence(torch.tensor([z], dtype=torch.float64), torch.tensor([int(label)]))
    two = confidence(torch.tensor([[0.0, z]], dtype=torch.float64), torch.tensor([int(label)]))
    assert one.item() == pytest.approx(z if label else -z)
    assert two.item() == pytest.approx(one.item())


def test_confidence_of_many_classes_is_log_odds():
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 3, 0, 1])
    p = logits.softmax(-1)[torch.arange(6), y]
    assert torch.allclose(confidence(logits, y), p.log() - (1 - p).log())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"masks": np.ones((2, N - 1), bool)}, "masks have shape"),
        ({"masks": np.r_[[np.ones(N, bool)], [np.arange(N) < 2]]}, "balance"),
        ({"lr": None}, "either lr or optimizer"),
        ({"epochs": 0}, "epochs"),
        ({"x": X * torch.nan}, "diverged"),
        (
            {"make": lambda: nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))},
            "Norm",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(change, says):
    make, y = CASES["one logit"]
    masks = balanced_masks(2, N, seed=0)
    call = {"make": make, "x": X, "masks": masks, "lr": 0.1, "epochs": 4} | change
    with pytest.raises(ConfigurationError, match=says):
        train_shadows(
            call["make"], call["x"], y, call["masks"],
            epochs=call["epochs"], batch_size=BATCH, lr=call["lr"],
        )  # fmt: skip
