"""RMIA and the calibrated loss against plain loops over the papers' formulas."""

import numpy as np
import pytest
from flwr_swarm_attacks import balanced_masks, calibrated_loss, rmia_offline, rmia_online
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import ConfigurationError

unhurried = settings(deadline=None, max_examples=40)


@st.composite
def games(draw):
    """A target's confidences, shadows and masks, from a seed; extremes among them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, shadows = draw(st.integers(2, 12)), 2 * draw(st.integers(2, 5))
    scale = draw(st.sampled_from([0.1, 3.0, 8.0]))
    masks = balanced_masks(shadows, n, seed=draw(st.integers(0, 99)))
    return rng.normal(size=n) * scale, rng.normal(size=(shadows, n)) * scale, masks


def p(confidence):
    return 1 / (1 + np.exp(-confidence))


def by_pairs(target, usual, gamma, population):
    """Equation 4 as it stands: P over z of LR(x, z) >= gamma, z another example."""
    ratio = p(target) / usual
    shares = []
    for i in range(len(target)):
        others = [j for j in np.flatnonzero(population) if gamma > 1 or j != i]
        shares.append(np.mean([ratio[i] / gamma >= ratio[j] for j in others]) if others else 0.0)
    return shares


@unhurried
@given(games(), st.sampled_from([1.0, 2.0]), st.integers(0, 99))
def test_online_is_the_share_of_pairs_that_are_won(game, gamma, seed):
    target, shadows, masks = game
    population = np.random.default_rng(seed).random(len(target)) < 0.6
    population[seed % len(target)] = True
    usual = np.array([
        (p(s[m]).mean() + p(s[~m]).mean()) / 2 for s, m in zip(shadows.T, masks.T, strict=True)
    ])  # fmt: skip
    found = rmia_online(target, shadows, masks, gamma=gamma, population=population)
    assert found == pytest.approx(by_pairs(target, usual, gamma, population))


@unhurried
@given(games(), st.sampled_from([0.0, 0.3, 1.0]))
def test_offline_guesses_the_models_inside_from_a(game, a):
    target, shadows, masks = game
    outside = [p(s[~m]).mean() for s, m in zip(shadows.T, masks.T, strict=True)]
    usual = (1 + a) / 2 * np.array(outside) + (1 - a) / 2
    everyone = np.ones(len(target), bool)
    found = rmia_offline(target, shadows, masks, a=a)
    assert found == pytest.approx(by_pairs(target, usual, 1.0, everyone))


@unhurried
@given(games(), st.randoms(use_true_random=False))
def test_offline_attacks_read_no_shadow_that_trained_on_the_example(game, random):
    target, shadows, masks = game
    rng = np.random.default_rng(random.randrange(99))
    changed = np.where(masks, rng.normal(size=masks.shape), shadows)
    for attack in (rmia_offline, calibrated_loss):
        assert np.array_equal(attack(target, shadows, masks), attack(target, changed, masks))


@unhurried
@given(games(), st.integers(0, 11), st.floats(0.1, 50))
def test_more_confidence_never_lowers_a_score(game, which, more):
    target, shadows, masks = game
    raised = target.copy()
    raised[which % len(target)] += more
    for attack in (rmia_online, rmia_offline, calibrated_loss):
        before, after = attack(target, shadows, masks), attack(raised, shadows, masks)
        assert after[which % len(target)] >= before[which % len(target)] - 1e-12


def test_with_a_of_one_only_the_models_outside_count():
    """Known answer: p_out = 1/2 for all, so the order is that of the target."""
    masks = balanced_masks(4, 4, seed=0)
    target = np.array([-1.0, 0.0, 2.0, 1.0])
    found = rmia_offline(target, np.zeros((4, 4)), masks, a=1.0)
    assert found == pytest.approx([0, 1 / 3, 1, 2 / 3])


@unhurried
@given(games())
def test_calibrated_loss_is_the_mean_excess_over_models_outside(game):
    target, shadows, masks = game
    expected = [
        np.mean([np.logaddexp(0, -c) for c in s[~m]]) - np.logaddexp(0, -t)
        for t, s, m in zip(target, shadows.T, masks.T, strict=True)
    ]
    assert calibrated_loss(target, shadows, masks) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"a": 1.5}, "a must be in"),
        ({"gamma": 0.5}, "gamma must be"),
        ({"population": np.zeros(3, bool)}, "at least one"),
        ({"population": np.ones(2, bool)}, "one bool an example"),
    ],
)
def test_parameters_out_of_range_are_refused(options, says):
    target, shadows = np.zeros(3), np.zeros((4, 3))
    with pytest.raises(ConfigurationError, match=says):
        rmia_offline(target, shadows, balanced_masks(4, 3, seed=0), **options)
    with pytest.raises(ConfigurationError, match="one side"):
        rmia_online(target, shadows, np.zeros((4, 3), bool))
