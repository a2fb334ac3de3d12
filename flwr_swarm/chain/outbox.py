"""A member's signed transactions on disk before they are sent, and one sender for each account.

What a crash or a lost answer leaves open is settled before anything new is signed: the same
bytes are sent again, which no chain executes twice. The bytes hold what the member is about to
publish (a seal's reveal, say), so the files are the owner's alone; there is no key in them.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from flwr_swarm._exceptions import ConfigurationError

from .database import prepare
from .locks import OWNER_ONLY, FileLock

FILE: Final = "outbox.sqlite3"
_FOLDER_MODE: Final = 0o700
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sent (
    hash BLOB PRIMARY KEY,
    chain_id INTEGER NOT NULL,
    account TEXT NOT NULL,
    nonce INTEGER NOT NULL,
    raw BLOB NOT NULL,
    status TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS by_account ON sent (chain_id, account, status, nonce);
"""


class Status(Enum):
    """What became of a signed transaction."""

    PENDING = "pending"
    MINED = "mined"
    FAILED = "failed"
    """Mined, and without effect: another transaction came first."""
    REPLACED = "replaced"
    """Never mined: another transaction of the account took its nonce."""
    REFUSED = "refused"
    """No node took it."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One signed transaction."""

    nonce: int
    hash: bytes
    raw: bytes = field(repr=False)
    status: Status


class Outbox:
    """The signed transactions of any number of accounts and chains, in one folder.

    Every write is on the disk when it returns (SQLite, write-ahead log, full synchronisation).

    Parameters
    ----------
    folder : Path
        Created for its owner alone where it is missing.

    Raises
    ------
    ConfigurationError
        Others than the owner can enter the folder.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        mode = folder.stat().st_mode & 0o777
        if mode & 0o077:
            raise ConfigurationError(
                f"the outbox folder {folder.name!r} has mode {mode:o}; take it from others: "
                "chmod 700, or give a folder of its own"
            )
        self._folder = folder
        self._path = folder / FILE
        # SQLite gives its log the mode of the database, so that is made first.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY))
        self._path.chmod(OWNER_ONLY)
        prepare(self._path, _SCHEMA, self._open)

    def __repr__(self) -> str:
        return f"Outbox({self._folder.name!r})"

    def lock(self, chain_id: int, account: str) -> FileLock:
        """Return the lock that whoever sends as `account` on this chain must hold."""
        return FileLock(self._folder / f"{chain_id}-{account.lower()}.lock")

    def add(self, *, chain_id: int, account: str, nonce: int, digest: bytes, raw: bytes) -> None:
        """Record a signed transaction that is about to be sent."""
        with self._open() as database:
            database.execute(
                "INSERT INTO sent VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (hash) DO UPDATE SET status = excluded.status",
                (digest, chain_id, account.lower(), nonce, raw, Status.PENDING.value),
            )

    def mark(self, digest: bytes, status: Status) -> None:
        """Record what became of a transaction."""
        with self._open() as database:
            database.execute("UPDATE sent SET status = ? WHERE hash = ?", (status.value, digest))

    def entries(self, chain_id: int, account: str, status: Status | None = None) -> list[Entry]:
        """Return an account's transactions, in order of nonce and recording."""
        with self._open() as database:
            rows = database.execute(
                "SELECT nonce, hash, raw, status FROM sent "
                "WHERE chain_id = ? AND account = ? AND status = coalesce(?, status) "
                "ORDER BY nonce, rowid",
                (chain_id, account.lower(), status.value if status else None),
            ).fetchall()
        return [Entry(nonce=n, hash=h, raw=raw, status=Status(s)) for n, h, raw, s in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # A connection for each use: it may come from any thread, and nobody has to close it.
        with closing(sqlite3.connect(self._path, timeout=30)) as database:
            database.execute("PRAGMA synchronous = FULL")
            with database:
                yield database
