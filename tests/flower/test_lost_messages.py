"""Sites that die over a message and come back within the round: it is sent again, and repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import apps
import pytest
from flwr.app import ConfigRecord, Error, Message
from flwr.common.constant import ErrorCode
from founded_support import Founded

from flwr_swarm.flower.read import Fields
from flwr_swarm.protocol.types import Phase


def train(swarm: Founded, rounds: int) -> None:
    swarm.bench.swarm.start(
        swarm.bench.grid, apps.initial_model(), rounds, train_config=ConfigRecord()
    )


def gone(message: Message, code: int) -> Message:
    """What a SuperLink answers for a node that died."""
    error = Error(code=code, reason="the node is gone")
    return cast(Message, cast(Any, Message)(error=error, metadata=message.metadata))


@pytest.mark.parametrize("before", [True, False], ids=["before it acted", "after it acted"])
@pytest.mark.parametrize("phase", ["seal", "merge", "open"])
def test_a_site_that_dies_over_a_message_and_is_back_takes_part(
    founded: Callable[..., Founded], phase: str, before: bool
) -> None:
    swarm = founded(4)
    # Two of four keep a quorum from coming about, so somebody must be asked again.
    deaths = 1 if phase == "seal" else 2
    died: list[int] = []
    dying: set[int] = set()

    def kill(member: int, message: Message) -> Message | None:
        leader = swarm.ledger(0).view().current.leader
        if len(died) < deaths and member not in {leader, *died}:
            died.append(member)
            if before:
                lost = gone(reply_to(message), ErrorCode.NODE_UNAVAILABLE)
                swarm.bench.grid._replies[message.metadata.message_id] = lost
                return None
            dying.add(member)
        return message

    def answer(member: int, message: Message) -> Message:
        if member in dying:
            dying.remove(member)
            return gone(message, ErrorCode.CLIENT_APP_CRASHED)
        return message

    swarm.bench.to_member[phase] = kill
    swarm.bench.to_relay[phase] = answer
    train(swarm, 1)
    view = swarm.ledger(0).view()
    assert view.current.phase is Phase.CERTIFIED
    assert view.current.view == 0, "no leader lost its turn"
    assert view.current.certificate.included == (0, 1, 2, 3)
    for member in died:
        assert len(swarm.bench.messages(phase, member)) + before == 2, "asked again, once"
    assert [member.reveals for member in view.members] == [1, 1, 1, 1], "and sealed once"


def reply_to(message: Message) -> Message:
    return Message(Error(code=0, reason=""), reply_to=message)


def test_a_site_that_stays_dead_is_named_though_the_superlink_answers_for_it(
    founded: Callable[..., Founded], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "flwr.swarm")
    swarm = founded(4)

    def die(member: int, message: Message) -> Message:
        if member != 2:
            return message
        message.metadata.__dict__["_src_node_id"] = 1  # the SuperLink's own
        return gone(message, ErrorCode.NODE_UNAVAILABLE)

    swarm.bench.to_relay["seal"] = die
    train(swarm, 1)
    assert "site 2 sealed nothing: the node is gone" in caplog.text


def test_a_site_that_raises_is_not_asked_again(founded: Callable[..., Founded]) -> None:
    """Its own error is an answer; only a death is none."""
    swarm = founded(4)

    def fail(member: int, message: Message) -> Message:
        return gone(message, ErrorCode.CLIENT_APP_RAISED_EXCEPTION) if member == 1 else message

    swarm.bench.to_relay["seal"] = fail
    train(swarm, 1)
    assert len(swarm.bench.messages("seal", 1)) == 1


def test_a_site_that_dies_over_every_message_costs_three_and_no_more(
    founded: Callable[..., Founded],
) -> None:
    swarm = founded(4)

    def die(member: int, message: Message) -> Message:
        return gone(message, ErrorCode.NODE_UNAVAILABLE) if member == 1 else message

    swarm.bench.to_relay["merge"] = die
    train(swarm, 1)
    asked = [Fields(message.content).number("view") for message in swarm.bench.messages("merge", 1)]
    assert max(Counter(asked).values()) <= 3
    assert swarm.ledger(0).view().current.phase is Phase.CERTIFIED


@pytest.mark.parametrize("lost", [{0, 1}, {0, 1, 2, 3}], ids=["two", "all"])
def test_updates_that_were_sealed_and_never_arrived_are_asked_for_again(
    founded: Callable[..., Founded], caplog: pytest.LogCaptureFixture, lost: set[int]
) -> None:
    """Members sealed in time; the relay's own time was over before it heard of it."""
    caplog.set_level("WARNING", "flwr.swarm")
    swarm = founded(4)
    swarm.bench.to_relay["seal"] = lambda member, message: None if member in lost else message
    train(swarm, 1)
    current = swarm.ledger(0).view().current
    assert current.certificate.included == (0, 1, 2, 3)
    assert current.view == 0, "no leader lost its turn"
    assert {member for phase, member, _ in swarm.bench.sent if phase == "recall"} == lost
    assert f"the sealed updates of members {sorted(lost)} did not arrive" in caplog.text


def test_a_sum_that_can_do_without_a_lost_update_is_not_kept_waiting_for_it(
    founded: Callable[..., Founded],
) -> None:
    swarm = founded(4)
    swarm.bench.to_relay["seal"] = lambda member, message: None if member == 0 else message
    train(swarm, 1)
    assert swarm.ledger(0).view().current.certificate.included == (1, 2, 3)
    assert swarm.bench.messages("recall") == []
