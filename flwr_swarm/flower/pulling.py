"""Replies as they arrive, none of them held up by another.

A SuperLink announces a reply before its content is there. Flower's grid then waits for that
content, for three minutes if need be, with all other replies behind it: one site that is cut off
while it answers, or means to, would stop a swarm in every trip. Here each reply is fetched by
itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Set
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from flwr.app import Message
from flwr.serverapp import Grid

from .compat import Announced, announced, unreadable

log = logging.getLogger("flwr.swarm")

_SOON = 0.05
"""What was just announced is mostly there at once; in seconds."""


@dataclass(frozen=True, kw_only=True)
class Pulls:
    """Replies on their way from a grid. Its threads end soon after `give_up`.

    Parameters
    ----------
    grid : Grid
        Flower's own. What is not fetched over HTTP is there when it is announced.
    """

    grid: Grid = field(repr=False)
    _fetching: set[str] = field(default_factory=set, repr=False)
    _came: SimpleQueue[Message] = field(default_factory=SimpleQueue, repr=False)
    _over: threading.Event = field(default_factory=threading.Event, repr=False)

    def pull(self, asked: Set[str]) -> list[Message]:
        """Replies to messages with these ids that are here whole; each comes once."""
        found = announced(self.grid, asked - self._fetching, given_up=self._over.is_set)
        if found is None:
            return list(self.grid.pull_messages(asked))
        for reply in found:
            self._fetching.add(reply.answers)
            threading.Thread(target=self._fetch, args=(reply,), daemon=True).start()
        here: list[Message] = []
        while True:
            try:
                here.append(self._came.get(timeout=_SOON if found and not here else 0.0))
            except Empty:
                return here

    def give_up(self) -> None:
        """Fetch no more of what is still on its way."""
        self._over.set()

    def _fetch(self, reply: Announced) -> None:
        try:
            messages = reply.fetch()
        except Exception as error:  # whoever sent it chose its bytes
            log.warning("a reply could not be fetched: %s", type(error).__name__)
            messages = [unreadable(reply.answers)]
        for message in messages:
            self._came.put(message)
