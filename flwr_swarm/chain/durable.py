"""The development chain on disk: a journal of transactions and times, replayed at the start.

A transaction is acknowledged after its record is synced to the disk, so whoever kills the
process at any moment loses nothing that was acknowledged. The journal holds what makes each
block and what it came to: replay mines the same blocks, hash by hash, or refuses.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Self

import rlp  # type: ignore[import-untyped]

from flwr_swarm._exceptions import FolderInUse, JournalCorrupt, WrongChain

from .embedded import FUNDS, EmbeddedChain
from .engine import Block
from .journal import Journal
from .jsonrpc import RpcError
from .locks import FileLock

FORMAT: Final = 1
JOURNAL: Final = "chain.journal"
LOCK: Final = "chain.lock"
_GENESIS: Final = b"flwr_swarm development chain"
_log = logging.getLogger(__name__)


class DurableChain:
    """An `EmbeddedChain` that lives in a folder; one process at a time holds it.

    Guarantee: after `open`, chain id, blocks and their hashes, receipts and state are those of
    every transaction that was acknowledged before, in their order; at most one more, which was
    written and not yet acknowledged. It assumes that the disk keeps what it says it synced. Time
    that `advance_clock` added is kept in the blocks that were mined since, and nowhere else.

    Parameters
    ----------
    chain : EmbeddedChain
    journal : Journal
    lock : FileLock
        Use `open`, which makes all three.
    """

    def __init__(self, *, chain: EmbeddedChain, journal: Journal, lock: FileLock) -> None:
        self._chain = chain
        self._journal = journal
        self._lock = lock

    def __repr__(self) -> str:
        return f"DurableChain(chain_id={self.chain_id})"

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        chain_id: int | None = None,
        clock: Callable[[], float] = time.time,
        time_travel: bool = False,
    ) -> Self:
        """Open the chain in `folder`, or begin one there.

        Parameters
        ----------
        folder : Path
            Created where it is missing.
        chain_id : int or None
            What the chain must have; None takes what is there, or draws one at random.
        clock, time_travel
            As for `EmbeddedChain`.

        Raises
        ------
        FolderInUse
            Another process, or another chain of this one, holds the folder.
        JournalCorrupt
            The journal was altered, or does not replay to the same blocks.
        WrongChain
            The folder holds a chain with another id.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        if not lock.acquire(end=time.monotonic()):
            raise FolderInUse(
                f"another process serves the chain in {folder.name!r}; stop it, or choose another "
                "folder"
            )
        journal = None
        try:
            journal = Journal(folder / JOURNAL)
            chain = _replayed(journal, chain_id, clock, time_travel)
        except BaseException:
            if journal is not None:
                journal.close()
            lock.release()
            raise
        return cls(chain=chain, journal=journal, lock=lock)

    def close(self) -> None:
        """Free the folder; afterwards no transaction is taken."""
        self._journal.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def chain_id(self) -> int:
        """Chain id, fixed when the chain began."""
        return self._chain.chain_id

    @property
    def height(self) -> int:
        """Number of the newest block."""
        return self._chain.height

    @property
    def cut(self) -> int:
        """Bytes of an unfinished record that were cut when the journal was opened."""
        return self._journal.cut

    def block(self, number: int) -> Block:
        """Return what a mined block came to."""
        return self._chain.block(number)

    def request(self, method: str, params: Sequence[Any], *, timeout: float | None = None) -> Any:
        """Answer one JSON-RPC request, as `EmbeddedChain.request` does."""
        return self._chain.request(method, params, timeout=timeout)

    def fund(self, address: str, wei: int = FUNDS) -> None:
        """Give `address` money that it does not need here, but may want to show."""
        self._chain.fund(address, wei)

    def advance_clock(self, seconds: int) -> None:
        """Let `seconds` pass, for tests; see above for what a restart keeps of it."""
        self._chain.advance_clock(seconds)


def _replayed(
    journal: Journal, chain_id: int | None, clock: Callable[[], float], time_travel: bool
) -> EmbeddedChain:
    def keep(raw: bytes, block: Block) -> None:
        journal.append(rlp.encode([block.timestamp, raw, block.state_root, block.hash]))

    def chain_of(number: int | None, genesis_time: int | None) -> EmbeddedChain:
        return EmbeddedChain(
            chain_id=number,
            clock=clock,
            genesis_time=genesis_time,
            on_block=keep,
            time_travel=time_travel,
        )

    chain = None
    for record in journal.records():
        if chain is None:
            found, genesis_time, genesis_hash, engine = _genesis(record)
            if chain_id is not None and chain_id != found:
                raise WrongChain(
                    f"the folder holds chain {found}, asked for is {chain_id}; leave the id out, "
                    "or choose another folder"
                )
            chain = chain_of(found, genesis_time)
            if chain.block(0).hash != genesis_hash:
                raise _diverged(0, engine)
        else:
            _replay(chain, record, engine)
    if chain is None:
        chain = chain_of(chain_id, None)
        first = chain.block(0)
        fields = [_GENESIS, FORMAT, chain.chain_id, first.timestamp, first.hash, _engine()]
        journal.append(rlp.encode(fields))
    return chain


def _genesis(record: bytes) -> tuple[int, int, bytes, bytes]:
    try:
        name, number, chain_id, timestamp, digest, engine = rlp.decode(record)
    except (rlp.DecodingError, ValueError) as error:
        raise JournalCorrupt(f"{JOURNAL} does not begin with a chain's genesis") from error
    if name != _GENESIS or _int(number) != FORMAT:
        raise JournalCorrupt(
            f"{JOURNAL} has format {_int(number)}, this version reads {FORMAT}; use the version "
            "of flwr_swarm that wrote it"
        )
    return _int(chain_id), _int(timestamp), digest, engine


def _replay(chain: EmbeddedChain, record: bytes, engine: bytes) -> None:
    number = chain.height + 1
    try:
        timestamp, raw, state_root, digest = rlp.decode(record)
        block = chain.replay(timestamp=_int(timestamp), raw=raw)
    except (rlp.DecodingError, ValueError, RpcError) as error:
        raise JournalCorrupt(f"block {number} of {JOURNAL} does not follow: {error}") from error
    if (block.state_root, block.hash) != (state_root, digest):
        raise _diverged(number, engine)


def _diverged(number: int, engine: bytes) -> JournalCorrupt:
    return JournalCorrupt(
        f"block {number} of {JOURNAL} does not replay to the hash it had; it was written with "
        f"{engine.decode(errors='replace')}, this is {_engine().decode()}: install that engine, "
        "or restore the file from a copy"
    )


def _engine() -> bytes:
    names = ("eth-tester", "py-evm")
    return " ".join(f"{name} {version(name)}" for name in names).encode()


def _int(number: bytes) -> int:
    return int.from_bytes(number, "big")
