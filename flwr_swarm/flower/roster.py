"""Which member is at which Flower node, while nodes come, go, and come back under other numbers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flwr.serverapp import Grid

from .._exceptions import NotAMember, SwarmError, WireError
from ..protocol.messages import EnrolReply
from ..protocol.types import LedgerView
from .clock import Clock
from .enrolment import Enrolling, printable

log = logging.getLogger("flwr.swarm")

_AGAIN_SECONDS = 60.0
"""A node that did not enrol is asked again after this long."""


def seat_of(view: LedgerView, node: int, reply: EnrolReply) -> int:
    """The seat of whoever enrolled from `node`.

    Raises
    ------
    NotAMember
        It has none, or one with another encryption key.
    """
    member = view.member_at(reply.account)
    if member is None or member.encryption_key != reply.encryption_key:
        raise NotAMember(
            f"node {node} enrolled as {reply.account}, which has no seat in {view.contract} with "
            "that encryption key; start the site with the keys of a member, or have it admitted"
        )
    return member.index


@dataclass(frozen=True, kw_only=True)
class Roster:
    """Members by node, kept up to date by `refresh`.

    A member's word binds its node, never a node's number: each signs for the node it runs on.

    Parameters
    ----------
    enrolling : Enrolling
    view : callable
        Reads the ledger.
    nodes : dict of int to int
        Member to node. Whoever holds this mapping sees it change.
    labels : dict of int to str
        What sites call themselves.
    """

    enrolling: Enrolling = field(repr=False)
    view: Callable[[], LedgerView] = field(repr=False)
    nodes: dict[int, int]
    labels: dict[int, str]
    _ask_at: dict[int, float] = field(default_factory=dict, repr=False)

    @property
    def grid(self) -> Grid:
        """Flower's own."""
        return self.enrolling.grid

    @property
    def clock(self) -> Clock:
        """Wall time and waiting."""
        return self.enrolling.clock

    def connected(self) -> dict[int, int]:
        """Members that are there now, with their nodes."""
        here = set(self.grid.get_node_ids())
        return {member: node for member, node in self.nodes.items() if node in here}

    def refresh(self) -> Mapping[int, int]:
        """Enrol nodes that came since; returns the connected members' nodes.

        A site that was restarted, or that joined late, comes under a number that nobody knows.
        """
        here, now = set(self.grid.get_node_ids()), self.clock.now()
        strangers = here - set(self.nodes.values())
        new = [node for node in sorted(strangers) if self._ask_at.get(node, now) <= now]
        self._ask_at.update(dict.fromkeys(new, now + _AGAIN_SECONDS))
        for node, reply in self.enrolling.ask(new).items() if new else ():
            try:
                if isinstance(reply, SwarmError):
                    raise reply
                member = seat_of(self.view(), node, reply)
            except (NotAMember, WireError) as error:
                log.warning("left out: %s", error)
                continue
            before = self.nodes.get(member)
            if before in here:
                log.warning(
                    "left out: node %d enrolled as member %d, which is connected as node %s; stop "
                    "one of them",
                    node,
                    member,
                    before,
                )
                continue
            self.nodes[member], self.labels[member] = node, printable(reply.label)
            log.info(
                "member %d (%s) %s, as node %d",
                member,
                self.labels[member],
                "joined" if before is None else "is back",
                node,
            )
        return self.connected()
