"""A study that its members stop by vote, in any moment of a round, on a real chain."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import apps
import pytest
from course_support import reason, train
from flwr.app import Context, Message
from founded_support import Founded, policy_for
from swarm_bench import inner, same

from flwr_swarm import SwarmStrategy, swarm_mod
from flwr_swarm.flower.course import Course
from flwr_swarm.protocol.stopped import stopped_terms
from flwr_swarm.protocol.types import Change, Kind, Phase, Policy
from flwr_swarm.report.verify import verify


def policy_now(swarm: Founded, **changes: Any) -> Policy:
    return replace(swarm.ledger(0).view().policy, **changes)


def stop(swarm: Founded, *voters: int) -> None:
    terms = stopped_terms(swarm.ledger(0).view().policy.terms)
    swarm.decide(Change(kind=Kind.POLICY, policy=policy_now(swarm, terms=terms)), *voters)


def restart(swarm: Founded, terms: bytes, *voters: int) -> None:
    swarm.decide(Change(kind=Kind.POLICY, policy=policy_now(swarm, terms=terms)), *voters)


@pytest.mark.parametrize("phase", ["seal", "merge", "open"])
def test_a_vote_in_mid_round_loses_no_round_and_ends_the_study_for_every_member(
    founded: Callable[..., Founded], phase: str
) -> None:
    swarm = founded(4)
    bench, course = swarm.bench, Course()
    train(bench, course)
    terms = swarm.ledger(0).view().policy.terms
    assert reason(bench, course) is None

    def vote_meanwhile(member: int, message: Message) -> Message:
        if member == 2 and not voted:
            voted.append(member)
            stop(swarm, 0, 1, 3)
        return message

    voted: list[int] = []
    (bench.to_relay if phase == "seal" else bench.to_member)[phase] = vote_meanwhile
    before = bench.model
    assert train(bench, course) is not None, "the round that ran is certified and opened"
    bench.to_member.clear()
    bench.to_relay.clear()
    assert not same(before, bench.model)
    assert reason(bench, course) == (
        "the members voted to stop this study (the swarm is in epoch 2)"
    )
    after = bench.model
    assert train(bench, course) is None
    assert set(bench.errors) == {("seal", member) for member in range(4)}
    for error in bench.errors.values():
        assert error.startswith("StudyStopped: the members voted to stop this study")
    assert same(bench.model, after)
    assert swarm.ledger(0).view().current.number == 2
    bench.swarm._relay.complete_evidence(bench.model)
    assert verify(bench.directory).models == 2
    restart(swarm, terms, 1, 2, 3)
    assert reason(bench, course) is None
    assert train(bench, course) is not None


def test_two_of_four_votes_stop_nothing(founded: Callable[..., Founded]) -> None:
    swarm = founded(4)
    stop(swarm, 0, 1)
    course = Course()
    assert train(swarm.bench, course) is not None
    assert reason(swarm.bench, course) is None


def test_a_vote_while_all_train_comes_before_their_seals(founded: Callable[..., Founded]) -> None:
    """No round is open yet, so the stop is enacted at once; what was trained stays at the sites."""
    ran: list[int] = []

    def votes_meanwhile(message: Message, context: Context, call_next: Any) -> Message:
        ran.append(1)
        stop(swarm, 0, 1, 3)
        return call_next(message, context)

    app = apps.make_app(swarm_mod, votes_meanwhile)
    swarm = founded(4, app=app)
    assert train(swarm.bench, Course()) is None
    assert ran == [1], "the others refused before they trained"
    assert swarm.ledger(0).view().current.seals == ()
    assert all(error.startswith("StudyStopped") for error in swarm.bench.errors.values())


def test_who_opens_a_round_in_a_stopped_study_is_blamed_and_nobody_waits(
    founded: Callable[..., Founded],
) -> None:
    swarm = founded(4, max_misses=3)
    course = Course()
    train(swarm.bench, course)
    stop(swarm, 0, 1, 2)
    swarm.seal_on_a_made_up_model(3, number=2)
    started = swarm.time.clock().now()
    assert train(swarm.bench, course) is None
    assert swarm.time.clock().now() < started + 60, "nobody waits for the deadline"
    view = swarm.ledger(0).view()
    assert (view.current.phase, view.current.abstained) == (Phase.VOID, (0, 1, 2))
    assert [member.misses for member in view.members] == [0, 0, 0, 1]


def test_another_relay_of_a_stopped_study_still_opens_its_last_round(
    founded: Callable[..., Founded], caplog: pytest.LogCaptureFixture
) -> None:
    swarm = founded(4)
    bench = swarm.bench
    train(bench, Course())
    model = bench.model

    def stop_and_die(member: int, message: Message) -> Message | None:
        if not lost:
            stop(swarm, 0, 1, 3)
        lost.append(member)
        return None

    lost: list[int] = []
    bench.to_relay["open"] = stop_and_die  # the certificate is mined, no opening arrives
    assert train(bench, Course()) is None
    bench.to_relay.clear()
    swarm.time.reach(swarm.ledger(0).view().now)
    later = SwarmStrategy(
        inner(3),
        max_weight=100.0,
        consortium=replace(swarm.consortium),
        members=3,
        clock=swarm.time.clock(),
        evidence=bench.directory / "again",
    )
    with caplog.at_level(logging.INFO, logger="flwr.swarm"):
        result = later.start(bench.grid, apps.initial_model(), num_rounds=2)
    assert not same(result.arrays, model)
    assert verify(bench.directory / "again").models == 1
    assert swarm.ledger(0).view().policy.terms == stopped_terms(policy_for(4).terms)
