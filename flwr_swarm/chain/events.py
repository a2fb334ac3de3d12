"""The contract's events in a table of one's own, kept up with a cursor.

Nodes search logs slowly and some forget them; whoever reports on a swarm reads this table. It
asks for ranges of blocks over plain HTTP, and writes what it found together with how far it
has read, so a crash at any moment neither doubles nor skips an event.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from eth_utils.address import to_checksum_address

from flwr_swarm._exceptions import ChainReorganised, ConfigurationError, NodeBehind, WrongChain

from .client import TIMEOUT
from .codec import decode_event
from .database import prepare
from .errors import refusal
from .jsonrpc import RpcError
from .provider import Node, ask, node_of

BLOCKS_AT_ONCE: Final = 2000
"""Blocks for one request of logs; halved where a node refuses so many."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS source (
    one INTEGER PRIMARY KEY CHECK (one = 1), chain_id INTEGER NOT NULL, contract TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS cursor (
    one INTEGER PRIMARY KEY CHECK (one = 1), block INTEGER NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS events (
    block INTEGER NOT NULL,
    log_index INTEGER NOT NULL,
    transaction_hash TEXT NOT NULL,
    name TEXT NOT NULL,
    fields TEXT NOT NULL,
    PRIMARY KEY (block, log_index)
) STRICT;
CREATE INDEX IF NOT EXISTS by_name ON events (name, block, log_index);
"""


@dataclass(frozen=True, kw_only=True)
class Logged:
    """One event of the contract.

    Parameters
    ----------
    block, index : int
        Block number, and the log's place in its block.
    transaction : str
        Hash, 0x-hex.
    name : str
        The event's name in the contract.
    fields : mapping
        By name, as JSON: bytes are 0x-hex, numbers are numbers, addresses are checksummed.
    """

    block: int
    index: int
    transaction: str
    name: str
    fields: Mapping[str, Any]


class EventStore:
    """A SQLite file with the decoded events of one contract.

    Parameters
    ----------
    path : Path
        Created where it is missing. It holds nothing that the chain does not show to anyone.
    url : str or Node
        JSON-RPC address of a node, or a chain of this process.
    contract : str
        Address of the swarm's contract.
    chain_id : int or None
        Pinned chain id; None pins the one that is found first.
    first_block : int
        A block not after the deployment's, to spare a long chain's first blocks.
    timeout : float
        Seconds for each request, repetitions included.
    """

    def __init__(
        self,
        *,
        path: Path,
        url: str | Node,
        contract: str,
        chain_id: int | None = None,
        first_block: int = 0,
        timeout: float = TIMEOUT,
    ) -> None:
        try:
            self._contract = to_checksum_address(contract)
        except ValueError as error:
            raise ConfigurationError(
                f"contract must be a chain address, got {contract!r}; give 0x and 40 hex digits"
            ) from error
        self._path = path
        self._node = node_of(url, timeout=timeout)
        self._pinned = chain_id
        self._first = first_block
        self._timeout = timeout
        prepare(self._path, _SCHEMA, self._open)

    def __repr__(self) -> str:
        return f"EventStore({self._path.name!r}, {self._contract})"

    def sync(self) -> int:
        """Read what is new up to the chain's newest block; return how many events that was.

        Raises
        ------
        WrongChain
            The chain's id is not the pinned one, or the file is of another chain or contract.
        ChainReorganised
            The chain does not hold the block that was read last. Nothing was changed: chains
            with finality do not do that, so look into it; then remove the file to read anew.
        NodeBehind
            The node is not as far as the block that was read last.
        ChainUnreachable
            No answer within the time limit. What was read so far is kept.
        WireError
            A log of the contract is none of this version's events.
        """
        self._check_source()
        head = int(self._ask("eth_blockNumber"), 16)
        new, span = 0, BLOCKS_AT_ONCE
        while True:
            before = self._cursor()
            if before is not None:
                self._check_cursor(*before, head)
            low = self._first if before is None else before[0] + 1
            high = min(low + span - 1, head)
            if low > high:
                return new
            try:
                rows = self._fetch(low, high)
            except RpcError as error:
                if span == 1:
                    raise refusal(error.as_object()) from error
                span = max(span // 2, 1)
                continue
            block = self._block(high)
            if block is None:
                return new
            new += self._keep(before, (high, block["hash"]), rows)

    def events(self, name: str | None = None) -> list[Logged]:
        """Return what was read so far, in the chain's order; all events, or those of one name."""
        with self._open() as database:
            found = database.execute(
                "SELECT block, log_index, transaction_hash, name, fields FROM events "
                "WHERE name = coalesce(?, name) ORDER BY block, log_index",
                (name,),
            ).fetchall()
        return [
            Logged(block=block, index=index, transaction=digest, name=n, fields=json.loads(fields))
            for block, index, digest, n, fields in found
        ]

    @property
    def block(self) -> int | None:
        """Number of the last block that was read, or None."""
        cursor = self._cursor()
        return None if cursor is None else cursor[0]

    def _check_source(self) -> None:
        found = int(self._ask("eth_chainId"), 16)
        if self._pinned not in {None, found}:
            raise WrongChain(
                f"chain id is {found}, pinned is {self._pinned}; give the URL of a node of the "
                "swarm's own chain"
            )
        with self._open() as database:
            database.execute(
                "INSERT OR IGNORE INTO source VALUES (1, ?, ?)", (found, self._contract)
            )
            kept = database.execute("SELECT chain_id, contract FROM source").fetchone()
        if kept != (found, self._contract):
            raise WrongChain(
                f"{self._path.name} holds events of {kept[1]} on chain {kept[0]}, asked for are "
                f"those of {self._contract} on chain {found}; give each contract its own file"
            )

    def _check_cursor(self, number: int, digest: str, head: int) -> None:
        block = self._block(number)
        if block is not None and block["hash"] == digest:
            return
        if block is None and head < number and self._ask("eth_syncing"):
            raise NodeBehind(f"the node is at block {head}, {number} was read; wait for it")
        raise ChainReorganised(
            f"block {number} was {digest} when its events were read and is "
            f"{block['hash'] if block else 'missing'} now; if the chain was begun anew, remove "
            f"{self._path.name} and read again"
        )

    def _fetch(self, low: int, high: int) -> list[tuple[int, int, str, str, str]]:
        wanted = {"address": self._contract, "fromBlock": hex(low), "toBlock": hex(high)}
        rows = []
        for log in ask(self._node, "eth_getLogs", [wanted], end=self._end()):
            topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
            name, fields = decode_event(topics, bytes.fromhex(log["data"][2:]))
            text = json.dumps(_plain(fields), sort_keys=True)
            place = int(log["blockNumber"], 16), int(log["logIndex"], 16)
            rows.append((*place, log["transactionHash"], name, text))
        return rows

    def _keep(
        self,
        before: tuple[int, str] | None,
        after: tuple[int, str],
        rows: list[tuple[int, int, str, str, str]],
    ) -> int:
        """Write events and cursor at once, unless another reader of the file was faster."""
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            if database.execute("SELECT block, hash FROM cursor").fetchone() != before:
                return 0
            database.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", rows)
            database.execute("INSERT OR REPLACE INTO cursor VALUES (1, ?, ?)", after)
        return len(rows)

    def _cursor(self) -> tuple[int, str] | None:
        with self._open() as database:
            found: tuple[int, str] | None = database.execute(
                "SELECT block, hash FROM cursor"
            ).fetchone()
        return found

    def _block(self, number: int) -> dict[str, Any] | None:
        found = self._ask("eth_getBlockByNumber", hex(number), False)
        return found if isinstance(found, dict) else None

    def _ask(self, method: str, *params: Any) -> Any:
        try:
            return ask(self._node, method, list(params), end=self._end())
        except RpcError as error:
            raise refusal(error.as_object()) from error

    def _end(self) -> float:
        return time.monotonic() + self._timeout

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=30)) as database:
            # A power cut may undo the last ranges, never half of one: they are read again.
            database.execute("PRAGMA synchronous = NORMAL")
            with database:
                yield database


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
