"""Noise of the promised size, from secret randomness; Poisson batches at the charged rate."""

import copy
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from privacy_support import context, site, train, weights
from torch import nn
from torch.utils.data import DataLoader, Dataset

from flwr_swarm.privacy import load_history, make_private
from flwr_swarm.privacy.randomness import SecureRandom
from flwr_swarm.privacy.sampling import PoissonSampler

CALL = {"epochs": 1, "noise_multiplier": 1.0, "budget": 50.0, "delta": 1e-3}


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
    # most (10 * clip)^2 / 25,000 to the variance. Right noise fails with probability 1e-13.
    assert noise.std().item() == pytest.approx(sigma * clip, rel=0.035)


def test_secure_normals_are_standard_and_uniforms_uniform():
    """All limits are 6.7 standard errors or more: right numbers fail with probability 1e-10."""
    random = SecureRandom()
    normal, uniform = random.normal(torch.Size((200_000,))), random.uniform(200_000)
    assert normal.mean().abs() < 0.015
    assert normal.std() == pytest.approx(1.0, abs=0.012)
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
    # Shared noise has 1. For 44 independent Gaussians the square is Beta(1/2, 43/2): above 0.85
    # with probability 4e-13.
    assert abs(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) < 0.85


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
    """Binomial, and a variance of 10,000 sums: seven standard errors, or 1e-11 in all."""
    sampler = PoissonSampler(records=50, steps=10_000, random=SecureRandom())
    sampler.sample_rate = 0.2
    drawn = np.zeros((10_000, 50))
    for row, batch in zip(drawn, sampler, strict=True):
        row[batch] = 1
    assert drawn.mean(axis=0) == pytest.approx([0.2] * 50, abs=0.03)
    assert drawn.sum(axis=1).var() == pytest.approx(50 * 0.2 * 0.8, rel=0.1)


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
                # Noise below a weight's last bit is lost: one weight in a million stays.
                assert (weights(model) == before).sum() <= 4
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
