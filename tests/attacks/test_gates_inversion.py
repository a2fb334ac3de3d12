"""The gates on inversion: exact on pictures, strict on answers, and both on a real lie."""

import math

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord
from flwr_swarm_attacks.crossing import RecordingGrid
from flwr_swarm_attacks.gate import ALPHA
from flwr_swarm_attacks.gates_inversion import crafted_model_gate, pictures_gate
from flwr_swarm_attacks.gates_product import fedavg_gates, swarm_gates
from flwr_swarm_attacks.lying_relay import Site, _app, lied_to, net, robbed, swarm
from flwr_swarm_attacks.quiet import quiet
from flwr_swarm_attacks.recorder import Recording
from flwr_swarm_attacks.views import MaliciousRelay
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from flwr_swarm import swarm_mod
from flwr_swarm._exceptions import ConfigurationError, GateTripped
from flwr_swarm.testing import InProcessGrid

seeds = st.integers(0, 2**32)
sites_of = st.sets(st.integers(0, 9), max_size=4)


def pictures(seed, count, width=90):
    """So wide that the mean of two is within 20 dB of one of them with probability 2e-16."""
    return torch.from_numpy(np.random.default_rng(seed).random((count, width)))


# --- pictures --------------------------------------------------------------------------------


@given(seeds, st.integers(12, 60), st.integers(60, 200), st.integers(0, 20), st.booleans())
def test_pictures_that_nobody_trained_on_and_means_are_no_leak(seed, count, more, wrong, mean):
    every = pictures(seed, count + more)
    examples, others = every[:count], every[count:]
    candidates = [pictures(seed + 1, wrong), others[:wrong]]
    if mean:
        candidates += [examples.mean(0, keepdim=True), (examples[:-1] + examples[1:]) / 2]
    result = pictures_gate(torch.cat(candidates), examples, others)
    assert not result.check().tripped
    assert result.statistic == 0


@given(seeds, st.integers(12, 60), st.integers(60, 200), st.integers(0, 5), st.data())
def test_it_trips_from_fishers_count_on_and_not_below(seed, count, more, known, data):
    every = pictures(seed, count + more)
    examples, others = every[:count], every[count:]
    found = data.draw(st.integers(0, count))
    noisy = torch.cat([examples[:found], others[:known]]) + 0.01
    result = pictures_gate(noisy, examples, others)
    total = math.comb(count + more, found + known)
    chance = sum(
        math.comb(count, k) * math.comb(more, found + known - k)
        for k in range(found, min(count, found + known) + 1)
    )
    assert result.tripped == (chance / total <= ALPHA)
    assert result.tripped == (result.statistic > result.threshold)
    assert result.statistic == found / count


def test_it_errs_as_rarely_as_it_says():
    def alarm(seed):
        draw, every = np.random.default_rng(seed), pictures(seed, 50)
        known = draw.permutation(50)[: draw.integers(5, 45)]
        return pictures_gate(every[known], every[:20], every[20:], alpha=0.05).tripped

    assert sum(map(alarm, range(1000))) <= binom.isf(1e-6, 1000, 0.05)


def test_its_power_is_what_it_says():
    every = pictures(1, 120)
    examples, others = every[:40], every[40:]
    draw, tries = np.random.default_rng(2), 400
    promised = pictures_gate(examples, examples, others, against=0.2).power
    caught = sum(
        pictures_gate(examples[draw.random(40) < 0.2], examples, others).tripped
        for _ in range(tries)
    )
    assert 0.2 < promised < 0.8
    assert binom.isf(1 - 1e-6, tries, promised) <= caught <= binom.isf(1e-6, tries, promised)


@given(st.integers(0, 8), st.integers(0, 8))
def test_too_few_pictures_test_nothing(count, more):
    with pytest.raises(ConfigurationError, match="cannot trip"):
        pictures_gate(pictures(0, 3), pictures(1, count), pictures(2, more))


# --- answers ---------------------------------------------------------------------------------


def seen(answered=(), sealed=(), refused=(), error="ModelRefused: hash"):
    return MaliciousRelay(
        crafted={},
        answers={site: {} for site in answered},
        sealed=dict.fromkeys(sealed, b""),
        refusals=dict.fromkeys(refused, error),
    )


@given(sites_of, sites_of, sites_of)
def test_any_answer_trips_and_refusals_alone_do_not(answered, sealed, refused):
    view = seen(answered, sealed, refused)
    if not answered | sealed | refused:
        with pytest.raises(ConfigurationError, match="nothing was tested"):
            crafted_model_gate(view)
        return
    result = crafted_model_gate(view)
    assert result.tripped == bool(answered | sealed)
    assert result.statistic == len(answered | sealed)
    assert result.false_alarm <= ALPHA


def test_a_site_that_failed_for_another_reason_has_refused_nothing():
    with pytest.raises(ConfigurationError, match=r"site 3.*KeyError"):
        crafted_model_gate(seen(refused=[3], error="KeyError: 'arrays'"))


# --- a real lie ------------------------------------------------------------------------------


def test_the_members_of_a_swarm_pass_both():
    assert [gate.check().statistic for gate in swarm_gates()] == [0, 0]


def test_plain_fedavg_trips_both():
    for gate in fedavg_gates():
        assert gate.power > 0.99
        with pytest.raises(GateTripped, match=gate.gate):
            gate.check()


def four_sites():
    x, y = pictures(5, 4 * 8, 16).float(), torch.arange(32) % 10
    return [Site(x=x[k : k + 8], y=y[k : k + 8]) for k in range(0, 32, 8)]


def test_a_sealed_answer_is_an_answer(tmp_path):
    """Every member of an honest round seals what it made of the first model."""
    sites = four_sites()
    first = {name: value.clone() for name, value in net(16).state_dict().items()}
    grid = RecordingGrid(InProcessGrid(_app(sites, swarm_mod), nodes=4))
    with quiet():
        result = swarm(sites, tmp_path).start(grid, ArrayRecord(first), num_rounds=1)
    recording = Recording(
        crossings=grid.crossings, final=result.arrays, site_of=lambda node: node - 1000
    )
    view = recording.malicious_relay(first)
    assert set(view.sealed) == {0, 1, 2, 3}
    assert not view.answers
    assert len(robbed(view, 0)) == 0
    with pytest.raises(GateTripped, match="crafted model"):
        crafted_model_gate(view).check()


def test_nobody_is_lied_to_before_a_round_has_ended(tmp_path):
    """A swarm that reaches no sum has certified nothing, so that it could refuse nothing."""
    sites = four_sites()
    strategy = swarm(sites, tmp_path)

    def broken(message, context, call_next):
        raise RuntimeError("no site trains")

    view = lied_to(sites, pictures(6, 300, 16).float(), strategy, swarm_mod, broken)
    with pytest.raises(ConfigurationError, match="nothing was tested"):
        crafted_model_gate(view)
