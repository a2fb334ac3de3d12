"""Notices that a run's ServerApp is gone, long before Flower's own 43 s."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from .._exceptions import FlowerRunError

GRACE_SECONDS: Final = 10.0
"""How long a run's log may go on after its ServerApp ended: it is on its way to us."""
_EVERY_SECONDS: Final = 2.0


class Watch:
    """Looks after a process of a run. One that was never seen is not missed.

    Parameters
    ----------
    alive : callable
        Whether it lives.
    clock : callable
        Seconds of a monotonic clock.
    """

    def __init__(
        self, alive: Callable[[], bool], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._alive = alive
        self._clock = clock
        self._seen = math.inf
        self._looked = -math.inf

    def look(self) -> None:
        """Look, if it is time.

        Raises
        ------
        FlowerRunError
            It was there, and has been gone for longer than the time of grace.
        """
        now = self._clock()
        if now - self._looked < _EVERY_SECONDS:
            return
        self._looked = now
        if self._alive():
            self._seen = now
        elif now - self._seen > GRACE_SECONDS:
            raise FlowerRunError(
                f"the ServerApp ended {now - self._seen:.0f} s ago and the run goes on without it"
            )
