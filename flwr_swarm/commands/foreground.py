"""Commands that run until they are stopped: what they say, and how a signal ends them."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from .output import note, printable


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does: everything that was started is ended, in order."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def narrator(as_json: bool) -> Callable[[str], None]:
    """Where events go: to stdout with the time, or to stderr beside JSON."""

    def say(text: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} {text}"
        if as_json:
            note(line)
        else:
            print(printable(line), flush=True)

    return say


def show_line(text: str) -> None:
    """A line of JSON on stdout, at once."""
    print(text)
    sys.stdout.flush()
