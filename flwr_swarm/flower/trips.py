"""One message trip: to some members and back, with a limit, over whatever grid Flower runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid

from .._exceptions import ConfigurationError, WireError
from .read import Fields
from .write import Records

log = logging.getLogger("flwr.swarm")
T = TypeVar("T")

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.5
_GRACE_SECONDS = 5.0
"""Once enough replies are in, stragglers get this long; then the round goes on without them."""


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Wall time and waiting, replaceable in tests."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, kw_only=True)
class Trips:
    """The relay's way to the members.

    Parameters
    ----------
    grid : Grid
        Flower's own.
    nodes : mapping of int to int
        Member index to Flower node id, bound by signed enrolment.
    clock : Clock
    """

    grid: Grid = field(repr=False)
    nodes: Mapping[int, int]
    clock: Clock = field(default_factory=Clock)

    def send(
        self,
        what: str,
        requests: Mapping[int, Records],
        read: Callable[[Fields], T],
        *,
        seconds: float,
        enough: Callable[[Sequence[T]], bool] = lambda replies: False,
    ) -> list[T]:
        """Send one request to each member and read what comes back.

        Parameters
        ----------
        what : str
            Name of the trip, for the log.
        requests : mapping of int to Records
            By member.
        read : callable
            Parses a reply; one that raises `WireError`, or names another member than the one that
            sent it, is dropped with a warning.
        seconds : float
            Limit of the whole trip.
        enough : callable
            Whether the replies so far suffice; then stragglers get a short grace only.
        """
        node_of = {self.nodes[member]: member for member in requests if member in self.nodes}
        messages = [
            Message(RecordDict(cast(dict[str, Any], requests[member])), node, MessageType.TRAIN)
            for node, member in node_of.items()
        ]
        # A message that could not be pushed has no id; its member counts as silent.
        waiting = {pushed for pushed in self.grid.push_messages(messages) if pushed}
        asked = {message.metadata.message_id: message.metadata.dst_node_id for message in messages}
        end = self.clock.now() + seconds
        replies: list[T] = []
        judged, satisfied = 0, False
        pause = _FIRST_PAUSE
        while waiting and self.clock.now() < end:
            for message in self.grid.pull_messages(waiting):
                waiting.discard(message.metadata.reply_to_message_id)
                # A dead node's error reply carries the SuperLink's own id as its source.
                node = asked.get(message.metadata.reply_to_message_id, 0)
                member = node_of.get(node, -1)
                replies += self._read(what, message, member, read)
            if waiting:
                if not satisfied and len(replies) > judged:
                    judged, satisfied = len(replies), enough(replies)
                    if satisfied:
                        end = min(end, self.clock.now() + _GRACE_SECONDS)
                self.clock.sleep(pause)
                pause = min(_LONGEST_PAUSE, 1.5 * pause)
        if waiting:
            late = sorted(node_of.get(asked.get(reply_id, 0), -1) for reply_id in waiting)
            log.warning("%s: no reply from members %s within %.0f s", what, late, seconds)
        return replies

    def _read(
        self, what: str, message: Message, member: int, read: Callable[[Fields], T]
    ) -> list[T]:
        if message.has_error():
            log.warning("%s: member %d answered: %s", what, member, reason(message))
            return []
        try:
            reply = read(Fields(message.content))
            claimed = getattr(reply, "member", member)
            if claimed != member:  # or one member could speak over another
                raise WireError(f"it speaks for member {claimed}")
        except WireError as error:
            log.warning("%s: reply of member %d was dropped: %s", what, member, error)
            return []
        return [reply]


def reason(message: Message) -> str:
    """The text of an error reply, on one line."""
    return " ".join(str(message.error.reason).split())


class MemberGrid:
    """The grid as the wrapped strategy sees it: only nodes that are members, and not for ever.

    Stock strategies wait without limit for enough nodes; here the wait ends with an error.
    """

    def __init__(
        self, grid: Grid, nodes: Iterable[int], *, needed: int, seconds: float, clock: Clock
    ) -> None:
        self._grid = grid
        self._nodes = frozenset(nodes)
        self._needed = needed
        self._seconds = seconds
        self._clock = clock
        self._end: float | None = None

    def get_node_ids(self) -> list[int]:
        """Connected members' nodes.

        Raises
        ------
        ConfigurationError
            If fewer than needed were connected for longer than the limit.
        """
        found = sorted(self._nodes & set(self._grid.get_node_ids()))
        if len(found) >= self._needed:
            self._end = None
            return found
        if self._end is None:
            self._end = self._clock.now() + self._seconds
        elif self._clock.now() > self._end:
            raise ConfigurationError(
                f"{len(found)} of {len(self._nodes)} members are connected and the strategy needs "
                f"{self._needed} for {self._seconds:.0f} s now; start the missing sites, or lower "
                "min_available_nodes"
            )
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)
