"""A reply that is announced and never comes holds up nobody else's, over Flower's own HTTP grid."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from flwr.app import ConfigRecord, Message, Metadata, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import ConfirmMessageReceivedResponse, PullObjectResponse
from flwr.proto.runtime_pb2 import PullAppMessagesResponse
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.run import Run
from flwr.superlink.grid.http_grid import HttpGrid
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm.flower.compat import is_lost
from flwr_swarm.flower.pulling import Pulls

LIMIT = 20.0


class SuperLink:
    """Announces replies; serves their objects, those of `stalled` ones not yet, if ever."""

    def __init__(self, stalled: set[str], garbled: set[str]) -> None:
        self.stalled, self.garbled = stalled, garbled
        self.to_come: dict[str, Message] = {}
        self.objects: dict[str, tuple[str, bytes]] = {}
        self.asked = 0

    def announce(self, answers: str) -> None:
        metadata = Metadata(1, "", 7, 1, answers, "", 1.0, 3600.0, "train")
        content = RecordDict({"c": ConfigRecord({"answers": answers})})
        message: Message = Message(content=content, metadata=metadata)  # type: ignore[call-overload]
        message.metadata.__dict__["_message_id"] = message.object_id
        self.to_come[answers] = message
        for number, found in get_all_nested_objects(message).items():
            self.objects[number] = (answers, found.deflate())

    def PullMessages(self, request: Any) -> PullAppMessagesResponse:  # noqa: N802 - Flower's
        found = [self.to_come.pop(i) for i in list(request.message_ids) if i in self.to_come]
        return PullAppMessagesResponse(
            messages_list=[message_to_proto(remove_content_from_message(m)) for m in found],
            message_object_trees=[get_object_tree(message) for message in found],
        )

    def PullObject(self, request: Any) -> PullObjectResponse:  # noqa: N802
        self.asked += 1
        answers, data = self.objects[request.object_id]
        if answers in self.garbled:
            data = b"garbled"
        return PullObjectResponse(
            object_found=True, object_available=answers not in self.stalled, object_content=data
        )

    def ConfirmMessageReceived(  # noqa: N802
        self, request: Any
    ) -> ConfirmMessageReceivedResponse:
        return ConfirmMessageReceivedResponse()


def grid_of(link: SuperLink) -> HttpGrid:
    grid = HttpGrid(token="token")
    grid._client = link  # type: ignore[assignment]
    grid._run = Run.create_empty(1)
    return grid


class Wrapper:
    """A grid that does something else than pulling by itself, as users write one."""

    def __init__(self, grid: HttpGrid) -> None:
        self._grid = grid

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)


def collected(
    pulls: Pulls, asked: set[str], enough: Callable[[list[Message]], bool]
) -> list[Message]:
    got: list[Message] = []
    tick = threading.Event()
    for _ in range(int(LIMIT / 0.02)):
        got += pulls.pull(asked - {m.metadata.reply_to_message_id for m in got})
        if enough(got):
            break
        tick.wait(0.02)
    return got


@pytest.fixture
def ended() -> Iterator[list[Pulls]]:
    begun: list[Pulls] = []
    yield begun
    for pulls in begun:
        pulls.give_up()


@pytest.mark.parametrize("wrapped", [False, True])
@given(
    st.lists(st.sampled_from("abcdef"), unique=True, min_size=1), st.sets(st.sampled_from("abcdef"))
)
@settings(max_examples=15, deadline=None)
def test_whoever_stalls_holds_up_nobody(wrapped: bool, order: list[str], stalled: set[str]) -> None:
    link = SuperLink(stalled, set())
    for answers in order:
        link.announce(answers)
    grid = grid_of(link)
    pulls = Pulls(grid=cast(Grid, Wrapper(grid)) if wrapped else grid)
    due = set(order) - stalled
    got = collected(pulls, set(order), lambda found: len(found) >= len(due))
    pulls.give_up()
    assert [m.content.config_records["c"]["answers"] for m in got] == [
        m.metadata.reply_to_message_id for m in got
    ]
    assert {m.metadata.reply_to_message_id for m in got} == due


def test_a_reply_that_comes_late_is_had_after_all(ended: list[Pulls]) -> None:
    link = SuperLink({"late"}, set())
    link.announce("late")
    pulls = Pulls(grid=grid_of(link))
    ended.append(pulls)
    assert pulls.pull({"late"}) == []
    link.stalled.clear()
    (message,) = collected(pulls, {"late"}, bool)
    assert message.content.config_records["c"]["answers"] == "late"


def test_a_reply_of_garbage_counts_as_lost(ended: list[Pulls]) -> None:
    """Its sender chose its bytes; the run goes on."""
    link = SuperLink(set(), {"bad"})
    for answers in ("bad", "good"):
        link.announce(answers)
    pulls = Pulls(grid=grid_of(link))
    ended.append(pulls)
    got = collected(pulls, {"bad", "good"}, lambda found: len(found) == 2)
    lost = {m.metadata.reply_to_message_id: is_lost(m) for m in got}
    assert lost == {"bad": True, "good": False}


def test_nothing_is_fetched_any_more_once_given_up() -> None:
    before = threading.active_count()
    link = SuperLink({"never"}, set())
    link.announce("never")
    pulls = Pulls(grid=grid_of(link))
    assert pulls.pull({"never"}) == []
    pulls.give_up()
    tick = threading.Event()
    for _ in range(int(LIMIT / 0.05)):
        if threading.active_count() <= before:
            break
        tick.wait(0.05)
    assert threading.active_count() <= before
