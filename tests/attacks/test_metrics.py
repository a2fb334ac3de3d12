"""AUC, TPR and their intervals against closed forms and against slower, plainer code."""

import math

import numpy as np
import pytest
from flwr_swarm_attacks import auc, separation, tpr_at_fpr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from flwr_swarm._exceptions import ConfigurationError

scored = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=60).filter(
    lambda rows: len({member for _, member in rows}) == 2
)
unhurried = settings(deadline=None)


def split(rows):
    scores, member = zip(*rows, strict=True)
    return np.array(scores, float), np.array(member)


@unhurried
@given(scored)
def test_auc_is_scikit_learns_ties_included(rows):
    scores, member = split(rows)
    assert auc(scores, member) == pytest.approx(roc_auc_score(member, scores))


@unhurried
@given(scored, st.sampled_from([0.01, 0.1, 0.25, 0.5]))
def test_tpr_is_the_best_of_all_thresholds_that_keep_the_rate(rows, fpr):
    scores, member = split(rows)
    best = max(
        (scores[member] > t).mean()
        for t in [-math.inf, *scores]
        if (scores[~member] > t).mean() <= fpr
    )
    assert tpr_at_fpr(scores, member, fpr=fpr) == pytest.approx(best)


@unhurried
@given(scored)
def test_only_the_order_of_scores_matters(rows):
    scores, member = split(rows)
    assert separation(np.exp(scores), member, resamples=20) == separation(
        scores, member, resamples=20
    )
    assert auc(-scores, member) == pytest.approx(1 - auc(scores, member))


def test_shifted_gaussians_have_the_auc_and_tpr_of_the_textbook():
    rng, n, shift = np.random.default_rng(1), 40_000, 1.0
    scores = np.r_[rng.normal(shift, 1, n), rng.normal(0, 1, n)]
    member = np.arange(2 * n) < n

    def phi(z):
        return 0.5 * math.erfc(-z / math.sqrt(2))

    assert auc(scores, member) == pytest.approx(phi(shift / math.sqrt(2)), abs=0.01)
    assert tpr_at_fpr(scores, member) == pytest.approx(phi(shift - 2.3263), abs=0.01)


def test_the_auc_interval_has_the_width_of_theory():
    """Hanley and McNeil (1982) for the standard error of an AUC at chance."""
    rng, n = np.random.default_rng(2), 500
    found = separation(rng.normal(size=2 * n), np.arange(2 * n) < n).auc
    theory = math.sqrt((2 * n + 1) / (12 * n * n))
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(theory, rel=0.15)
    assert found.low <= 0.5 <= found.high


def test_repeating_examples_adds_no_certainty_when_clustered():
    rng, n, copies = np.random.default_rng(3), 200, 9
    member = np.arange(n) % 2 == 0
    scores = rng.normal(size=n) + 0.5 * member
    once = separation(scores, member).auc
    examples = np.tile(np.arange(n), copies)
    many = np.tile(scores, copies), np.tile(member, copies)
    clustered, naive = separation(*many, examples=examples).auc, separation(*many).auc

    def width(estimate):
        return estimate.high - estimate.low

    assert clustered.value == pytest.approx(once.value)
    assert width(clustered) == pytest.approx(width(once), rel=0.1)
    assert width(naive) < 0.5 * width(clustered)


def test_a_rate_of_zero_is_not_reported_as_certain():
    found = separation(np.r_[np.zeros(20), np.ones(20)], np.arange(40) < 20).tpr
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 20))


def test_intervals_depend_on_the_seed_alone():
    rng = np.random.default_rng(4)
    scores, member = rng.normal(size=300), np.arange(300) < 100
    assert separation(scores, member, seed=5) == separation(scores, member, seed=5)
    assert separation(scores, member, seed=5) != separation(scores, member, seed=6)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: auc([1.0, 2.0], [True, True]), "2 members among 2"),
        (lambda: auc([1.0, math.nan], [True, False]), "NaN"),
        (lambda: auc([1.0], [True, False]), "one length"),
        (lambda: separation([1.0, 2.0], [True, False], fpr=0.0), "fpr"),
        (lambda: separation([1.0, 2.0], [True, False], examples=[1]), "one id"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, says):
    with pytest.raises(ConfigurationError, match=says):
        call()
