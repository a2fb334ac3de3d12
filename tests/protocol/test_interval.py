"""The adaptive interval: in bounds, longer while the mean falls, shorter when it stalls."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr_swarm._exceptions import ConfigurationError, UnusableMetric
from flwr_swarm.stopping import AdaptiveInterval, Finished

losses = st.floats(-1e6, 1e6)
histories = st.lists(st.none() | losses, max_size=20)
"""Mean losses of rounds; None is a round that led to no model."""


@st.composite
def intervals(draw: Any, widest: int = 200) -> AdaptiveInterval:
    shortest = draw(st.integers(1, 20))
    longest = shortest + draw(st.integers(0, widest))
    return AdaptiveInterval(
        shortest=shortest,
        longest=longest,
        start=draw(st.integers(shortest, longest)),
        grow=draw(st.floats(1.001, 1e300)),
        shrink=draw(st.floats(1e-9, 0.999)),
        patience=draw(st.integers(1, 4)),
        min_delta=draw(st.sampled_from([0.0, 0.01, 1.0])),
    )


def rounds(history: list[float | None]) -> tuple[Finished, ...]:
    return tuple(
        Finished(number=n, metrics=None if loss is None else {"val-loss": loss, "other": 9.0})
        for n, loss in enumerate(history, 1)
    )


@given(intervals(), histories)
def test_it_stays_in_its_bounds_and_begins_at_start(
    interval: AdaptiveInterval, history: list[float | None]
) -> None:
    assert interval.shortest <= interval.after(rounds(history)) <= interval.longest
    assert interval.after(()) == interval.start
    assert interval.after(rounds([1.0])) == interval.start  # one mean says nothing of a fall


@given(intervals(), histories)
def test_the_same_means_give_the_same_interval_and_void_rounds_change_nothing(
    interval: AdaptiveInterval, history: list[float | None]
) -> None:
    led = [loss for loss in history if loss is not None]
    assert interval.after(rounds(history)) == interval.after(rounds(led))
    # A relay that knows the means alone, under other round numbers, comes to the same.
    again = tuple(Finished(number=100 + n, metrics={"val-loss": v}) for n, v in enumerate(led))
    assert interval.after(again) == interval.after(rounds(led))


@given(intervals(), st.lists(losses, max_size=12), losses, losses)
def test_a_lower_mean_never_leads_to_a_shorter_interval(
    interval: AdaptiveInterval, history: list[float], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert interval.after(rounds([*history, low])) >= interval.after(rounds([*history, high]))


@given(intervals(), st.lists(losses, min_size=1, max_size=12), losses)
def test_a_fall_lengthens_and_a_stall_shortens_by_one_at_least(
    interval: AdaptiveInterval, history: list[float], last: float
) -> None:
    before, after = interval.after(rounds(history)), interval.after(rounds([*history, last]))
    fell = last < min(history[-interval.patience :]) - interval.min_delta
    if fell:
        assert after > before or before == interval.longest
    else:
        assert after <= before
    if not fell and interval.patience == 1:
        assert after < before or before == interval.shortest


@given(intervals(widest=59))
def test_a_steady_fall_leads_to_the_longest_and_a_standstill_to_the_shortest(
    interval: AdaptiveInterval,
) -> None:
    steps = interval.longest - interval.shortest + 1
    falling: list[float | None] = [float(-2 * n) for n in range(steps + 1)]
    assert interval.after(rounds(falling)) == interval.longest
    stalled = [*falling, *[falling[-1]] * (steps * interval.patience)]
    assert interval.after(rounds(stalled)) == interval.shortest
    assert falling[-1] is not None
    recovered = [*stalled, *(falling[-1] - 2 * n for n in range(1, steps + 1))]
    assert interval.after(rounds(recovered)) == interval.longest


@given(st.integers(1, 4), st.floats(1, 1e6))
def test_it_recovers_from_a_jump_of_the_loss(patience: int, jump: float) -> None:
    """Falling again counts, also while the mean is still above the best of long ago."""
    interval = AdaptiveInterval(start=4, longest=64, patience=patience)
    worse = [0.0, *[1000 + jump] * patience]
    falling = [1000 + jump - n for n in range(1, 8)]
    assert interval.after(rounds([*worse, *falling])) == interval.longest


def test_patience_rounds_without_a_fall_shorten_once() -> None:
    interval = AdaptiveInterval(start=8, longest=64, patience=3)
    lengths = [interval.after(rounds([5.0] * n)) for n in range(1, 9)]
    assert lengths == [8, 8, 8, 4, 4, 4, 2, 2]
    assert interval.after(rounds([5.0, 5.0, 5.0, 4.0, 4.0, 4.0])) == 16  # a fall starts it anew


@pytest.mark.parametrize("loss", [math.nan, math.inf, [1.0]])
def test_a_mean_that_is_no_number_is_an_error_that_names_the_metrics(loss: Any) -> None:
    bad = (Finished(number=1, metrics={"val-loss": loss, "auc": 0.7}),)
    with pytest.raises(UnusableMetric, match=r"round 1 .*auc, val-loss"):
        AdaptiveInterval(start=1, longest=2).after(bad)


@pytest.mark.parametrize(
    "options",
    [
        {"start": 0, "longest": 4},
        {"start": 5, "longest": 4},
        {"start": 2, "longest": 4, "shortest": 3},
        {"start": 1, "longest": 4, "shortest": 0},
        {"start": 1, "longest": 4, "grow": 1.0},
        {"start": 1, "longest": 4, "grow": math.nan},
        {"start": 1, "longest": 4, "shrink": 1.0},
        {"start": 1, "longest": 4, "shrink": 0.0},
        {"start": 1, "longest": 4, "patience": 0},
        {"start": 1, "longest": 4, "min_delta": -1.0},
        {"start": 1, "longest": 4, "min_delta": math.inf},
        {"start": 1, "longest": 4, "key": ""},
    ],
)
def test_numbers_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        AdaptiveInterval(**options)
