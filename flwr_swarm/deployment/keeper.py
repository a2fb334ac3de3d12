"""Keeps one process running: starts it, notices its end, and starts it again after a while."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final, Protocol

from .._exceptions import SwarmError
from .backoff import Backoff

STEADY_SECONDS: Final = 60.0
"""A process that lived so long has recovered: the next failure counts as the first."""
READY_SECONDS: Final = 60.0
_REMIND_SECONDS: Final = 60.0
_LOOKING: Final = Backoff(first=1.0, factor=1.5, most=5.0)
"""Between looks for what is missing: a look costs little, and its coming should be noticed."""


class NotYet(SwarmError):
    """What a process needs is not there yet; the keeper tries again."""


class Process(Protocol):
    """What a keeper needs of a process."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def end(self) -> None: ...


class Service(Protocol):
    """How one process is started and watched."""

    @property
    def name(self) -> str: ...

    def start(self) -> Process:
        """Start it; `NotYet` says what is missing."""
        ...

    def is_ready(self) -> bool:
        """Whether it does its work yet. Asked at each tick until it is so."""
        ...

    def ended(self, code: int) -> float:
        """It ended; returns for how many seconds at least it must stay away."""
        ...


class Keeper:
    """Runs a service. Nothing happens but in `tick`, which never waits by itself.

    Parameters
    ----------
    service : Service
    say : callable
        Receives one line for each event.
    restart : bool
        Whether to start it again once it has ended.
    backoff : Backoff
        Between tries.
    clock : callable
        Seconds of a monotonic clock.
    """

    def __init__(
        self,
        service: Service,
        *,
        say: Callable[[str], None],
        restart: bool = True,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.service = service
        self._say = say
        self._restart = restart
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._process: Process | None = None
        self._started = 0.0
        self._ready = False
        self._failures = 0
        self._due: float | None = None
        self._looks = 0
        self._told: tuple[str, float] = ("", -math.inf)

    @property
    def name(self) -> str:
        """The service's."""
        return self.service.name

    @property
    def pid(self) -> int | None:
        """Number of the process, while there is one."""
        return None if self._process is None else self._process.pid

    @property
    def ready(self) -> bool:
        """Whether the process lives, and does its work."""
        return self._process is not None and self._ready

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._failures

    def begin(self) -> None:
        """Start at the next tick; also a service that ended and is not restarted."""
        if self._process is None:
            self._due = self._clock()

    def tick(self) -> None:
        """Look, and do what is due."""
        now = self._clock()
        if self._process is not None:
            self._look(self._process, now)
        elif self._due is not None and now >= self._due:
            self._start(now)

    def stop(self) -> None:
        """End the process, and start none again."""
        self._due = None
        if self._process is not None:
            self._process.end()
            self._process = None
            self._say(f"{self.name}: ended")

    def _look(self, process: Process, now: float) -> None:
        code = process.poll()
        if code is None:
            if not self._ready:
                self._await(process, now)
            elif now - self._started > STEADY_SECONDS:
                self._failures = 0
            return
        self._process, self._ready = None, False
        away = self.service.ended(code)
        self._again(f"ended {_how(code)}", now, least=away)

    def _await(self, process: Process, now: float) -> None:
        if self.service.is_ready():
            self._ready = True
            self._say(f"{self.name}: ready (process {process.pid})")
        elif now - self._started > READY_SECONDS:
            process.end()
            self._process = None
            self._again(f"was not ready within {READY_SECONDS:.0f} s", now, least=0.0)

    def _start(self, now: float) -> None:
        self._due = None
        try:
            self._process = self.service.start()
        except NotYet as missing:
            self._look_again(str(missing), now)
            return
        self._started, self._ready = now, False
        self._looks, self._told = 0, ("", -math.inf)

    def _look_again(self, why: str, now: float) -> None:
        self._looks += 1
        self._due = now + _LOOKING.after(self._looks)
        told, when = self._told
        if why != told or now - when >= _REMIND_SECONDS:
            self._told = (why, now)
            self._say(f"{self.name}: {why}; looks again every {_LOOKING.most:.0f} s")

    def _again(self, why: str, now: float, *, least: float) -> None:
        if not self._restart:
            self._say(f"{self.name}: {why}; it stays down")
            return
        self._failures += 1
        wait = max(least, self._backoff.after(self._failures))
        self._due = now + wait
        at = time.strftime("%H:%M:%S", time.localtime(time.time() + wait))
        self._say(f"{self.name}: {why}; next try in {wait:.0f} s, at {at}")


def _how(code: int) -> str:
    return f"by signal {-code}" if code < 0 else f"with code {code}"
