"""A site that seals late, but in time: the relay's own limit ends before the ledger's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import apps
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid
from founded_support import Founded
from swarm_bench import FIRST_NODE, StillClock

from flwr_swarm.flower.round_grid import RoundGrid
from flwr_swarm.protocol.types import Phase
from flwr_swarm.testing import InProcessGrid


class Slow(InProcessGrid):
    """A grid whose node answers at once, and whose answer comes at a moment."""

    def __init__(self, time: StillClock, at: float) -> None:
        super().__init__(apps.make_app(), nodes=1)
        self._time, self._at = time, at

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return super().pull_messages(message_ids if self._time.clock().now() >= self._at else [])


@pytest.mark.parametrize(
    ("left", "comes"),
    [
        (lambda now, start: start + 50 - now, True),  # somebody sealed late
        (lambda now, start: None, False),  # nobody sealed, or the chain is away
        (lambda now, start: 0.0, False),  # the round is over
    ],
)
def test_a_relay_waits_as_long_as_the_ledger_takes_seals(
    left: Callable[[float, float], float | None], comes: bool
) -> None:
    time = StillClock()
    clock, start = time.clock(), time.clock().now()
    slow = Slow(time, start + 40)
    grid = RoundGrid(cast(Grid, slow), clock=clock, patience=lambda _: left(clock.now(), start))
    message = Message(RecordDict({"a": ConfigRecord()}), FIRST_NODE, "train")
    assert bool(grid.send_and_receive([message], timeout=20)) is comes
    assert clock.now() - start < 60


def test_members_may_seal_until_the_ledgers_deadline(founded: Callable[..., Founded]) -> None:
    swarm = founded(4)
    left: list[Any] = []

    def look(_: int, message: Message) -> Message:
        view = swarm.ledger(0).view()
        driver = swarm.bench.swarm._relay.driver
        assert driver is not None
        if view.current.phase is Phase.SEALING:
            left.append((driver.seconds_for(1, {3}), view.current.seal_deadline - view.now))
            assert driver.seconds_for(2, {3}) is None
        return message

    swarm.bench.to_relay["seal"] = look
    swarm.bench.round()
    assert left
    assert all(told == pytest.approx(due) and due > 20 for told, due in left)
