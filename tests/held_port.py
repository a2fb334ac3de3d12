"""A port that stays a test's own while nobody listens on it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_port() -> Iterator[int]:
    """Connections are refused until the test's server takes the port, and again when it is gone.

    A port that was free a moment ago may be another process's by now. One that is bound, and only
    not listened on, the system gives to nobody who does not ask for it by its number.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])
