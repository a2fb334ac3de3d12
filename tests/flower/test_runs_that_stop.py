"""Whole runs with stop rules: they end early with what they reached, and lose no round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import apps
import pytest
from flwr.app import Message
from founded_support import Founded
from swarm_bench import Bench, inner, same
from test_course import losing_app
from test_stopped_study import stop

from flwr_swarm import SwarmStrategy
from flwr_swarm.report.verify import verify
from flwr_swarm.stopping import AdaptiveInterval, Plateau


def test_a_run_ends_on_a_plateau_with_what_it_reached(bench: Callable[..., Bench]) -> None:
    losses, asked = [9.0, 8.0, 7.0, 7.0, 7.0, 6.0], list[int]()
    run = bench(
        app=losing_app(losses, asked),
        stop=[Plateau(patience=2, min_delta=0.01)],
        interval=AdaptiveInterval(start=2, longest=8, min_delta=0.01),
    )
    result = run.swarm.start(run.grid, run.model, num_rounds=6)
    assert asked[::4] == [2, 2, 4, 8, 4]
    assert sorted(result.train_metrics_clientapp) == [1, 2, 3, 4, 5]
    assert result.arrays is not None
    assert verify(run.directory).certified == 5


def test_a_vote_ends_a_run_and_a_later_relay_has_its_model(
    founded: Callable[..., Founded], caplog: pytest.LogCaptureFixture
) -> None:
    swarm, voted = founded(4), list[int]()

    def vote_meanwhile(member: int, message: Message) -> Message:
        if not voted and swarm.ledger(0).view().current.number == 2:
            voted.append(member)
            stop(swarm, 0, 1, 2)
        return message

    swarm.bench.to_member["merge"] = vote_meanwhile
    result = swarm.bench.swarm.start(swarm.bench.grid, apps.initial_model(), num_rounds=5)
    assert sorted(result.train_metrics_clientapp) == [1, 2]
    assert "the run ends here: the members voted to stop this study" in caplog.text
    assert verify(swarm.bench.directory).models == 2
    swarm.time.reach(swarm.ledger(0).view().now)
    later = SwarmStrategy(
        inner(3),
        max_weight=100.0,
        consortium=replace(swarm.consortium),
        members=3,
        clock=swarm.time.clock(),
        evidence=swarm.bench.directory / "again",
    )
    again = later.start(swarm.bench.grid, apps.initial_model(), num_rounds=5)
    assert same(again.arrays, result.arrays)
    assert swarm.ledger(0).view().current.number == 2
