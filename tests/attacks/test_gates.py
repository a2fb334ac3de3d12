"""Each gate on what it must pass, on what it must not, and on how often it errs."""

import numpy as np
import pytest
from flwr_swarm_attacks.gate import ALPHA, check_all
from flwr_swarm_attacks.gates_cipher import fresh_ciphertext_gate, uniform_residues_gate
from flwr_swarm_attacks.gates_noise import (
    noise_independence_gate,
    noise_variance_gate,
    values_needed,
)
from flwr_swarm_attacks.gates_scores import auc_gate, examples_needed, others_needed, tpr_gate
from flwr_swarm_attacks.sealings import by_the_scheme, with_one_key
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from flwr_swarm._exceptions import ConfigurationError, GateTripped, SwarmError
from flwr_swarm.encryption.parameters import MODULUS

seeds = st.integers(0, 2**32)
RARE = 1e-12
"""What a gate may err with in a test that hundreds of fresh seeds go through in each run."""
SURE = 1 - RARE


def rng(seed):
    return np.random.default_rng(seed)


def alarms(gate, tries):
    return sum(gate(seed).tripped for seed in range(tries))


def as_rarely_as(alpha, tries):
    return binom.isf(1e-6, tries, alpha)


# --- noise -----------------------------------------------------------------------------------


@given(seeds, st.integers(100, 2000))
def test_right_noise_passes(seed, size):
    draws = rng(seed)
    noise_variance_gate(draws.normal(size=size), alpha=RARE).check()
    two = {"a": draws.normal(size=size), "b": draws.normal(size=size)}
    noise_independence_gate(two, alpha=RARE).check()


@settings(max_examples=40)
@given(seeds, st.floats(0.3, 0.9))
def test_too_little_noise_trips_with_the_values_that_it_takes(seed, deviation):
    count = values_needed(deviation**2, power=SURE)
    with pytest.raises(GateTripped, match="noise variance"):
        noise_variance_gate(rng(seed).normal(scale=deviation, size=count)).check()


@given(seeds)
def test_too_much_noise_is_no_leak(seed):
    assert not noise_variance_gate(rng(seed).normal(scale=3.0, size=500)).tripped


@given(seeds, st.sampled_from([1.0, -1.0, 0.7, -0.7]))
def test_noise_that_two_share_trips_even_if_it_cancels(seed, shared):
    a, b, c = rng(seed).normal(size=(3, 1000))
    noises = {"a": a, "b": shared * a + (1 - shared**2) ** 0.5 * b, "c": c}
    result = noise_independence_gate(noises)
    assert result.tripped
    assert result.statistic > result.threshold
    assert "a and b" in result.detail


def test_noise_gates_err_as_rarely_as_they_say():
    def variance(seed):
        return noise_variance_gate(rng(seed).normal(size=50), alpha=0.05)

    def independence(seed):
        a, b, c = rng(seed).normal(size=(3, 30))
        return noise_independence_gate({"a": a, "b": b, "c": c}, alpha=0.05)

    for gate in (variance, independence):
        assert alarms(gate, 1000) <= as_rarely_as(0.05, 1000)


def test_constant_noise_is_none():
    assert noise_independence_gate({"a": np.zeros(50), "b": np.arange(50.0)}).tripped
    with pytest.raises(ConfigurationError, match="test nothing"):
        noise_variance_gate(np.zeros(2))


# --- attacks ---------------------------------------------------------------------------------


def attack(seed, members, others, strength):
    draws = rng(seed)
    scores = np.r_[draws.normal(strength, 1, members), draws.normal(0, 1, others)]
    return scores, np.arange(members + others) < members


@settings(max_examples=40)
@given(seeds, st.integers(50, 2000), st.integers(2900, 5000))
def test_a_coin_passes_both_attack_gates(seed, members, others):
    scores, member = attack(seed, members, others, 0.0)
    auc_gate(scores, member, alpha=RARE).check()
    tpr_gate(scores, member, alpha=RARE).check()


@settings(max_examples=20)
@given(seeds)
def test_a_strong_attack_trips_both_with_the_examples_that_it_takes(seed):
    count = examples_needed(0.85, power=SURE)  # a shift of 1.47 has AUC .85
    scores, member = attack(seed, count, count, 1.4657)
    assert auc_gate(scores, member, against=0.85).tripped
    # Missed with probability 1e-23: the beta rate of non-member 8 of 2715, then a binomial.
    scores, member = attack(seed, 500, others_needed() + 1500, 3.0)
    assert tpr_gate(scores, member).tripped


def test_attack_gates_err_as_rarely_as_they_say():
    """At the limit that is claimed, with ties, and with few examples."""

    def area(seed):
        scores, member = attack(seed, 40, 30, 0.0)
        return auc_gate(np.round(scores), member, alpha=0.05)

    def rate(seed):
        scores, member = attack(seed, 2000, 120, 0.0)
        return tpr_gate(np.round(scores, 1), member, fpr=0.1, at_most=0.1, alpha=0.05)

    for gate in (area, rate):
        assert alarms(gate, 1000) <= as_rarely_as(0.05, 1000)


def test_a_claim_above_one_half_is_allowed_for():
    scores, member = attack(1, 4000, 4000, 1.4657)
    assert auc_gate(scores, member).tripped
    assert not auc_gate(scores, member, at_most=0.85).tripped
    assert tpr_gate(scores, member).tripped
    assert not tpr_gate(scores, member, at_most=0.3).tripped


def test_too_few_examples_are_refused_with_how_many_it_takes():
    scores, member = attack(1, 100, others_needed() - 1, 0.0)
    with pytest.raises(ConfigurationError, match=str(others_needed())):
        tpr_gate(scores, member)
    scores, member = attack(1, 100, others_needed(), 0.0)
    tpr_gate(scores, member).check()


# --- ciphertexts -----------------------------------------------------------------------------


def test_sealed_updates_look_like_nothing_and_like_no_other():
    found = by_the_scheme()
    assert len(found) == 6
    check_all([uniform_residues_gate(found, alpha=RARE), fresh_ciphertext_gate(found)])


def test_a_key_that_members_share_trips():
    found = with_one_key()
    assert fresh_ciphertext_gate(found).tripped
    assert uniform_residues_gate(found).tripped


def test_a_biased_ciphertext_trips():
    residues = np.random.default_rng(1).integers(0, MODULUS, 8192, dtype=np.uint64)
    uniform_residues_gate({"right": residues}).check()
    squeezed = residues.copy()
    squeezed[::2] //= 2
    assert uniform_residues_gate({"half of it": squeezed}).tripped


@settings(max_examples=50)
@given(seeds, st.integers(50, 5000))
def test_uniform_residues_pass(seed, size):
    draws = rng(seed).integers(0, MODULUS, (3, size), dtype=np.uint64)
    found = {str(i): row for i, row in enumerate(draws)}
    check_all([uniform_residues_gate(found, alpha=RARE), fresh_ciphertext_gate(found)])


def test_the_uniformity_gate_errs_as_rarely_as_it_says():
    def gate(seed):
        draws = rng(seed).integers(0, MODULUS, (2, 20), dtype=np.uint64)
        return uniform_residues_gate({"a": draws[0], "b": draws[1]}, alpha=0.1)

    assert alarms(gate, 1000) <= as_rarely_as(0.1, 1000)


# --- results ---------------------------------------------------------------------------------


def test_a_tripped_gate_says_what_it_found_and_how_sure_it_is():
    bad = noise_variance_gate(np.full(500, 0.1))
    good = noise_variance_gate(np.ones(500))
    with pytest.raises(GateTripped, match=r"noise variance.*0\.01.*1e-05"):
        check_all([good, bad])
    with pytest.raises(GateTripped, match="2 gates"):
        check_all([bad, good, bad])
    assert good.check() is good
    assert issubclass(GateTripped, SwarmError)
    assert issubclass(GateTripped, AssertionError)
    assert bad.to_json()["tripped"] is True
    assert bad.false_alarm == ALPHA
