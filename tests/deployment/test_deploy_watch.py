"""A ServerApp that is gone is missed; one that never was, or that just ended, is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr_swarm._exceptions import FlowerRunError
from flwr_swarm.deployment.watch import GRACE_SECONDS, Watch


def watched(looks):
    """Look at the given times; returns when it was missed, or None."""
    now, living = [0.0], [False]
    watch = Watch(lambda: living[0], clock=lambda: now[0])
    for passed, living[0] in looks:
        now[0] += passed
        try:
            watch.look()
        except FlowerRunError:
            return now[0]
    return None


steps = st.floats(0.1, 5.0)


@given(st.lists(steps, max_size=60))
def test_one_that_never_was_is_not_missed(times):
    assert watched([(passed, False) for passed in times]) is None


@given(st.lists(steps, max_size=60))
def test_one_that_lives_is_not_missed(times):
    assert watched([(passed, True) for passed in times]) is None


@given(before=st.lists(steps, max_size=20), step=steps)
def test_one_that_is_gone_is_missed_within_seconds_of_the_grace(before, step):
    alive = [(5.0, True), *((passed, True) for passed in before)]
    gone_from = sum(passed for passed, _ in alive)
    missed = watched([*alive, *[(step, False)] * 400])
    assert missed is not None
    assert GRACE_SECONDS - 2.0 <= missed - gone_from <= GRACE_SECONDS + 2.0 + 2 * step


@given(gap=st.floats(0.1, GRACE_SECONDS - 2.1))
def test_a_short_absence_is_forgiven(gap):
    assert watched([(5.0, True), (gap, False), (5.0, True), (gap, False), (5.0, True)]) is None


def test_the_error_says_what_happened():
    living = [True]
    now = [0.0]
    watch = Watch(lambda: living[0], clock=lambda: now[0])
    watch.look()
    living[0], now[0] = False, 12.0
    with pytest.raises(FlowerRunError, match="ended 12 s ago"):
        watch.look()
