"""RMIA's ratio over rounds of updates: against plain loops, and on confidences that are extreme."""

import numpy as np
import pytest
from flwr_swarm_attacks import auc, balanced_masks
from flwr_swarm_attacks.ratios import ratio_over_rounds, ratio_to_peers
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import ConfigurationError

unhurried = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**32 - 1)


def p(confidence):
    return 1 / (1 + np.exp(-confidence))


@unhurried
@given(seeds, st.integers(1, 4), st.integers(2, 5), st.integers(1, 8), st.sampled_from([0, 0.3, 1]))
def test_peers_are_the_models_outside(seed, rounds, sites, n, a):
    """Equation 2 with p = ((1 + a) p_out + 1 - a) / 2, its logarithm in the mean over rounds."""
    values = np.random.default_rng(seed).normal(size=(rounds, sites, n)) * 4
    site = seed % sites
    found = ratio_to_peers(values, site, a=a)
    for i in range(n):
        logs = []
        for r in range(rounds):
            outside = np.mean([p(values[r, s, i]) for s in range(sites) if s != site])
            logs.append(np.log(p(values[r, site, i]) / (((1 + a) * outside + 1 - a) / 2)))
        assert found[i] == pytest.approx(np.mean(logs), abs=1e-9)


@unhurried
@given(seeds, st.integers(1, 4), st.integers(2, 5), st.integers(1, 8))
def test_shadows_of_each_round_are_halved_by_example(seed, rounds, pairs, n):
    rng = np.random.default_rng(seed)
    masks = balanced_masks(2 * pairs, n, seed=seed % 1000)
    target = rng.normal(size=(rounds, n)) * 4
    shadows = rng.normal(size=(2 * pairs, rounds, n)) * 4
    found = ratio_over_rounds(target, shadows, masks)
    for i in range(n):
        logs = []
        for r in range(rounds):
            inside = p(shadows[masks[:, i], r, i]).mean()
            outside = p(shadows[~masks[:, i], r, i]).mean()
            logs.append(np.log(p(target[r, i]) / ((inside + outside) / 2)))
        assert found[i] == pytest.approx(np.mean(logs), abs=1e-9)


@pytest.mark.parametrize("a", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("sure", [-900.0, -40.0, 40.0, 900.0])
def test_certainty_gives_finite_scores_in_the_right_order(sure, a):
    """A net that is sure of a wrong label says a probability that rounds to zero."""
    values = np.full((2, 3, 2), sure)
    values[:, 0, 1] += 20
    found = ratio_to_peers(values, 0, a=a)
    assert np.isfinite(found).all()
    assert found[1] >= found[0]
    masks = balanced_masks(4, 2, seed=0)
    shadowed = ratio_over_rounds(values[:, 0], np.full((4, 2, 2), sure), masks)
    assert np.isfinite(shadowed).all()
    assert shadowed[0] == pytest.approx(0, abs=1e-9)


def test_more_rounds_tell_more():
    """Members are one deviation surer in every round. Fixed seed; eight deviations of the AUC."""
    rng, n = np.random.default_rng(0), 4000
    member = rng.random(n) < 0.5
    hard = rng.normal(size=n) * 2
    values = hard + rng.normal(size=(6, 4, n))
    values[:, 2] += member
    masks = balanced_masks(16, n, seed=1)
    shadows = hard + rng.normal(size=(16, 6, n)) + masks[:, None, :]
    for score in (
        lambda r: ratio_to_peers(values[:r], 2),
        lambda r: ratio_over_rounds(values[:r, 2], shadows[:, :r], masks),
    ):
        assert auc(score(6), member) > auc(score(1), member) + 8 * np.sqrt(1 / (6 * n))
        assert abs(auc(score(6), rng.permutation(member)) - 0.5) < 8 * np.sqrt(1 / (3 * n))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ConfigurationError, match="0 other sites"):
        ratio_to_peers(np.zeros((2, 1, 3)), 0)
    with pytest.raises(ConfigurationError, match=r"a = 1\.5"):
        ratio_to_peers(np.zeros((2, 2, 3)), 0, a=1.5)
    with pytest.raises(ConfigurationError, match="rounds, n"):
        ratio_over_rounds(np.zeros((2, 3)), np.zeros((4, 3, 3)), balanced_masks(4, 3, seed=0))
    with pytest.raises(ConfigurationError, match="at least 2"):
        ratio_over_rounds(np.zeros((2, 3)), np.zeros((2, 2, 3)), balanced_masks(2, 3, seed=0))
