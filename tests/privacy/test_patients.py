"""Patients with several records: sampled together, clipped as one, and no loop that loses track."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from privacy_support import context, site, train, weights
from test_make_private import MODELS
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from flwr_swarm._exceptions import ConfigurationError, PrivacyError
from flwr_swarm.privacy import load_history, make_private

CALL = {"epochs": 1, "noise_multiplier": 1e-9, "budget": math.inf, "delta": 1e-3}
OWNERS = [0, 1, 0, 2, 2, 2, 3, 0, 4, 5, 1, 3]


def gradient(model, x, y):
    model.zero_grad()
    nn.functional.cross_entropy(model(x), y, reduction="sum").backward()
    zeros = (torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters())
    return torch.cat([g.reshape(-1) for g in zeros])


@pytest.mark.parametrize("clip", [0.3, 1e3])
@pytest.mark.parametrize("name", MODELS)
def test_without_noise_a_step_is_the_sum_of_clipped_patients(name, clip):
    """The oracle sums each patient's records with plain autograd, then clips the sum."""
    model, optimizer, loader = site(records=12, batch_size=12, layers=MODELS[name]())
    x, y = loader.dataset.tensors
    owners, expected = np.array(OWNERS), torch.zeros_like(weights(model))
    for patient in set(OWNERS):
        own = np.flatnonzero(owners == patient)
        grad = gradient(model, x[own], y[own])
        expected += grad * min(1.0, clip / (grad.norm().item() + 1e-6))
    before = weights(model)
    model, optimizer, loader = make_private(
        context(), model, optimizer, loader, **CALL, max_grad_norm=clip, patients=OWNERS
    )
    assert train(model, optimizer, loader) == 1
    assert torch.allclose((before - weights(model)) / 0.1, expected / 12, atol=2e-5)
    assert expected.norm() > 0.1


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.floats(1e-3, 1e5), st.floats(1e-2, 10.0))
def test_no_patient_contributes_more_than_the_clip_however_many_records(records, size, clip):
    model, optimizer, _ = site()
    data = TensorDataset(size * torch.ones(records, 4), torch.ones(records, dtype=torch.int64))
    before = weights(model)
    model, optimizer, loader = make_private(
        context(), model, optimizer, DataLoader(data, records),
        **CALL | {"delta": 0.5}, max_grad_norm=clip, loss_reduction="sum", patients=["x"] * records,
    )  # fmt: skip
    for x, y in loader:
        nn.functional.cross_entropy(model(x), y, reduction="sum").backward()
        optimizer.step()
    moved = (before - weights(model)).norm() / 0.1
    assert moved <= clip * 1.001 + 1e-5


@given(st.lists(st.integers(0, 9), min_size=6, max_size=40), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_a_batch_has_all_records_of_a_patient_or_none(owners, batch):
    model, optimizer, loader = site(records=len(owners), batch_size=batch)
    steps = len(loader)
    kept = context()
    _, _, private = make_private(
        kept, model, optimizer, loader, **CALL | {"delta": 1e-4}, patients=owners
    )
    for _ in range(3):
        batches = list(private.batch_sampler)
        assert len(batches) == len(private) == steps
        for drawn in batches:
            assert len(set(drawn)) == len(drawn)
            chosen = {owners[i] for i in drawn}
            assert sorted(drawn) == [i for i, owner in enumerate(owners) if owner in chosen]
        private.batch_sampler._turn.restart()
    (charge,) = load_history(kept).charges
    assert charge.sample_rate == 1 / steps


def test_each_patient_is_drawn_at_the_rate_that_is_charged():
    model, optimizer, loader = site(records=12, batch_size=3)
    _, _, private = make_private(
        context(), model, optimizer, loader, **CALL | {"epochs": 2000}, patients=OWNERS
    )
    drawn = np.zeros(12)
    for _ in range(2000):
        for batch in private.batch_sampler:
            drawn[batch] += 1
        private.batch_sampler._turn.restart()
    # Binomial: one of twelve is further off with probability 1e-11.
    assert drawn / 8000 == pytest.approx([0.25] * 12, abs=0.035)


@pytest.mark.parametrize("workers", [0, 1])
def test_ordinary_loops_work_round_after_round(workers):
    """Empty batches, workers that read ahead, and the private loader given once more."""
    kept = context()
    model, optimizer, plain = site(records=12, batch_size=1)
    loader = DataLoader(plain.dataset, 1, shuffle=True, num_workers=workers)
    for _ in range(2):
        model, optimizer, loader = make_private(
            kept, model, optimizer, loader, **CALL | {"epochs": 2}, patients=OWNERS
        )
        assert train(model, optimizer, loader, epochs=2) == 24
    (charge,) = load_history(kept).charges
    assert (charge.steps, charge.sample_rate) == (48, 1 / 12)


def loops():
    def reads_ahead(model, optimizer, loader):
        for x, y in list(loader):
            step(model, optimizer, x, y)

    def skips(model, optimizer, loader):
        for number, (x, y) in enumerate(loader):
            if number % 2:
                step(model, optimizer, x, y)

    def brings_its_own_batch(model, optimizer, loader):
        drawn, _ = next(iter(loader))
        other = 5 if len(drawn) != 5 else 6
        step(model, optimizer, *loader.dataset[:other])

    def uses_one_twice(model, optimizer, loader):
        for x, y in loader:
            step(model, optimizer, x, y)
            step(model, optimizer, x, y)

    return [reads_ahead, skips, brings_its_own_batch, uses_one_twice]


def step(model, optimizer, x, y):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()


@pytest.mark.parametrize("loop", loops(), ids=lambda loop: loop.__name__)
def test_a_loop_that_loses_track_of_patients_is_refused(loop):
    model, optimizer, loader = site(records=12, batch_size=2)
    private = make_private(
        context(), model, optimizer, loader, **CALL | {"epochs": 2}, patients=OWNERS
    )
    with pytest.raises(PrivacyError, match="step once"):
        loop(*private)


def test_a_pass_may_be_broken_off():
    model, optimizer, loader = site(records=12, batch_size=2)
    model, optimizer, loader = make_private(
        context(), model, optimizer, loader, **CALL | {"epochs": 2}, patients=OWNERS
    )
    for x, y in loader:
        step(model, optimizer, x, y)
        break
    next(iter(loader))
    assert train(model, optimizer, loader) == 6


def test_n_counts_patients():
    model, optimizer, loader = site(records=12, batch_size=2)
    options = {**CALL, "delta": 0.1}
    two = ["a"] * 6 + ["b"] * 6
    with pytest.raises(ConfigurationError, match=r"1/n = 0\.5"):
        make_private(context(), model, optimizer, loader, **options | {"delta": 0.5}, patients=two)
    with pytest.raises(ConfigurationError, match="delta"):
        make_private(context(), model, optimizer, loader, **options)
    make_private(context(), model, optimizer, loader, **options, patients=OWNERS)


def test_patients_must_be_named_for_every_record_and_their_names_are_not_shown():
    model, optimizer, loader = site(records=12, batch_size=2)
    with pytest.raises(ConfigurationError, match="11 records") as refused:
        make_private(context(), model, optimizer, loader, **CALL, patients=["Maria Example"] * 11)
    assert "Maria" not in str(refused.value)


def test_grouping_records_of_nobody_else_changes_nothing():
    """One record a patient is record-level DP, step for step."""
    model, _, loader = site(records=12, batch_size=12)
    twin = copy.deepcopy(model)
    for one, owners in ((model, None), (twin, list(range(12)))):
        sgd = torch.optim.SGD(one.parameters(), lr=0.1)
        train(*make_private(context(), one, sgd, loader, **CALL, patients=owners))
    assert torch.allclose(weights(model), weights(twin), atol=1e-6)
