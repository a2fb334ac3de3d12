"""What shared noise costs: above the exact divergence, near the Gaussian's, kept with the rest."""

import math

import numpy as np
import pytest
from flwr.app import ConfigRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants.analysis.rdp import compute_rdp
from scipy.special import ive

from flwr_swarm._exceptions import AccountantLost
from flwr_swarm.privacy import STATE_KEY, Charge, History, load_history
from flwr_swarm.privacy.accounting import save_history
from flwr_swarm.privacy.shared import (
    SharedCharge,
    rdp_of_one_step,
    rdp_of_rounded_skellam,
)


def released(value, variance, coins=96):
    """Distribution of one rounded value with Skellam noise, on a common range of integers."""
    reach = math.ceil(14 * math.sqrt(variance)) + 40
    support = np.arange(-reach, reach + 1)
    noise, total = ive(np.abs(support), variance), np.zeros(len(support) + 40)
    for coin in (np.arange(coins) + 0.5) / coins:
        shift = 20 + math.ceil(value - coin)
        total[shift : shift + len(support)] += noise / coins
    return total


def divergence(p, q, order):
    seen = (p > 1e-290) & (q > 1e-290)
    return math.log(np.sum(q[seen] * (p[seen] / q[seen]) ** order)) / (order - 1)


@settings(max_examples=60)
@given(
    st.floats(-5, 5), st.floats(-4, 4).filter(lambda d: abs(d) > 0.01), st.floats(1, 200),
    st.sampled_from([1.0, 0.3, 0.05]), st.integers(2, 12),
)  # fmt: skip
def test_no_neighbours_diverge_more_than_is_charged(value, change, variance, rate, order):
    """One entry, exactly: both directions, sampled, rounded by coins that are summed over."""
    without, joined = released(value, variance), released(value + change, variance)
    mixed = (1 - rate) * without + rate * joined
    noise = math.sqrt(variance) / abs(change)
    (charged,) = rdp_of_one_step(noise, rate, abs(change), 1, (float(order),))
    assert divergence(mixed, without, order) <= charged + 1e-9
    assert divergence(without, mixed, order) <= charged + 1e-9


def told_the_coins(changes, variance, order):
    """Divergence for one who sees the coins too: exact, entry by entry."""
    total = 0.0
    for change in changes:
        low = math.floor(change)
        moments = [
            math.exp((order - 1) * shifted(step, variance, order)) for step in (low, low + 1)
        ]
        total += math.log(moments[0] + (change - low) * (moments[1] - moments[0]))
    return total / (order - 1)


def shifted(steps, variance, order):
    """Exact divergence of Skellam noise from the same noise moved by whole steps."""
    if steps == 0:
        return 0.0
    support = np.arange(-600, 601)
    return divergence(ive(np.abs(support - steps), variance), ive(np.abs(support), variance), order)


@settings(max_examples=60)
@given(
    st.lists(st.floats(-3, 3), min_size=1, max_size=6), st.integers(1, 30),
    st.floats(20, 400), st.integers(2, 12),
)  # fmt: skip
def test_who_sees_the_coins_learns_no_more_than_is_charged(changes, times, variance, order):
    length = math.sqrt(times * sum(change**2 for change in changes))
    exact = times * told_the_coins(changes, variance, order)
    bound = rdp_of_rounded_skellam(
        order, variance=variance, sensitivity=length, size=times * len(changes)
    )
    assert exact <= bound + 1e-9


def test_rounding_is_paid_for():
    """Fifty entries of half a step: without either term for the rounding the bound would fail."""
    exact = told_the_coins([0.5] * 50, 50.0, 8)
    bound = rdp_of_rounded_skellam(8, variance=50.0, sensitivity=math.sqrt(12.5), size=50)
    assert exact <= bound <= 1.5 * exact


def test_two_entries_diverge_no_more_than_is_charged():
    """Independent coins and noise: divergences of entries add up, the bound takes them together."""
    for x, y in ((0.3, 0.4), (2.7, -1.2), (0.5, 0.5)):
        exact = sum(divergence(released(0.1 + d, 30.0), released(0.1, 30.0), 4) for d in (x, y))
        bound = rdp_of_rounded_skellam(4, variance=30.0, sensitivity=math.hypot(x, y), size=2)
        assert exact <= bound


def test_without_rounding_it_is_the_published_bound():
    """Agarwal, Kairouz and Liu 2021: a D^2/(2 mu) + ((2a-1) D^2 + 6 D1)/(4 mu^2), D1 <= D^2."""
    order, variance, length = 5, 400.0, 3.0
    published = order * length**2 / (2 * variance)
    published += ((2 * order - 1) * length**2 + 6 * length**2) / (4 * variance**2)
    found = rdp_of_rounded_skellam(order, variance=variance, sensitivity=length, size=0)
    assert found == pytest.approx(published, rel=2e-2)  # the moments of no coins cost a little
    assert found >= published


@settings(max_examples=30)
@given(st.floats(0.5, 8), st.sampled_from([1.0, 0.2, 0.01]), st.integers(1, 2**18))
def test_it_costs_what_gaussian_noise_in_one_place_costs(sigma, rate, size):
    """On a grid of 100 steps of sqrt(d) a record: within 6 % of Opacus' sampled Gaussian."""
    orders = (2.0, 4.0, 8.0, 16.0)
    found = rdp_of_one_step(sigma, rate, 100 * math.sqrt(size), size, orders)
    gauss = compute_rdp(q=rate, noise_multiplier=sigma, steps=1, orders=orders)
    assert (found >= np.asarray(gauss) * (1 - 1e-6)).all()
    assert found[:2] == pytest.approx(np.asarray(gauss)[:2], rel=0.06)


@given(st.floats(0.3, 5), st.floats(0.01, 1), st.floats(1, 1e4), st.integers(1, 10**6))
def test_more_of_anything_never_costs_less(sigma, rate, sensitivity, size):
    orders = (2.0, 8.0)
    base = rdp_of_one_step(sigma, rate, sensitivity, size, orders)
    for worse in (
        rdp_of_one_step(sigma / 1.1, rate, sensitivity, size, orders),
        rdp_of_one_step(sigma, min(1.0, rate * 1.1), sensitivity, size, orders),
        rdp_of_one_step(sigma, rate, sensitivity, 2 * size, orders),
        rdp_of_one_step(sigma, rate, sensitivity / 1.5, size, orders),
    ):
        assert (worse >= base * (1 - 1e-9)).all()
    assert rdp_of_one_step(sigma, rate, sensitivity, size, (1.5,)) == base[0]


shared = st.builds(
    SharedCharge,
    noise_multiplier=st.floats(0.5, 4),
    sample_rate=st.floats(0.01, 1),
    steps=st.integers(1, 50),
    sensitivity=st.floats(100, 1e4),
    size=st.integers(1, 10**5),
)
own = st.builds(
    Charge,
    noise_multiplier=st.floats(0.5, 4),
    sample_rate=st.floats(0.01, 1),
    steps=st.integers(1, 50),
)


@settings(max_examples=40)
@given(st.lists(shared | own, min_size=1, max_size=4))
def test_histories_of_both_kinds_are_kept_and_only_grow(charges):
    state, history, spent = RecordDict(), History(), 0.0
    for charge in charges:
        history = history.charged(charge, delta=1e-5)
        save_history(state, history)
        assert load_history(state) == history
        assert history.epsilon() >= spent
        spent = history.epsilon()
    assert history.rounds == len(charges)
    if history.shared:
        assert history.epsilon(accountant="prv") == spent
        assert history.exposed().epsilon() == math.inf


@pytest.mark.parametrize(("rate", "steps"), [(0.05, 200), (1.0, 5)])
def test_rounds_cost_what_steps_of_dp_sgd_in_one_place_cost(rate, steps):
    """At 10,000 parameters on the grid of 16 members: epsilon within 1 % of DP-SGD's."""
    together = SharedCharge(
        noise_multiplier=1.0, sample_rate=rate, steps=steps, sensitivity=7500.0, size=10_000
    )
    central = Charge(noise_multiplier=1.0, sample_rate=rate, steps=steps)
    found, expected = (
        History().charged(charge, delta=1e-5).epsilon() for charge in (together, central)
    )
    assert expected <= found <= 1.01 * expected


def test_equal_rounds_are_one_mechanism():
    charge = SharedCharge(noise_multiplier=1.0, sample_rate=0.5, steps=1, sensitivity=100.0, size=9)
    history = History()
    for _ in range(5):
        history = history.charged(charge, delta=1e-5)
    assert [c.steps for c in history.shared] == [5]


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 1},
        {"shared_sizes": [0]},
        {"shared_steps": [1, 2]},
        {"shared_sample_rates": [2.0]},
    ],
)
def test_a_damaged_record_of_shared_noise_is_refused(damage):
    state = RecordDict()
    charge = SharedCharge(noise_multiplier=1.0, sample_rate=0.5, steps=1, sensitivity=9.0, size=9)
    save_history(state, History().charged(charge, delta=1e-5))
    state[STATE_KEY] = ConfigRecord({**dict(state.config_records[STATE_KEY]), **damage})
    with pytest.raises(AccountantLost):
        load_history(state)
