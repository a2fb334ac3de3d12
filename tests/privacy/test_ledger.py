"""The federation's epsilon from its sites', for patients of one and of several."""

import json
import math

import pytest
from flwr.app import RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import AccountantLost, ConfigurationError
from flwr_swarm.privacy import Charge, History
from flwr_swarm.privacy.accounting import save_history
from flwr_swarm.privacy.ledger import Entry, PrivacyLedger, everybody_anywhere
from flwr_swarm.privacy.shared import SharedCharge

charges = st.builds(
    Charge,
    noise_multiplier=st.sampled_from([0.8, 1.5, 3.0]),
    sample_rate=st.sampled_from([0.05, 0.5, 1.0]),
    steps=st.integers(1, 40),
) | st.builds(
    SharedCharge,
    noise_multiplier=st.sampled_from([1.0, 2.0]),
    sample_rate=st.sampled_from([0.1, 1.0]),
    steps=st.integers(1, 9),
    sensitivity=st.just(1e4),
    size=st.just(100),
)


@st.composite
def entries(draw, count=3):
    made = []
    for name in "abcd"[:count]:
        history = History()
        for charge in draw(st.lists(charges, min_size=1, max_size=3)):
            history = history.charged(charge, delta=draw(st.sampled_from([1e-6, 1e-5])))
        made.append(Entry(site=name, units=draw(st.integers(10, 10_000)), history=history))
    return tuple(made)


def example(epsilon=1, delta=1e-5, units=100, site="a"):
    charge = Charge(noise_multiplier=2.0, sample_rate=0.1, steps=epsilon)
    return Entry(site=site, units=units, history=History().charged(charge, delta=delta))


@settings(max_examples=30)
@given(entries())
def test_sites_with_disjoint_patients_lose_the_maximum(sites):
    found = PrivacyLedger(entries=sites).federation("rdp")
    assert found.epsilon == max(entry.history.epsilon() for entry in sites)
    assert found.delta == max(entry.history.delta for entry in sites)
    assert len(found.sites) == 1


@settings(max_examples=30)
@given(entries())
def test_a_patient_of_two_sites_loses_the_sum(sites):
    a, b, c = sites
    found = PrivacyLedger(entries=sites, together=(frozenset("ab"),)).federation("rdp")
    both = a.history.epsilon() + b.history.epsilon()
    assert found.epsilon == pytest.approx(max(both, c.history.epsilon()))
    assert found.delta >= a.history.delta + b.history.delta
    anywhere = everybody_anywhere(sites).federation("rdp")
    assert anywhere.epsilon == pytest.approx(both + c.history.epsilon())
    assert anywhere.sites == ("a", "b", "c")


@settings(max_examples=20)
@given(entries(1))
def test_entries_travel_as_json_and_come_from_the_accountant(sites):
    (entry,) = sites
    assert Entry.from_json(json.loads(json.dumps(entry.to_json()))) == entry
    state = RecordDict()
    save_history(state, entry.history)
    assert Entry.of(state, site=entry.site, units=entry.units) == entry


def test_reports_are_tighter_than_the_chain():
    ledger = PrivacyLedger(entries=(example(40), example(10, site="b")))
    assert 0.5 < ledger.federation().epsilon < ledger.federation("rdp").epsilon


def test_a_site_without_dp_makes_everything_infinite_and_one_that_never_trained_nothing():
    bare = Entry(site="b", units=9, history=History().exposed())
    idle = Entry(site="c", units=9, history=History())
    assert PrivacyLedger(entries=(example(), bare)).federation("rdp").epsilon == math.inf
    spent = PrivacyLedger(entries=(example(), idle)).federation("rdp")
    assert (spent.epsilon, spent.sites) == (example().history.epsilon(), ("a",))


def test_delta_must_be_below_one_over_the_smallest_site():
    with pytest.raises(ConfigurationError, match="one over its patients"):
        example(delta=1e-2, units=100)
    small = example(units=10, site="b", delta=1e-6)
    PrivacyLedger(entries=(example(), small)).check()
    mixed = PrivacyLedger(entries=(example(delta=9e-3), example(units=200, site="b", delta=2e-3)))
    with pytest.raises(ConfigurationError, match="site a"):
        PrivacyLedger(entries=mixed.entries, together=(frozenset("ab"),)).check()
    mixed.check()


@pytest.mark.parametrize(
    "damage",
    [
        {"units": 0},
        {"history": {}},
        {"history": None},
        {"charges": [{"noise_multiplier": -1.0, "sample_rate": 0.1, "steps": 1}]},
        {"charges": [{"noise_multiplier": 1.0, "sample_rate": 2.0, "steps": 1}]},
        {"charges": [{"noise_multiplier": 1.0, "sample_rate": 0.1}]},
        {"delta": 0.0},
        {"rounds": -1},
    ],
)
def test_a_malformed_entry_is_refused(damage):
    data = example().to_json()
    data = data | damage if set(damage) & {"units", "history"} else {
        **data, "history": data["history"] | damage
    }  # fmt: skip
    with pytest.raises((AccountantLost, ConfigurationError)):
        Entry.from_json(data)


def test_a_ledger_names_every_site_once():
    for sites, together in (
        ((), ()),
        ((example(), example()), ()),
        ((example(),), (frozenset("ax"),)),
    ):
        with pytest.raises(ConfigurationError, match="every site once"):
            PrivacyLedger(entries=sites, together=together)
