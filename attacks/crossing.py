"""A grid that keeps what crosses it: the whole traffic of a run, as the relay's machine sees it."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from flwr_swarm.flower.read import Fields
from flwr_swarm.flower.records import FIELDS


@dataclass(frozen=True, kw_only=True, eq=False)
class Crossing:
    """A message to a node, and its answer.

    Parameters
    ----------
    node : int
    phase : str
        Of a swarm message; the message type of any other.
    sent : RecordDict
    answer : RecordDict or None
        None if an error came back.
    error : str
        Its text.
    """

    node: int
    phase: str
    sent: RecordDict = field(repr=False)
    answer: RecordDict | None = field(repr=False)
    error: str = ""


class RecordingGrid(Grid):
    """Passes everything on to another grid, and keeps a copy of each message that is answered.

    Give it to a `ServerApp`, or to `Strategy.start`, in place of Flower's own.

    Parameters
    ----------
    grid : Grid
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._sent: dict[str, tuple[int, str, RecordDict]] = {}
        self.crossings: list[Crossing] = []
        """In the order in which answers came."""

    @property
    def run(self) -> Any:
        """The other grid's."""
        return self._grid.run

    def set_run(self, run: Any) -> None:
        """The other grid's."""
        self._grid.set_run(run)

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        """The other grid's."""
        return self._grid.create_message(*args, **kwargs)

    def get_node_ids(self) -> Iterable[int]:
        """The other grid's."""
        return self._grid.get_node_ids()

    def get_nodes(self) -> Iterable[Any]:
        """The other grid's."""
        found: Iterable[Any] = self._grid.get_nodes()
        return found

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Keep a copy, and push."""
        out = list(messages)
        kept = [(m.metadata.dst_node_id, _phase(m), copy.deepcopy(m.content)) for m in out]
        ids = list(self._grid.push_messages(out))
        self._sent |= zip(ids, kept, strict=True)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Pull, and keep a copy."""
        found = list(self._grid.pull_messages(message_ids))
        for reply in found:
            self._answered(reply)
        return found

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """The other grid's, with copies of what went out and came back."""
        out = list(messages)
        kept = [(m.metadata.dst_node_id, _phase(m), copy.deepcopy(m.content)) for m in out]
        found = list(self._grid.send_and_receive(out, timeout=timeout))
        self._sent |= zip((m.metadata.message_id for m in out), kept, strict=True)
        for reply in found:
            self._answered(reply)
        return found

    def _answered(self, reply: Message) -> None:
        asked = self._sent.pop(reply.metadata.reply_to_message_id, None)
        if asked is None:
            return
        node, phase, sent = asked
        answer = copy.deepcopy(reply.content) if reply.has_content() else None
        error = str(reply.error.reason) if reply.has_error() else ""
        self.crossings.append(
            Crossing(node=node, phase=phase, sent=sent, answer=answer, error=error)
        )


def _phase(message: Message) -> str:
    if message.has_content() and FIELDS in message.content.config_records:
        return Fields(message.content).phase
    return str(message.metadata.message_type)
