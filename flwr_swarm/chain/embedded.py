"""The development chain: an EVM in this process that answers JSON-RPC, behind one lock.

A real EVM without a node to install. Gas is free, every transaction is a block of its own, and
block time follows a clock (the wall clock, unless a test injects one). One process orders all
transactions, so it is for development and simulation, not for a consortium; anything that
speaks Ethereum's JSON-RPC takes its place without a change. It lives in memory; `durable` keeps
it on disk.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from flwr_swarm._exceptions import ChainUnreachable

from . import jsonrpc
from .engine import GAS_LIMIT, TREASURY, Block, Engine
from .jsonrpc import RpcError

CLIENT: Final = "flwr_swarm-development-chain"
FUNDS: Final = 10**24
MAX_CHAIN_ID: Final = 2**53 - 1  # JSON readers that use doubles keep it exact
_STOPPED: Final = (
    "the development chain could not keep a block and has stopped; make room on its disk and "
    "start it again"
)


class EmbeddedChain:
    """An in-process chain that answers Ethereum's JSON-RPC; safe to use from many threads.

    Parameters
    ----------
    chain_id : int or None
        None draws one at random, so that a signature for one chain is good on no other.
    clock : callable
        Seconds since 1970. A block's timestamp is the clock's, or its parent's plus one where
        that is later: more than one transaction a second runs ahead of the clock.
    genesis_time : int or None
        Timestamp of block 0; None takes the second before the clock's.
    on_block : callable or None
        Called with each new block's transaction and `Block` before anyone can learn of it. If
        it raises, the block's fate is unknown and the chain answers nothing more.
    time_travel : bool
        Offer `evm_increaseTime` to whoever asks, for tests from other processes.
    """

    def __init__(
        self,
        *,
        chain_id: int | None = None,
        clock: Callable[[], float] = time.time,
        genesis_time: int | None = None,
        on_block: Callable[[bytes, Block], None] | None = None,
        time_travel: bool = False,
    ) -> None:
        self.chain_id = secrets.randbelow(MAX_CHAIN_ID) + 1 if chain_id is None else chain_id
        self._engine = Engine(
            chain_id=self.chain_id,
            genesis_time=int(clock()) - 1 if genesis_time is None else genesis_time,
        )
        self._clock = clock
        self._offset = 0
        self._on_block = on_block
        self._failed = False
        self._time_travel = time_travel
        self._lock = threading.RLock()
        self._transactions: dict[str, dict[str, Any]] = {}
        self._receipts: dict[str, dict[str, Any]] = {}
        self._mined: list[str] = []  # the transaction of block 1, 2, ...
        self._moment: tuple[int, int, bytes] | None = None
        self._answers: dict[str, str] = {}  # of calls at that moment

    def __repr__(self) -> str:
        return f"EmbeddedChain(chain_id={self.chain_id})"

    # --- for tests and for whoever runs the chain --------------------------------------------

    def advance_clock(self, seconds: int) -> None:
        """Let `seconds` pass on this chain since its newest block or its clock's time."""
        with self._lock:
            ahead = self._newest_time() - int(self._clock())
            self._offset = max(self._offset, ahead) + seconds

    def fund(self, address: str, wei: int = FUNDS) -> None:
        """Give `address` money that it does not need here, but may want to show."""
        with self._lock:
            transaction: dict[str, Any] = {
                "type": 2,
                "chainId": self.chain_id,
                "nonce": self._nonce(TREASURY.address),
                "to": address,
                "value": wei,
                "gas": 21_000,
                "maxFeePerGas": 0,
                "maxPriorityFeePerGas": 0,
            }
            signed = TREASURY.sign_transaction(transaction)
            self.request("eth_sendRawTransaction", [jsonrpc.hexed(signed.raw_transaction)])

    def snapshot(self) -> tuple[bytes, int]:
        """Return a mark to which `revert` can go back."""
        with self._lock:
            return self._engine.snapshot(), self._offset

    def revert(self, mark: tuple[bytes, int]) -> None:
        """Undo everything since `mark`; of no use where `on_block` keeps the blocks."""
        with self._lock:
            self._engine.revert(mark[0])
            self._offset = mark[1]
            for digest in self._mined[self._engine.height :]:
                del self._receipts[digest], self._transactions[digest]
            del self._mined[self._engine.height :]

    # --- for whoever keeps the chain ---------------------------------------------------------

    @property
    def height(self) -> int:
        """Number of the newest block."""
        with self._lock:
            return self._engine.height

    def block(self, number: int) -> Block:
        """Return what a mined block came to."""
        with self._lock:
            header = self._engine.header(number)
            return Block(
                timestamp=header.timestamp,
                state_root=bytes(header.state_root),
                hash=bytes(header.hash),
            )

    def replay(self, *, timestamp: int, raw: bytes) -> Block:
        """Mine a block again from its time and transaction; `on_block` is not told.

        Raises
        ------
        RpcError
            The transaction does not follow on what the chain holds.
        """
        with self._lock:
            self._engine.set_time(timestamp)
            self._mine(self._checked(raw), raw)
            return self.block(self._engine.height)

    # --- JSON-RPC ----------------------------------------------------------------------------

    def request(self, method: str, params: Sequence[Any], *, timeout: float | None = None) -> Any:
        """Answer one JSON-RPC request; `timeout` is of no concern here.

        Raises
        ------
        RpcError
            Unknown method, malformed parameters, or a refusal, with the revert data as nodes
            give it.
        ChainUnreachable
            A block could not be kept, so the chain has stopped.
        """
        handler = self._METHODS.get(method)
        if handler is None:
            raise RpcError(jsonrpc.NO_METHOD, f"method {method} is not offered")
        with self._lock:
            if self._failed:
                raise ChainUnreachable(_STOPPED)
            try:
                return handler(self, *params)
            except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
                raise RpcError(jsonrpc.BAD_PARAMS, f"malformed parameters of {method}") from error

    def _newest_time(self) -> int:
        return int(self._engine.header(self._engine.height).timestamp)

    def _tick(self) -> int:
        """Set the time that a block mined now would carry, and return it."""
        now = max(self._newest_time() + 1, int(self._clock()) + self._offset)
        self._engine.set_time(now)
        return now

    def _nonce(self, address: str, _block: str = "latest") -> int:
        return self._engine.nonce(jsonrpc.address(address))

    def _call(self, call: dict[str, Any], _block: str = "latest") -> str:
        """What a call returns; the same for everybody who asks on one block at one time."""
        moment = (
            self._engine.height,
            self._tick(),
            bytes(self._engine.header(self._engine.height).hash),
        )
        if moment != self._moment:
            self._moment, self._answers = moment, {}
        asked = json.dumps(call, sort_keys=True)
        if asked not in self._answers:
            self._answers[asked] = jsonrpc.hexed(self._engine.execute(call).output)
        return self._answers[asked]

    def _estimate(self, call: dict[str, Any], _block: str = "latest") -> str:
        self._tick()
        # Refunds are ignored: they come after the gas was needed.
        return hex(GAS_LIMIT - self._engine.execute(call).get_gas_remaining())

    def _send_raw(self, text: str) -> str:
        raw = jsonrpc.data(text)
        transaction = self._checked(raw)
        self._tick()
        self._mine(transaction, raw)
        if self._on_block is not None:
            try:
                self._on_block(raw, self.block(self._engine.height))
            except OSError as error:
                self._failed = True
                raise ChainUnreachable(_STOPPED) from error
            except BaseException:
                self._failed = True
                raise
        return str(transaction["hash"])

    def _checked(self, raw: bytes) -> dict[str, Any]:
        transaction = jsonrpc.parse_transaction(raw, self.chain_id)
        if transaction["hash"] in self._transactions:
            raise RpcError(jsonrpc.REFUSED, "already known")
        if int(transaction["gas"], 16) > GAS_LIMIT:
            raise RpcError(jsonrpc.REFUSED, f"a transaction has at most {GAS_LIMIT} gas here")
        expected = self._nonce(transaction["from"])
        nonce = int(transaction["nonce"], 16)
        if nonce != expected:
            which = "low" if nonce < expected else "high"
            raise RpcError(
                jsonrpc.REFUSED, f"nonce too {which}: next nonce {expected}, tx nonce {nonce}"
            )
        return transaction

    def _mine(self, transaction: dict[str, Any], raw: bytes) -> None:
        receipt = self._engine.mine(raw)
        digest = transaction["hash"]
        place = {key: receipt[key] for key in jsonrpc.PLACE}
        self._receipts[digest] = receipt
        self._transactions[digest] = transaction | place
        self._mined.append(digest)

    def _travel(self, seconds: int | str) -> int:
        if not self._time_travel:
            raise RpcError(jsonrpc.NO_METHOD, "method evm_increaseTime is not offered")
        delta = int(seconds, 16) if isinstance(seconds, str) else int(seconds)
        self.advance_clock(delta)
        return delta

    def _block(self, which: str, _full: bool = False) -> dict[str, Any] | None:
        height = self._engine.height
        number = height if which in jsonrpc.NEWEST else 0 if which == "earliest" else int(which, 16)
        return self._engine.block(number) if number <= height else None

    def _logs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        def bound(which: str) -> int:
            return self._engine.height if which in jsonrpc.NEWEST else int(which, 16)

        low, high = bound(wanted.get("fromBlock", "latest")), bound(wanted.get("toBlock", "latest"))
        contracts, topics = (
            jsonrpc.choices(wanted["address"]),
            jsonrpc.topics(wanted.get("topics") or []),
        )
        return [
            log
            for digest in self._mined[max(low - 1, 0) : max(high, 0)]
            for log in self._receipts[digest]["logs"]
            if log["address"].lower() in contracts and jsonrpc.matches(log["topics"], topics)
        ]

    _METHODS: Final[dict[str, Callable[..., Any]]] = {
        "web3_clientVersion": lambda _: f"{CLIENT}/1 (for development only)",
        "net_version": lambda self: str(self.chain_id),
        "eth_syncing": lambda _: False,
        "eth_chainId": lambda self: hex(self.chain_id),
        "eth_blockNumber": lambda self: hex(self._engine.height),
        "eth_gasPrice": lambda _: hex(0),
        "eth_maxPriorityFeePerGas": lambda _: hex(0),
        "eth_getBalance": lambda self, address, _="latest": hex(
            self._engine.balance(jsonrpc.address(address))
        ),
        "eth_getCode": lambda self, address, _="latest": jsonrpc.hexed(
            self._engine.code(jsonrpc.address(address))
        ),
        "eth_getTransactionCount": lambda self, *args: hex(self._nonce(*args)),
        "eth_getTransactionByHash": lambda self, digest: self._transactions.get(digest.lower()),
        "eth_getTransactionReceipt": lambda self, digest: self._receipts.get(digest.lower()),
        "eth_getBlockByNumber": _block,
        "eth_getLogs": _logs,
        "eth_call": _call,
        "eth_estimateGas": _estimate,
        "eth_sendRawTransaction": _send_raw,
        "evm_increaseTime": _travel,
    }
