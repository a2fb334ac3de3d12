"""What a member promised to do once, kept beside its keys: a run or a restart forgets nothing.

An account that signs two certificates of one round and view is suspended, and shares of one
round that are released for two sets open the difference. Whatever else a site forgets, whoever
holds its keys also holds this file.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Literal

from .._exceptions import AlreadyOpened, KeystoreError, ProtocolError
from ..chain.database import prepare
from . import files

FILE: Final = "promises.sqlite3"
Kind = Literal["sign", "open"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS promises (
    chain_id INTEGER NOT NULL,
    contract TEXT NOT NULL,
    account TEXT NOT NULL,
    kind TEXT NOT NULL,
    round INTEGER NOT NULL,
    view INTEGER NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    PRIMARY KEY (chain_id, contract, account, kind, round, view)
) STRICT, WITHOUT ROWID;
"""


class Promises:
    """One signature for each (round, view) of an account, and one opening for each round.

    A promise is on the disk when `keep` returns (SQLite, write-ahead log, full
    synchronisation), and processes that share the folder share it. Guarantee: none is broken by
    who keeps them all in one folder, of which there is no second copy in use.

    Parameters
    ----------
    folder : Path
        Created for its owner alone where it is missing.

    Raises
    ------
    KeystoreExposed
        Others than the owner can get at the folder or the file.
    KeystoreError
        They cannot be made or read.
    """

    def __init__(self, folder: Path) -> None:
        files.make_private_folder(folder)
        self._path = folder / FILE
        # SQLite gives its log the mode of the database, so that is made first.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            os.close(os.open(self._path, flags, files.FILE_MODE))
        except OSError as error:
            raise KeystoreError(f"cannot open {self._path} ({error.strerror})") from error
        files.check_private(self._path, folder=False)
        prepare(self._path, _SCHEMA, self._open)

    def __repr__(self) -> str:
        return f"Promises({self._path.parent.name!r})"

    def keep(
        self,
        kind: Kind,
        *,
        chain_id: int,
        contract: str,
        account: str,
        number: int,
        view: int,
        digest: bytes,
    ) -> None:
        """Promise to sign, or to open for, this certificate and no other. Before it is done.

        Parameters
        ----------
        kind : {"sign", "open"}
            A promise to open binds every account of the folder and every view of the round:
            shares that were sealed to former keys are shares of the same keys.
        chain_id : int
        contract, account : str
            Addresses.
        number, view : int
            Round, and turn of its leader.
        digest : bytes
            32 bytes, from `protocol.member.certificate_digest`.

        Raises
        ------
        ProtocolError
            Another certificate was signed there.
        AlreadyOpened
            Shares of the round were released for another set.
        KeystoreError
            The disk refused; nothing may be signed or released.
        """
        owner, turn = (account.lower(), view) if kind == "sign" else ("", 0)
        slot = (chain_id, contract.lower(), owner, kind, number, turn)
        with self._open() as database:
            database.execute(
                "INSERT INTO promises VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (*slot, digest),
            )
            ((kept,),) = database.execute(
                "SELECT digest FROM promises WHERE chain_id = ? AND contract = ? AND account = ? "
                "AND kind = ? AND round = ? AND view = ?",
                slot,
            ).fetchall()
        if kept == digest:
            return
        named = f"certificate {kept.hex()[:16]}…, not for {digest.hex()[:16]}…"
        where = (
            "it was promised in an earlier run or before a restart; take part again from the next "
            "round on. If the chain itself was started anew, give it another chain id"
        )
        if kind == "open":
            raise AlreadyOpened(
                f"this member's keystore holds that shares of round {number} were released for "
                f"{named}; {where}"
            )
        raise ProtocolError(
            f"this member's keystore holds that {account} signed in round {number}, view {view} "
            f"for {named}; {where}"
        )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # A connection for each use: it may come from any thread, and nobody has to close it.
        try:
            with closing(sqlite3.connect(self._path, timeout=30)) as database:
                database.execute("PRAGMA synchronous = FULL")
                with database:
                    yield database
        except sqlite3.Error as error:
            raise KeystoreError(
                f"{self._path} cannot be read or written ({error}); free the disk, or restore "
                "the file: nothing is signed or released without it"
            ) from error
