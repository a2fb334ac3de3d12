"""The Flower app that `benchmarks.overhead` measures: one vector, a step of noise, no learning.

The same functions run under stock Flower and as a swarm. The ServerApp's grid is wrapped, so that
every message is counted by trip and by direction, and its time taken.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from flwr_swarm.flower.records import FIELDS

REPORT_VARIABLE = "FLWR_SWARM_OVERHEAD"


def client(*mods: Any) -> ClientApp:
    """The ClientApp, with the mods that make it a member or none."""
    app = ClientApp(mods=list(mods))

    @app.train()
    def train(message: Message, context: Context) -> Message:
        values = message.content.array_records["arrays"]["w"].numpy()
        site = int(context.node_config.get("partition-id", 0))
        step = np.random.default_rng(site).normal(size=values.size).astype(values.dtype)
        content = {
            "arrays": ArrayRecord({"w": Array(values + 1e-3 * step.reshape(values.shape))}),
            "metrics": MetricRecord({"num-examples": 100 + site}),
        }
        return Message(RecordDict(content), reply_to=message)

    return app


class CountingGrid:
    """A grid that adds up bytes by (trip, direction), and seconds by trip."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._trip_of: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self.bytes: dict[str, int] = {}
        self.seconds: dict[str, float] = {}

    def push_messages(self, messages: Iterable[Message]) -> list[Any]:
        sent = list(messages)
        now = time.perf_counter()
        pushed = list(self._grid.push_messages(sent))
        for message, pushed_id in zip(sent, pushed, strict=True):
            trip = _trip(message)
            self._trip_of[pushed_id] = trip
            self._since.setdefault(trip, now)
            self._count(f"{trip} down", message)
        return pushed

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        found = list(self._grid.pull_messages(message_ids))
        now = time.perf_counter()
        for message in found:
            trip = self._trip_of.get(message.metadata.reply_to_message_id, "other")
            self._count(f"{trip} up", message)
            self.seconds[trip] = self.seconds.get(trip, 0.0) + now - self._since.get(trip, now)
            self._since[trip] = now
        return found

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        waiting = set(self.push_messages(messages))
        replies: list[Message] = []
        end = time.time() + (timeout or 3600)
        while waiting and time.time() < end:
            found = self.pull_messages(waiting)
            waiting -= {message.metadata.reply_to_message_id for message in found}
            replies += found
            time.sleep(0.05)
        return replies

    def new_round(self) -> None:
        """Forget when trips began: a trip's time counts from its first message in a round."""
        self._since.clear()

    def _count(self, link: str, message: Message) -> None:
        if message.has_content():
            self.bytes[link] = self.bytes.get(link, 0) + size(message.content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)


def _trip(message: Message) -> str:
    fields = message.content.config_records.get(FIELDS)
    return "train" if fields is None else str(fields["phase"])


def size(content: RecordDict) -> int:
    """Bytes of arrays and fields in a message; Flower's own framing adds under one per cent."""
    total = 0
    for record in content.values():
        for value in record.values():
            total += len(value.data) if isinstance(value, Array) else _field_size(value)
    return total


def _field_size(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_field_size, value))
    return len(value) if isinstance(value, bytes | str) else 8


def server(wrap: Any) -> ServerApp:
    """The ServerApp; `wrap` makes the strategy a swarm's, or leaves it as it is."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        sites, size_ = int(context.run_config["sites"]), int(context.run_config["size"])
        rounds = int(context.run_config["rounds"])
        counting = CountingGrid(grid)
        moments: list[float] = []

        def mark(number: int, arrays: ArrayRecord) -> None:
            moments.append(time.perf_counter())
            counting.new_round()
            if number <= 1:  # the first round also waits for nodes and founds the swarm
                counting.bytes.clear()
                counting.seconds.clear()

        strategy = wrap(FedAvg(min_available_nodes=sites, fraction_evaluate=0.0), sites)
        strategy.start(
            counting,
            ArrayRecord({"w": Array(np.zeros(size_, dtype=np.float32))}),
            num_rounds=rounds,
            evaluate_fn=mark,
        )
        measured = rounds - 1
        Path(os.environ[REPORT_VARIABLE]).write_text(
            json.dumps(
                {
                    "rounds": [b - a for a, b in itertools.pairwise(moments)],
                    "trip_seconds": {k: v / measured for k, v in counting.seconds.items()},
                    "bytes": {k: v / measured for k, v in counting.bytes.items()},
                }
            )
        )

    return app
