"""The history of charges: composition, monotonicity, rounding, and survival of restarts."""

import math

import pytest
from flwr.app import ConfigRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from hypothesis import given
from hypothesis import strategies as st
from privacy_support import opacus_epsilon, unhurried

from flwr_swarm._exceptions import AccountantLost, ConfigurationError
from flwr_swarm.privacy.accounting import (
    STATE_KEY,
    Charge,
    History,
    epsilon_spent,
    load_history,
    micro_epsilon,
    reconcile,
    save_history,
)
from flwr_swarm.protocol.types import EPSILON_UNIT, NO_CAP

charges = st.builds(
    Charge,
    noise_multiplier=st.sampled_from([0.3, 0.7, 1.0, 2.5, 20.0]),
    sample_rate=st.sampled_from([1.0, 1 / 3, 1 / 93]),
    steps=st.sampled_from([1, 7, 200]),
)
paid = st.lists(st.tuples(charges, st.sampled_from([1e-5, 1e-6, 1e-3])), min_size=1, max_size=6)


def compose(rounds):
    history = History()
    for charge, delta in rounds:
        history = history.charged(charge, delta=delta)
    return history


def restarted(state):
    """What comes back after Flower sent the state through protobuf."""
    message = recorddict_to_proto(state)
    return recorddict_from_proto(type(message).FromString(message.SerializeToString()))


@unhurried
@given(paid)
def test_epsilon_is_opacus_own_over_the_whole_history(rounds):
    history = [(c.noise_multiplier, c.sample_rate, c.steps) for c, _ in rounds]
    expected = opacus_epsilon(history, min(delta for _, delta in rounds))
    assert compose(rounds).epsilon() == pytest.approx(expected, rel=1e-9)


@unhurried
@given(paid, charges, st.sampled_from([1e-2, 1e-5, 1e-7]))
def test_epsilon_never_falls(rounds, charge, delta):
    before = compose(rounds)
    assert before.charged(charge, delta=delta).epsilon() >= before.epsilon()


@unhurried
@given(paid)
def test_a_restart_loses_nothing(rounds):
    state = RecordDict()
    save_history(state, compose(rounds))
    again = restarted(state)
    assert load_history(again) == compose(rounds)
    assert micro_epsilon(again) == micro_epsilon(state)


@unhurried
@given(paid)
def test_micro_epsilon_is_the_least_integer_not_below_epsilon(rounds):
    state = RecordDict()
    save_history(state, compose(rounds))
    micro, epsilon = micro_epsilon(state), epsilon_spent(state)
    assert isinstance(micro, int)
    numerator, denominator = epsilon.as_integer_ratio()  # exact: floats would round here too
    assert (micro - 1) * denominator < numerator * EPSILON_UNIT <= micro * denominator


def test_a_site_that_never_used_dp_has_no_epsilon():
    assert epsilon_spent(RecordDict()) is None
    assert micro_epsilon(RecordDict()) == 0


@unhurried
@given(paid)
def test_one_round_without_dp_makes_epsilon_infinite(rounds):
    state = RecordDict()
    save_history(state, compose(rounds).exposed())
    assert epsilon_spent(state) == math.inf
    assert micro_epsilon(state) == NO_CAP
    save_history(state, History().exposed())
    assert epsilon_spent(state) is None


@unhurried
@given(paid, st.integers(-5, 5))
def test_reconcile_refuses_exactly_what_the_site_forgot(rounds, difference):
    state = RecordDict()
    save_history(state, compose(rounds))
    chain = max(0, micro_epsilon(state) + difference)
    if chain > micro_epsilon(state):
        with pytest.raises(AccountantLost, match="restore"):
            reconcile(state, chain)
    else:
        reconcile(state, chain)


def good_record():
    state = RecordDict()
    save_history(
        state,
        History().charged(Charge(noise_multiplier=1.0, sample_rate=0.1, steps=10), delta=1e-5),
    )
    return dict(state[STATE_KEY])


@unhurried
@given(
    st.sampled_from(sorted(good_record())),
    st.sampled_from([None, 7, -1, 0, 1.5, math.nan, "x", [1.5, 2.5], [0.0], [-1], [2.0]]),
)
def test_a_damaged_record_is_refused_not_read_as_less(key, value):
    record = good_record()
    if value is None:
        del record[key]
    else:
        record[key] = value
    whole = History().charged(Charge(noise_multiplier=1.0, sample_rate=0.1, steps=10), delta=1e-5)
    try:
        history = load_history(RecordDict({STATE_KEY: ConfigRecord(record)}))
    except AccountantLost:
        return
    assert all(
        c.steps > 0 and 0 < c.sample_rate <= 1 < 1 + c.noise_multiplier for c in history.charges
    )
    assert len(history.charges) == len(whole.charges)


def test_the_optimistic_accountant_is_refused_and_the_tight_one_is_tighter():
    state = RecordDict()
    save_history(
        state,
        History().charged(Charge(noise_multiplier=1.0, sample_rate=0.05, steps=100), delta=1e-5),
    )
    with pytest.raises(ConfigurationError, match="under-reports"):
        epsilon_spent(state, accountant="gdp")
    assert 0.7 < epsilon_spent(state, accountant="prv") / epsilon_spent(state) < 1.0
