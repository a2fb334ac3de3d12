"""Waits between tries: they never shrink, never exceed the bound, and begin with the first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.deployment.backoff import Backoff

seconds = st.floats(0.001, 1e4, allow_nan=False)


@given(first=seconds, more=seconds, factor=st.floats(1, 100), failures=st.integers(1, 10_000))
def test_waits_grow_up_to_their_bound(first, more, factor, failures):
    backoff = Backoff(first=first, factor=factor, most=first + more)
    assert backoff.after(0) == 0
    assert backoff.after(1) == first
    assert backoff.after(failures) <= backoff.after(failures + 1) <= first + more


@given(failures=st.integers(20, 10**6))
def test_the_bound_is_reached(failures):
    assert Backoff().after(failures) == Backoff().most


@pytest.mark.parametrize("wrong", [{"first": 0}, {"first": 2, "most": 1}, {"factor": 0.5}])
def test_a_schedule_that_shrinks_or_spins_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="a backoff needs"):
        Backoff(**wrong)
