"""The grid as Flower's own loop gets it: it waits for the round, not for whoever is missing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from flwr.app import Message, MessageType
from flwr.serverapp import Grid

from .clock import Clock, clock_time
from .errands import Errands

log = logging.getLogger("flwr.swarm")

_LOOK_SECONDS = 1.0
_TELL_SECONDS = 30.0
_TRIES = 3

Patience = Callable[[set[int]], float | None]
"""Nodes that did not answer yet -> seconds that they still get, None for the limit as it was."""


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
        sent = list(messages)
        kinds = {message.metadata.message_type.split(".")[0] for message in sent}
        training = MessageType.TRAIN in kinds
        what = "training" if training else "evaluation"
        # An evaluation waits for nobody who died over it: its metrics are means of whoever answers.
        errands = Errands(grid=self._grid, what=what, tries=_TRIES if training else 1)
        errands.push(sent)
        start = self._clock.now()
        end = None if timeout is None else start + timeout
        replies: list[Message] = []
        look, tell = start + _LOOK_SECONDS, start + _TELL_SECONDS
        for batch in errands.batches(self._clock):
            replies += [message for _, message in batch]
            if errands.silent and self._clock.now() >= look:
                look = self._clock.now() + _LOOK_SECONDS
                left = self._patience(errands.silent)
                if left != 0:
                    errands.send_again()
                if left is not None:
                    end = self._clock.now() + left
            if end is not None and self._clock.now() >= end:
                break
            if errands.silent and self._clock.now() >= tell:
                tell = self._clock.now() + _TELL_SECONDS
                until = "they answer" if end is None else clock_time(end)
                log.info("%s: waiting for %d nodes until %s", what, len(errands.silent), until)
        return replies + [message for _, message in errands.leftover()]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)
