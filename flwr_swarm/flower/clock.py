"""Wall time and waiting, replaceable in tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Clock:
    """A clock to read and to sleep by, in seconds."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


def clock_time(timestamp: float) -> str:
    """A moment as people read it."""
    return time.strftime("%H:%M:%S", time.localtime(timestamp))
