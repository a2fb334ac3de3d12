"""Stop rules: what ends a run, and what does not."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from progress_support import TERMS, ledger

from flwr_swarm import privacy
from flwr_swarm._exceptions import (
    ConfigurationError,
    UnusableMetric,
)
from flwr_swarm.protocol.types import (
    EPSILON_UNIT,
    NO_CAP,
    Phase,
    Round,
    Seal,
)
from flwr_swarm.stopping import Budget, Finished, Plateau, Progress

losses = st.floats(-100, 100)
plateaus = st.builds(
    Plateau,
    patience=st.integers(1, 4),
    min_delta=st.sampled_from([0.0, 0.5, 3.0]),
    mode=st.sampled_from(["min", "max"]),
)


def seen(means: list[float | None], name: str = "val-loss") -> Progress:
    rounds = tuple(
        Finished(number=n, metrics=None if value is None else {name: value})
        for n, value in enumerate(means, 1)
    )
    return Progress(view=ledger([0] * 4), terms=TERMS, rounds=rounds)


# --- plateau -----------------------------------------------------------------------------------


def improved_last(rule: Plateau, means: list[float]) -> int:
    """Rounds since the last improvement, as the words have it."""
    sign = 1 if rule.mode == "min" else -1
    best, since = means[0], 0
    for value in means[1:]:
        if sign * (best - value) > rule.min_delta:
            best, since = value, 0
        else:
            since += 1
    return since


@given(plateaus, st.lists(st.integers(-8, 8).map(float), min_size=1, max_size=14))
def test_a_run_ends_after_patience_rounds_without_improvement_and_not_before(
    rule: Plateau, means: list[float]
) -> None:
    ends = rule.reason(seen(list(means))) is not None
    assert ends == (improved_last(rule, means) >= rule.patience)


@given(plateaus, st.lists(st.none() | losses, max_size=14))
def test_rounds_without_a_model_neither_help_nor_hurt(
    rule: Plateau, means: list[float | None]
) -> None:
    led = tuple(r for r in seen(means).rounds if r.metrics is not None)
    with_void = rule.reason(seen(means))
    assert with_void == rule.reason(replace(seen(means), rounds=led))


@given(st.lists(losses, max_size=14), st.integers(1, 4))
def test_more_is_better_is_the_mirror_of_less_is_better(means: list[float], patience: int) -> None:
    less = Plateau(patience=patience, min_delta=0.25)
    more = replace(less, mode="max")
    ends = less.reason(seen(list(means))) is not None
    assert ends == (more.reason(seen([-value for value in means])) is not None)


def test_the_reason_is_one_sentence_with_values() -> None:
    means: list[float | None] = [0.9, 0.412, None, 0.4119, 0.5, 0.4115]
    rule = Plateau(patience=3, min_delta=0.001)
    assert rule.reason(seen(means)) == (
        "val-loss has not fallen by more than 0.001 in 3 rounds (best 0.412 in round 2)"
    )
    assert rule.reason(seen(means[:-1])) is None
    auc = Plateau(metric="auc", patience=1, mode="max")
    assert auc.reason(seen([0.5, 0.5], "auc")) == (
        "auc has not risen in 1 round (best 0.5 in round 1)"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [0.5]])
def test_a_mean_that_is_no_number_is_an_error(value: Any) -> None:
    with pytest.raises(UnusableMetric, match=r"round 2 .* are: val-loss"):
        Plateau().reason(seen([1.0, value]))


def test_an_absent_metric_is_an_error_that_names_those_that_were_there() -> None:
    rounds = (Finished(number=1, metrics={"train_loss": 1.0, "auc": 0.5}),)
    with pytest.raises(UnusableMetric, match=r"no mean of 'val-loss'.* are: auc, train_loss\."):
        Plateau().reason(replace(seen([]), rounds=rounds))
    with pytest.raises(UnusableMetric, match="are: none"):
        Plateau().reason(replace(seen([]), rounds=(Finished(number=1, metrics={}),)))


@pytest.mark.parametrize(
    "options", [{"patience": 0}, {"min_delta": -0.1}, {"min_delta": math.nan}, {"mode": "less"}]
)
def test_rules_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Plateau(**options)


# --- budget ------------------------------------------------------------------------------------


def spending(paths: list[list[int]], *, cap: int, least: int = 3, **more: Any) -> Progress:
    """A run in which member i stood at `paths[i][k]` after round k; `paths[i][0]` before it."""
    rounds = tuple(
        Finished(number=k, metrics={}, epsilon={i: path[k] for i, path in enumerate(paths)})
        for k in range(1, len(paths[0]))
    )
    view = ledger([path[-1] for path in paths], cap=cap, least=least)
    start = {i: path[0] for i, path in enumerate(paths)}
    return Progress(view=view, terms=TERMS, rounds=rounds, start=start, **more)


charges = st.builds(
    privacy.Charge,
    noise_multiplier=st.sampled_from([0.8, 1.0, 1.5]),
    sample_rate=st.sampled_from([0.01, 0.1, 0.5]),
    steps=st.integers(1, 30),
)


def micro(charge: privacy.Charge, steps: int) -> int:
    spent = privacy.History().charged(replace(charge, steps=steps), delta=1e-5).epsilon()
    assert spent is not None
    return math.ceil(spent * EPSILON_UNIT)


@given(
    st.lists(charges, min_size=4, max_size=4),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(0, 3),
    st.floats(0, 1),
    st.integers(3, 4),
)
def test_no_round_begins_that_too_few_could_pay_for(
    sites: list[privacy.Charge], trained: int, longer: int, near: int, share: float, least: int
) -> None:
    """By the real accountant: whoever the rule lets go on finds enough members below the cap."""
    paths = [[0, *(micro(site, site.steps * k) for k in range(1, trained + 1))] for site in sites]
    dues = [micro(site, site.steps * (trained + longer)) for site in sites]
    limit = paths[near][-1] + int(share * (dues[near] - paths[near][-1]))  # where it matters
    progress = spending(paths, cap=limit, least=least, length=longer)
    progress = replace(progress, rounds=tuple(replace(r, length=1) for r in progress.rounds))
    if Budget().reason(progress) is None:
        assert sum(due <= limit for due in dues) >= least


@given(st.lists(st.integers(1, 10**7), min_size=3, max_size=6), st.integers(0, 10**7))
def test_a_run_is_not_ended_while_enough_can_pay_what_they_paid_last(
    costs: list[int], spare: int
) -> None:
    cap = 2 * max(costs) + spare
    assert Budget().reason(spending([[0, cost] for cost in costs], cap=cap)) is None


def test_the_last_affordable_round_is_held_and_the_reason_says_who_is_over() -> None:
    paths = [[0, 3_000_000, 4_000_000]] * 2 + [[0, 2_000_000, 2_500_000]] * 2
    assert Budget().reason(spending(paths, cap=5_000_000)) is None
    reason = Budget().reason(spending(paths, cap=4_999_999))
    assert reason is not None
    assert "leave 2 members below the epsilon cap of 5" in reason
    assert "a sum needs 3" in reason
    assert "member 0 to 5, member 1 to 5" in reason
    assert Budget().reason(spending(paths, cap=4_999_999, least=2)) is None


def test_a_longer_round_costs_in_proportion_and_a_shorter_one_no_less() -> None:
    run = spending([[0, 2_000_000, 3_000_000]] * 3, cap=5_000_000)
    rounds = tuple(replace(finished, length=2) for finished in run.rounds)
    due = {length: Budget().reason(replace(run, rounds=rounds, length=length))
           for length in (1, 2, 4, 5)}  # fmt: skip
    assert [due[length] is None for length in (1, 2, 4, 5)] == [True, True, True, False]
    assert due[5] is not None
    assert "member 0 to 5.5" in due[5]
    at_cap = replace(run, view=ledger([3_000_000] * 3, cap=3_900_000), rounds=rounds, length=1)
    assert Budget().reason(at_cap) is not None


def test_without_a_cap_or_without_knowledge_no_budget_ends_a_run() -> None:
    assert Budget().reason(spending([[0, 10**15]] * 4, cap=NO_CAP)) is None
    fresh = Progress(view=ledger([5_000_000] * 4, cap=6_000_000), terms=TERMS)
    assert Budget().reason(fresh) is None


def test_a_suspended_member_pays_for_nobody() -> None:
    progress = spending([[0, 1]] * 3, cap=10**6)
    assert Budget().reason(progress) is None
    first, *others = progress.view.members
    view = replace(progress.view, members=(replace(first, suspended=True), *others))
    assert Budget().reason(replace(progress, view=view)) is not None


def test_a_member_without_a_round_is_taken_to_pay_what_the_dearest_did() -> None:
    paths = [[0, 2_000_000]] * 2 + [[2_500_000, 2_500_000]]
    assert Budget().reason(spending(paths, cap=4_400_000)) is not None
    assert Budget().reason(spending(paths, cap=4_500_000)) is None


def test_who_had_the_seat_before_is_not_the_member() -> None:
    """Seat 2 is another site's since round 2, and that site brought what it had spent before."""
    progress = spending([[0, 10, 20]] * 2 + [[0, 10, 900]], cap=1_000)
    *others, last = progress.view.members
    view = replace(progress.view, members=(*others, replace(last, since=2)))
    assert Budget().reason(progress) is not None  # 900 + 890
    assert Budget().reason(replace(progress, view=view)) is None  # 900 + what the others pay


def sealed(number: int, epsilons: list[int]) -> Round:
    seals = tuple(
        Seal(member=i, parent=b"p" * 32, payload_hash=b"h" * 32, shares_hash=b"s" * 32,
             epsilon=spent, verified=True)
        for i, spent in enumerate(epsilons)
    )  # fmt: skip
    return Round(number=number, phase=Phase.CERTIFIED, seals=seals)


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**6)), min_size=4, max_size=4),
    st.integers(0, 3 * 10**6),
)
def test_a_relay_that_takes_up_a_study_decides_on_the_ledger_alone_as_the_first(
    members: list[tuple[int, int]], cap: int
) -> None:
    before, after = [was for was, _ in members], [was + cost for was, cost in members]
    view = ledger(after, cap=cap, current=sealed(8, after), final=sealed(7, before))
    first = replace(spending([[was, was + cost] for was, cost in members], cap=cap), view=view)
    second = Progress(view=view, terms=TERMS)
    assert Budget().reason(second) == Budget().reason(first)
