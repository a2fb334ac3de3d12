"""Lower bounds on epsilon: published values, and how often they are above the truth."""

import math

import numpy as np
import pytest
from flwr_swarm_attacks.audit_bounds import _steinke_p, fdp, gdp_clopper_pearson, gdp_z, steinke
from flwr_swarm_attacks.audit_gdp import delta_of, epsilon_of, mu_of
from flwr_swarm_attacks.audit_scores import CanaryScores
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import binom, norm

from flwr_swarm._exceptions import ConfigurationError


def spread(mean, count):
    """Scores that are normal as evenly as can be, as in jax_privacy's tests."""
    return norm.ppf((np.arange(count) + 0.5) / count) + mean


@pytest.mark.parametrize(
    ("bound", "shift", "published"),
    [
        (steinke, 0, 0),
        (fdp, 0, 0),
        (steinke, 1, 1.13346),
        (fdp, 1, 2.164749),
        (steinke, 2, 2.311945),
        (fdp, 2, 4.7218075),
        (steinke, 4, 4.395568),
        (fdp, 4, 9.133752),
    ],
)
def test_one_run_bounds_are_those_of_jax_privacy(bound, shift, published):
    """jax_privacy 2.0.0, tests/auditing_test.py, test_epsilon_one_run_close (Apache-2.0)."""
    scores = CanaryScores(inside=spread(shift, 10_000), outside=spread(0, 10_000))
    assert bound(scores, alpha=0.05, delta=1e-6) == pytest.approx(published, rel=1e-5)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("mu", [0.3, 1.0, 3.0])
def test_gdp_bounds_are_as_tight_as_jax_privacys(mu, ratio):
    """Its test_epsilon_from_gdp_tight: within 5 % of the truth, with half a million canaries."""
    rng = np.random.default_rng(0xBAD5EED)
    scores = CanaryScores(
        inside=rng.normal(mu, 1, 500_000), outside=rng.normal(0, 1, int(500_000 * ratio))
    )
    truth = epsilon_of(mu, 0.05)
    for bound in (gdp_clopper_pearson, gdp_z):
        assert bound(scores, alpha=0.1, delta=0.05) == pytest.approx(truth, rel=0.05)


def naive_p(total, guesses, correct, epsilon, delta):
    """The published pseudo-code of Steinke et al., term by term."""
    rate, worst, mass = expit(epsilon), 0.0, 0.0
    for i in range(1, correct + 1):
        mass += binom.pmf(correct - i, guesses, rate)
        worst = max(worst, mass / i)
    return min(binom.sf(correct - 1, guesses, rate) + worst * delta * 2 * total, 1)


@given(
    st.integers(1, 60), st.data(), st.floats(0, 2), st.sampled_from([0, 1e-6, 1e-3, 0.1, 1]),
)  # fmt: skip
def test_steinkes_p_value_is_the_papers(guesses, data, epsilon, delta):
    correct = data.draw(st.integers(0, guesses))
    total = data.draw(st.integers(guesses, 1000))
    expected = naive_p(total, guesses, correct, epsilon, delta)
    assert _steinke_p(epsilon, delta, total, guesses, correct) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("inside", "outside", "false", "hits"),
    [  # jax_privacy's test_get_tn_fn_counts, as counts above the threshold
        ([1.5, 2.5, 0.5, 3.5], [0, 3, 2, 1], [4, 3, 0, 0], [4, 4, 1, 0]),
        ([0, 1, 1, 2], [0, 0, 1, 1], [4, 2, 0, 0], [4, 3, 1, 0]),
        ([0, 0, 1, 2], [0, 1, 1, 1], [4, 0, 0], [4, 1, 0]),
        ([0, 0, 0, 0], [0, 0, 0, 0], [4, 0], [4, 0]),
    ],
)
def test_thresholds_are_the_hull_of_the_roc_curve(inside, outside, false, hits):
    splits = CanaryScores(inside=np.array(inside, float), outside=np.array(outside, float)).splits()
    assert splits.false.tolist() == false
    assert splits.hits.tolist() == hits


@settings(max_examples=30)
@given(st.floats(0.05, 6), st.floats(0, 8))
def test_delta_of_a_gaussian_is_its_hockey_stick(mu, epsilon):
    def excess(x):
        return max(0.0, norm.pdf(x, mu) - math.exp(epsilon) * norm.pdf(x))

    edge = epsilon / mu + mu / 2  # above it the shifted density is more than e^epsilon as large
    value, _ = quad(excess, edge, edge + 12, limit=200, epsabs=1e-13)
    assert delta_of(mu, epsilon) == pytest.approx(value, abs=1e-9)


@given(st.floats(0.1, 10), st.sampled_from([1e-9, 1e-5, 1e-2]))
def test_mu_and_epsilon_are_inverse(epsilon, delta):
    assert epsilon_of(mu_of(epsilon, delta), delta) == pytest.approx(epsilon, abs=1e-6)


def failures(bound, *, mu, canaries, tries, alpha, seed, **options):
    rng, above = np.random.default_rng(seed), 0
    truth = epsilon_of(mu, 1e-3)
    for _ in range(tries):
        chosen = rng.random(canaries) < 0.5
        scores = CanaryScores.of(rng.normal(mu * chosen, 1), chosen)
        above += bound(scores, alpha=alpha, delta=1e-3, **options) > truth
    return above


GRID = {"thresholds": np.arange(-1, 5, 0.5)}
SHARES = {"shares": (0.1, 0.3, 1.0)}


@pytest.mark.parametrize("mu", [0.5, 2.0])
@pytest.mark.parametrize(
    ("bound", "options"),
    [(fdp, SHARES), (steinke, SHARES), (gdp_clopper_pearson, GRID), (gdp_z, {})],
)
def test_bounds_are_above_the_truth_as_rarely_as_they_say(bound, options, mu):
    tries, alpha = 200, 0.1
    above = failures(bound, mu=mu, canaries=80, tries=tries, alpha=alpha, seed=3, **options)
    assert above <= binom.isf(1e-6, tries, alpha)


@pytest.mark.parametrize("mu", [0.5, 2.0])
def test_the_z_bound_is_exact(mu):
    """Above the truth neither more nor less often than alpha."""
    above = failures(gdp_z, mu=mu, canaries=60, tries=2000, alpha=0.1, seed=5)
    assert binom.ppf(1e-6, 2000, 0.1) <= above <= binom.isf(1e-6, 2000, 0.1)


@pytest.mark.parametrize("shift", [40.0, 1e3, 1e9])
def test_scores_far_apart_give_a_large_bound_and_no_warning(shift):
    rng = np.random.default_rng(1)
    scores = CanaryScores(inside=rng.normal(shift, 1, 300), outside=rng.normal(0, 1, 300))
    assert gdp_z(scores, alpha=1e-5, delta=1e-5) > 500


vectors = st.lists(st.floats(-5, 5), min_size=4, max_size=40).map(np.array)


@settings(max_examples=50)
@given(vectors, vectors, st.sampled_from([fdp, steinke, gdp_clopper_pearson, gdp_z]))
def test_more_confidence_never_claims_more(inside, outside, bound):
    scores = CanaryScores(inside=inside, outside=outside)
    strict, lax = (bound(scores, alpha=a, delta=1e-3) for a in (1e-4, 0.1))
    assert strict <= lax + 1e-6


@settings(max_examples=50)
@given(
    st.lists(st.integers(-20, 20), min_size=4, max_size=40),
    st.lists(st.integers(-20, 20), min_size=4, max_size=40),
    st.sampled_from([fdp, steinke, gdp_clopper_pearson]),
)
def test_only_the_order_of_scores_matters(inside, outside, bound):
    scores = [np.array(s, float) for s in (inside, outside)]
    plain = CanaryScores(inside=scores[0], outside=scores[1])
    bent = CanaryScores(inside=np.exp(scores[0] / 9), outside=np.exp(scores[1] / 9))
    assert bound(plain, alpha=0.05, delta=1e-3) == bound(bent, alpha=0.05, delta=1e-3)


def test_scores_that_say_nothing_are_refused():
    with pytest.raises(ConfigurationError, match="diverge"):
        CanaryScores(inside=np.array([math.nan]), outside=np.zeros(3))
    with pytest.raises(ConfigurationError, match="alpha"):
        gdp_z(CanaryScores(inside=np.zeros(3), outside=np.zeros(3)), alpha=0.7, delta=1e-5)
