"""A swarm on a bench: real members, real chain, still time, and a network that tests can bend."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import apps
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.serverapp.strategy import FedAvg, Strategy

from flwr_swarm import SwarmStrategy, swarm_mod
from flwr_swarm.flower.clock import Clock
from flwr_swarm.flower.read import Fields
from flwr_swarm.flower.records import BLOBS, FIELDS, STYPE
from flwr_swarm.protocol.types import LedgerView
from flwr_swarm.testing import InProcessGrid

FIRST_NODE = 1000
Bend = Callable[[int, Message], Message | None]
"""Takes a member and a message to or from it; returns what arrives, None if nothing does."""


class StillClock:
    """Time stands still but for sleeping, for relay and chain alike: no test waits for real."""

    def __init__(self) -> None:
        self._now = time.time()

    def clock(self) -> Clock:
        return Clock(now=lambda: self._now, sleep=self._sleep)

    def reach(self, moment: float) -> None:
        """A block a transaction runs ahead of a clock that stands still."""
        self._now = max(self._now, moment)

    def _sleep(self, seconds: float) -> None:
        self._now += 4 * seconds  # whoever sleeps may wake late; fewer looks at the chain


def inner(nodes: int, kind: type[FedAvg] = FedAvg, **options: Any) -> Strategy:
    usual = {"min_available_nodes": nodes, "min_train_nodes": nodes, "fraction_evaluate": 0.0}
    return kind(**(usual | options))


def values(record: ArrayRecord) -> dict[str, np.ndarray]:
    return {name: array.numpy() for name, array in record.items()}


def same(left: ArrayRecord, right: ArrayRecord) -> bool:
    """Equal names, dtypes, shapes and bits."""
    a, b = values(left), values(right)
    return a.keys() == b.keys() and all(
        a[n].dtype == b[n].dtype and a[n].shape == b[n].shape and a[n].tobytes() == b[n].tobytes()
        for n in a
    )


def shifted(model: ArrayRecord) -> ArrayRecord:
    """A crafted model: one value of one array is another."""
    arrays = values(model)
    crafted = np.array(arrays["weight"])
    crafted[0, 0] += 0.25
    return ArrayRecord({n: Array(crafted if n == "weight" else a) for n, a in arrays.items()})


def flipped(data: bytes, position: int = -40) -> bytes:
    """`data` with one bit turned."""
    changed = bytearray(data)
    changed[position] ^= 1
    return bytes(changed)


def blob_of(content: RecordDict, name: str) -> bytes:
    return bytes(content.array_records[BLOBS][name].data)


def set_blob(content: RecordDict, name: str, data: bytes) -> None:
    content.array_records[BLOBS][name] = Array(
        dtype="uint8", shape=(len(data),), stype=STYPE, data=data
    )


def set_field(content: RecordDict, name: str, value: Any) -> None:
    content.config_records[FIELDS][name] = value


def twin(content: RecordDict) -> RecordDict:
    """A copy that shares nothing."""
    return recorddict_from_proto(recorddict_to_proto(content))


def phase_of(message: Message) -> str:
    """Phase of a swarm message, empty for any other."""
    if not message.has_content() or FIELDS not in message.content.config_records:
        return ""
    return Fields(message.content).phase


def reply_bytes(message: Message) -> bytes:
    """Everything that a message tells its receiver."""
    if message.has_error():
        return str(message.error.reason).encode()
    return bytes(recorddict_to_proto(message.content).SerializeToString())


class Bench:
    """Drive a swarm round by round, as `SwarmStrategy.start` does, and look at every message.

    Member i is node 1000 + i. `to_member` and `to_relay` bend messages by phase; `sent` and
    `answered` keep (phase, member, message) of what arrived.
    """

    def __init__(
        self,
        directory: Path,
        *,
        app: ClientApp | Mapping[int, ClientApp] | None = None,
        nodes: int = 4,
        strategy: Strategy | None = None,
        model: ArrayRecord | None = None,
        grid: Mapping[str, Any] | None = None,
        time: StillClock | None = None,
        **options: Any,
    ) -> None:
        self.time = time or StillClock()
        self.directory = directory
        self.to_member: dict[str, Bend] = {}
        self.to_relay: dict[str, Bend] = {}
        self.sent: list[tuple[str, int, Message]] = []
        self.answered: list[tuple[str, int, Message]] = []
        self.errors: dict[tuple[str, int], str] = {}
        self._asked = ""
        nodes = len(app) if isinstance(app, Mapping) else nodes
        self.grid = InProcessGrid(
            apps.make_app(swarm_mod) if app is None else app,
            nodes=nodes,
            to_node=self._on_its_way,
            to_relay=self._on_its_way_back,
            **(grid or {}),
        )
        options = {
            "max_weight": 100.0,
            "seal_seconds": 8,
            "merge_seconds": 8,
            "evidence": directory,
        } | options
        self.swarm = SwarmStrategy(strategy or inner(nodes), clock=self.time.clock(), **options)
        self.model = apps.initial_model() if model is None else model
        self.number = 0
        self.skew = 0.0
        self.honest: list[tuple[str, int, Message]] = []

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.swarm.close()

    def plan(self, model: ArrayRecord | None = None) -> dict[int, RecordDict]:
        """What the strategy would send to each member now; nothing is sent."""
        offered = self.model if model is None else model
        messages = self.swarm.configure_train(self.number + 1, offered, ConfigRecord(), self.grid)
        return {m.metadata.dst_node_id - FIRST_NODE: twin(m.content) for m in messages}

    def round(self, model: ArrayRecord | None = None) -> ArrayRecord | None:
        """Train one round; the new model, or None if the round came to none."""
        self.number += 1
        self.errors = {}
        if self.swarm._relay.swarm is not None:
            self.time.reach(self.view().now - self.skew)
        offered = self.model if model is None else model
        messages = sorted(  # stock strategies sample in random order
            self.swarm.configure_train(self.number, offered, ConfigRecord(), self.grid),
            key=lambda message: message.metadata.dst_node_id,
        )
        replies = self.grid.send_and_receive(messages)
        arrays, self.metrics = self.swarm.aggregate_train(self.number, replies)
        if arrays is not None:
            self.model = arrays
        return arrays

    def evaluate(self, model: ArrayRecord | None = None) -> None:
        self.errors = {}
        offered = self.model if model is None else model
        messages = list(
            self.swarm.configure_evaluate(self.number, offered, ConfigRecord(), self.grid)
        )
        self.swarm.aggregate_evaluate(self.number, self.grid.send_and_receive(messages))

    def ask(self, member: int, content: RecordDict, kind: str = "train") -> Message:
        """Send one message outside the strategy's course."""
        message = Message(content, FIRST_NODE + member, kind)
        (reply,) = self.grid.send_and_receive([message])
        return reply

    def refusal(self, member: int, content: RecordDict, kind: str = "train") -> str:
        """The error with which a member answers, empty if it obeys."""
        reply = self.ask(member, content, kind)
        return str(reply.error.reason) if reply.has_error() else ""

    def context(self, member: int) -> Context:
        return self.grid.contexts[FIRST_NODE + member]

    def view(self) -> LedgerView:
        assert self.swarm._relay.swarm is not None
        return self.swarm._relay.swarm.ledger.view()

    def messages(self, phase: str, member: int | None = None) -> list[Message]:
        return [m for p, who, m in self.sent if p == phase and member in (None, who)]

    def _on_its_way(self, message: Message) -> Message | None:
        member = message.metadata.dst_node_id - FIRST_NODE
        self._asked = phase_of(message)
        bend = self.to_member.get(self._asked)
        arriving = message if bend is None else bend(member, message)
        if arriving is not None:
            self.sent.append((self._asked, member, arriving))
        return arriving

    def _on_its_way_back(self, message: Message) -> Message | None:
        member = message.metadata.src_node_id - FIRST_NODE
        if message.has_error():
            self.errors[self._asked, member] = str(message.error.reason)
        bend = self.to_relay.get(self._asked)
        arriving = message if bend is None else bend(member, message)
        if arriving is not None:
            self.answered.append((self._asked, member, arriving))
        return arriving
