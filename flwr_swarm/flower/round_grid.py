"""The grid as Flower's own loop gets it: it waits for the round, not for whoever is missing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from flwr.app import Message
from flwr.serverapp import Grid

from .errands import Errands
from .trips import Clock

log = logging.getLogger("flwr.swarm")

_LOOK_SECONDS = 1.0
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.2

Patience = Callable[[set[int]], float | None]
"""Nodes that did not answer yet -> seconds that they still get, None for the whole limit."""


class RoundGrid:
    """Flower's grid, whose `send_and_receive` ends with the ledger's round.

    Stock `send_and_receive` waits for every reply until its limit, so that one silent site makes
    each round as long as the limit.

    Parameters
    ----------
    grid : Grid
    clock : Clock
    patience : callable
        See `Patience`; asked once a second.
    """

    def __init__(self, grid: Grid, *, clock: Clock, patience: Patience) -> None:
        self._grid = grid
        self._clock = clock
        self._patience = patience

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Send, and return the replies that came when nothing more is to be waited for."""
        errands = Errands(grid=self._grid, what="train")
        errands.push(messages)
        end = None if timeout is None else self._clock.now() + timeout
        replies: list[Message] = []
        look, pause = self._clock.now() + _LOOK_SECONDS, _FIRST_PAUSE
        while errands.silent and (end is None or self._clock.now() < end):
            replies += [message for _, message in errands.pull()]
            if not errands.silent:
                break
            if self._clock.now() >= look:
                look = self._clock.now() + _LOOK_SECONDS
                left = self._patience(errands.silent)
                if left != 0:
                    errands.send_again()
                if left is not None:
                    end = min(end or float("inf"), self._clock.now() + left)
            self._clock.sleep(pause)
            pause = min(_LONGEST_PAUSE, 1.5 * pause)
        return replies + [message for _, message in errands.leftover()]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)
