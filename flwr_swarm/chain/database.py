"""A SQLite file that several processes open at once: its first opening is one at a time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from flwr_swarm._exceptions import ConfigurationError

from .locks import FileLock

_LIMIT: Final = 30.0


def prepare(
    path: Path, schema: str, connect: Callable[[], AbstractContextManager[sqlite3.Connection]]
) -> None:
    """Make the tables of `schema` and turn on the write-ahead log.

    SQLite waits for no lock while it changes the journal mode, so two processes that open a new
    file would disturb each other.

    Raises
    ------
    ConfigurationError
        Another process holds the file's first opening for longer than the limit.
    """
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    if not lock.acquire(end=time.monotonic() + _LIMIT):
        raise ConfigurationError(
            f"another process has been opening {path.name} for {_LIMIT:g} s; stop it, or use "
            "another folder"
        )
    try:
        with connect() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(schema)
    finally:
        lock.release()
