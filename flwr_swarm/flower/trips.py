"""One message trip: to some members and back, with a limit, over whatever grid Flower runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid

from .._exceptions import RoundVoid, WireError
from .clock import Clock, clock_time
from .errands import Errands
from .read import Fields
from .write import Records

log = logging.getLogger("flwr.swarm")
T = TypeVar("T")

_LOOK_SECONDS = 1.0
_TELL_SECONDS = 15.0
_ABSENT_SECONDS = 30.0
"""How long a round that could go on without them waits for absent members."""
_GRACE_SECONDS = 5.0
"""Once enough replies are in, stragglers get this long; then the round goes on without them."""


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
        tries: int = 1,
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
        tries : int
            How often the request goes to a site that dies over it and comes back.
        """
        node_of = {self.nodes[member]: member for member in requests if member in self.nodes}
        messages = [
            Message(RecordDict(cast(dict[str, Any], requests[member])), node, MessageType.TRAIN)
            for node, member in node_of.items()
        ]
        errands = Errands(grid=self.grid, what=what, tries=tries)
        errands.push(messages)
        end = self.clock.now() + seconds
        replies: list[T] = []
        judged, satisfied = 0, False
        look, tell = self.clock.now() + _LOOK_SECONDS, self.clock.now() + _TELL_SECONDS
        for batch in errands.batches(self.clock):
            for node, message in batch:
                replies += self._read(what, message, node_of.get(node, -1), read)
            if not satisfied and len(replies) > judged:
                judged, satisfied = len(replies), enough(replies)
                if satisfied:
                    end = min(end, self.clock.now() + _GRACE_SECONDS)
            if not satisfied and self.clock.now() >= look:
                look = self.clock.now() + _LOOK_SECONDS
                errands.send_again()
            if self.clock.now() >= end:
                break
            if errands.silent and self.clock.now() >= tell:
                tell = self.clock.now() + _TELL_SECONDS
                silent = sorted(node_of[node] for node in errands.silent)
                log.info("%s: waiting for members %s until %s", what, silent, clock_time(end))
        if errands.silent:
            late = sorted(node_of.get(node, -1) for node in errands.silent)
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
    """The grid as the wrapped strategy sees it: members' nodes only, and no wait without end.

    Stock strategies wait without limit until as many nodes are connected as they want. Here,
    while enough members for a sum are there, the others count as present after a while: they get
    their message when they are back, or not at all, and the round goes on without them.

    Parameters
    ----------
    grid : Grid
        Flower's own.
    nodes : iterable of int
        All members' nodes.
    needed : int
        Nodes that the strategy waits for.
    quorum : int
        Members that a round needs.
    seconds : float
        Limit of the wait for a quorum.
    clock : Clock
    """

    def __init__(
        self,
        grid: Grid,
        nodes: Iterable[int],
        *,
        needed: int,
        quorum: int,
        seconds: float,
        clock: Clock,
    ) -> None:
        self._grid = grid
        self._nodes = frozenset(nodes)
        self._needed = needed
        self._quorum = quorum
        self._seconds = seconds
        self._clock = clock
        self._since: float | None = None

    def get_node_ids(self) -> list[int]:
        """Members' nodes that are connected, or count as such.

        Raises
        ------
        RoundVoid
            If too few for a round were connected for longer than the limit.
        """
        found = sorted(self._nodes & set(self._grid.get_node_ids()))
        if len(found) >= self._needed:
            self._since = None
            return found
        now = self._clock.now()
        if self._since is None:
            self._since = now
            log.info(
                "waiting for members: %d of %d connected, the strategy wants %d; until %s",
                len(found),
                len(self._nodes),
                self._needed,
                clock_time(now + min(self._seconds, _ABSENT_SECONDS)),
            )
        waited = now - self._since
        if len(found) >= self._quorum and waited > min(self._seconds, _ABSENT_SECONDS):
            log.warning(
                "going on with %d of %d members; the others get their messages when they are back",
                len(found),
                len(self._nodes),
            )
            self._since = None
            return sorted(self._nodes)
        if waited > self._seconds:
            raise RoundVoid(
                f"{len(found)} of {len(self._nodes)} members are connected and a round needs "
                f"{max(self._quorum, 1)} for {self._seconds:.0f} s now; start the missing sites. "
                "Training goes on from the last model"
            )
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)
