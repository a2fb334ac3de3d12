"""Messages on their way to nodes, and their replies; what a node lost goes out again.

A site that is killed and comes back within a round would otherwise have missed it: its SuperLink
answers for it that the message is gone. Members repeat what they did, so a message that is sent
twice has its effect once.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from flwr.app import Message
from flwr.serverapp import Grid

from .clock import Clock
from .compat import as_from, is_lost
from .pulling import Pulls

log = logging.getLogger("flwr.swarm")

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.2


@dataclass(kw_only=True)
class Errands:
    """One message to each of some nodes.

    Parameters
    ----------
    grid : Grid
        Flower's own.
    what : str
        Name of the trip, for the log.
    tries : int
        How often a message is sent at most.
    """

    grid: Grid = field(repr=False)
    what: str
    tries: int = 3
    _sent: dict[int, Message] = field(default_factory=dict, repr=False)
    _waiting: dict[str, int] = field(default_factory=dict, repr=False)
    _lost: dict[int, Message] = field(default_factory=dict, repr=False)
    _pulls: Pulls = field(init=False, repr=False)
    _tries: Counter[int] = field(default_factory=Counter, repr=False)

    def __post_init__(self) -> None:
        """Replies come over the same grid."""
        self._pulls = Pulls(grid=self.grid)

    def push(self, messages: Iterable[Message]) -> None:
        """Send; a message that could not be pushed counts as never answered."""
        out = list(messages)
        pushed = {i for i in self.grid.push_messages(out) if i}
        for message in out:
            node = message.metadata.dst_node_id
            self._sent[node] = message
            self._tries[node] += 1
            if message.metadata.message_id in pushed:
                self._waiting[message.metadata.message_id] = node

    def pull(self) -> list[tuple[int, Message]]:
        """Replies that came since, with the nodes that were asked."""
        found = []
        for message in self._pulls.pull(set(self._waiting)):
            # A dead node's error reply carries the SuperLink's own id as its source.
            node = self._waiting.pop(message.metadata.reply_to_message_id, 0)
            if node and is_lost(message) and self._tries[node] < self.tries:
                self._lost[node] = message
            else:
                found.append((node, as_from(message, node)))
        return found

    def batches(self, clock: Clock) -> Iterator[list[tuple[int, Message]]]:
        """What came, again and again with a pause between, until no node is silent.

        It is the caller who ends it when its time is up.
        """
        pause = _FIRST_PAUSE
        try:
            while self.silent:
                came = self.pull()
                yield came
                if self.silent:
                    # Replies come in a row.
                    pause = _FIRST_PAUSE if came else min(_LONGEST_PAUSE, 1.2 * pause)
                    clock.sleep(pause)
        finally:
            self._pulls.give_up()

    def send_again(self) -> None:
        """Send what was lost to the nodes that are back."""
        if not self._lost:
            return
        back = set(self.grid.get_node_ids()) & self._lost.keys()
        for node in sorted(back):
            del self._lost[node]
            old = self._sent[node]
            log.info("%s: node %d lost its message and is back; sending it again", self.what, node)
            self.push([Message(old.content, node, old.metadata.message_type)])

    @property
    def silent(self) -> set[int]:
        """Nodes from which nothing came yet."""
        return {*self._waiting.values(), *self._lost}

    def leftover(self) -> list[tuple[int, Message]]:
        """Error replies of nodes that lost their message and did not come back."""
        return [(node, as_from(self._lost[node], node)) for node in sorted(self._lost)]
