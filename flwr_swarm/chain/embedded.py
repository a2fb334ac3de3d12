"""The development chain: eth-tester's py-evm engine in this process, behind one lock.

A real EVM without a node to install. Gas is free, every transaction is a block of its own, and
block time follows a clock (the wall clock, unless a test injects one). Nothing is durable and
one process orders all transactions, so it is for development and simulation, not for a
consortium; anything that speaks Ethereum's JSON-RPC takes its place without a change.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from eth.abc import ComputationAPI
from eth.exceptions import Revert, VMError
from eth.vm.forks import ParisVM
from eth.vm.spoof import SpoofTransaction
from eth_account import Account
from eth_tester import PyEVMBackend
from eth_utils.exceptions import ValidationError

from . import jsonrpc
from .jsonrpc import RpcError

CLIENT: Final = "flwr_swarm-development-chain"
FUNDS: Final = 10**24
GAS_LIMIT: Final = 30_000_000
MAX_CHAIN_ID: Final = 2**53 - 1  # JSON readers that use doubles keep it exact
_TREASURY: Final = (1).to_bytes(32, "big")


class EmbeddedChain:
    """An in-process chain that answers Ethereum's JSON-RPC; safe to use from many threads.

    Parameters
    ----------
    chain_id : int or None
        None draws one at random, so that a signature for one chain is good on no other.
    clock : callable
        Seconds since 1970. A block's timestamp is the clock's, or its parent's plus one where
        that is later: more than one transaction a second runs ahead of the clock.
    """

    def __init__(
        self, *, chain_id: int | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.chain_id = secrets.randbelow(MAX_CHAIN_ID) + 1 if chain_id is None else chain_id
        self._clock = clock
        self._offset = 0
        self._lock = threading.RLock()
        self._transactions: dict[str, dict[str, Any]] = {}
        self._receipts: dict[str, dict[str, Any]] = {}
        treasury = Account.from_key(_TREASURY)
        genesis = PyEVMBackend.generate_genesis_params(
            {"timestamp": int(clock()) - 1, "gas_limit": GAS_LIMIT}
        )
        genesis["base_fee_per_gas"] = 0  # stays zero while blocks are at most half full
        state = {"balance": 2**128, "nonce": 0, "code": b"", "storage": {}}
        self._engine = PyEVMBackend(
            genesis_parameters=genesis,
            genesis_state={bytes.fromhex(treasury.address[2:]): state},
            vm_configuration=((0, ParisVM),),
        )
        self._engine.chain.chain_id = self.chain_id
        self._treasury = treasury

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
            transaction = {
                "type": 2,
                "chainId": self.chain_id,
                "nonce": self._nonce(self._treasury.address),
                "to": address,
                "value": wei,
                "gas": 21_000,
                "maxFeePerGas": 0,
                "maxPriorityFeePerGas": 0,
            }
            signed = self._treasury.sign_transaction(transaction)
            self._send(bytes(signed.raw_transaction))

    def snapshot(self) -> tuple[bytes, int]:
        """Return a mark to which `revert` can go back."""
        with self._lock:
            return self._engine.take_snapshot(), self._offset

    def revert(self, mark: tuple[bytes, int]) -> None:
        """Undo everything since `mark`."""
        with self._lock:
            self._engine.revert_to_snapshot(mark[0])
            self._engine.chain.chain_id = self.chain_id
            self._offset = mark[1]
            height = self._height()
            for digest, receipt in list(self._receipts.items()):
                if int(receipt["blockNumber"], 16) > height:
                    del self._receipts[digest], self._transactions[digest]

    # --- JSON-RPC ----------------------------------------------------------------------------

    def request(self, method: str, params: Sequence[Any]) -> Any:
        """Answer one JSON-RPC request.

        Raises
        ------
        RpcError
            Unknown method, malformed parameters, or a refusal, with the revert data as nodes
            give it.
        """
        handler = self._METHODS.get(method)
        if handler is None:
            raise RpcError(jsonrpc.NO_METHOD, f"method {method} is not offered")
        with self._lock:
            try:
                return handler(self, *params)
            except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
                raise RpcError(jsonrpc.BAD_PARAMS, f"malformed parameters of {method}") from error

    def _height(self) -> int:
        return int(self._engine.chain.header.block_number) - 1

    def _newest_time(self) -> int:
        chain = self._engine.chain
        return int(chain.get_canonical_block_header_by_number(self._height()).timestamp)

    def _tick(self) -> None:
        """Give the pending block its timestamp, so that calls see what a block would."""
        now = int(self._clock()) + self._offset
        self._engine.chain.set_header_timestamp(max(self._newest_time() + 1, now))

    def _nonce(self, address: str, _block: str = "latest") -> int:
        return int(self._engine.get_nonce(jsonrpc.address(address)))

    def _execute(self, call: dict[str, Any]) -> ComputationAPI:
        self._tick()
        chain = self._engine.chain
        machine = chain.get_vm(at_header=chain.header)
        sender = jsonrpc.address(call.get("from", "0x" + "00" * 20))
        transaction = machine.get_transaction_builder().new_unsigned_dynamic_fee_transaction(
            chain_id=self.chain_id,
            nonce=machine.state.get_nonce(sender),
            max_priority_fee_per_gas=0,
            max_fee_per_gas=chain.header.base_fee_per_gas,
            gas=GAS_LIMIT,
            to=jsonrpc.address(call["to"]) if call.get("to") else b"",
            value=int(call.get("value", "0x0"), 16),
            data=jsonrpc.data(call.get("data", call.get("input", "0x"))),
            access_list=(),
        )
        mark = machine.state.snapshot()
        try:
            spoof = SpoofTransaction(transaction, from_=sender)
            computation = machine.state.apply_transaction(spoof)
        except ValidationError as error:
            raise RpcError(jsonrpc.REFUSED, str(error)) from error
        finally:
            machine.state.revert(mark)
        if computation.is_error:
            failure: VMError = computation.error
            if isinstance(failure, Revert) and failure.args and isinstance(failure.args[0], bytes):
                raise RpcError(
                    jsonrpc.REVERTED, "execution reverted", jsonrpc.hexed(failure.args[0])
                )
            raise RpcError(jsonrpc.REFUSED, f"execution failed: {type(failure).__name__}")
        return computation

    def _call(self, call: dict[str, Any], _block: str = "latest") -> str:
        return jsonrpc.hexed(self._execute(call).output)

    def _estimate(self, call: dict[str, Any], _block: str = "latest") -> str:
        # Refunds are ignored: they come after the gas was needed.
        return hex(GAS_LIMIT - self._execute(call).get_gas_remaining())

    def _send_raw(self, raw: str) -> str:
        return self._send(jsonrpc.data(raw))

    def _send(self, raw: bytes) -> str:
        transaction = jsonrpc.parse_transaction(raw, self.chain_id)
        digest = transaction["hash"]
        if digest in self._transactions:
            raise RpcError(jsonrpc.REFUSED, "already known")
        expected = self._nonce(transaction["from"])
        nonce = int(transaction["nonce"], 16)
        if nonce != expected:
            which = "low" if nonce < expected else "high"
            raise RpcError(
                jsonrpc.REFUSED, f"nonce too {which}: next nonce {expected}, tx nonce {nonce}"
            )
        self._tick()
        try:
            self._engine.send_raw_transaction(raw)
        except ValidationError as error:
            raise RpcError(jsonrpc.REFUSED, str(error)) from error
        self._engine.mine_blocks(1)
        receipt = self._engine.get_transaction_receipt(jsonrpc.data(digest))
        self._receipts[digest] = jsonrpc.receipt(receipt)
        place = {key: self._receipts[digest][key] for key in jsonrpc.PLACE}
        self._transactions[digest] = transaction | place
        return str(digest)

    def _block(self, which: str, _full: bool = False) -> dict[str, Any] | None:
        height = self._height()
        number = height if which in jsonrpc.NEWEST else 0 if which == "earliest" else int(which, 16)
        if number > height:
            return None
        return jsonrpc.block(self._engine.get_block_by_number(number, False))

    def _logs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        height = self._height()

        def bound(which: str) -> int:
            return height if which in jsonrpc.NEWEST else int(which, 16)

        low, high = bound(wanted.get("fromBlock", "latest")), bound(wanted.get("toBlock", "latest"))
        if wanted.get("topics"):
            raise RpcError(jsonrpc.BAD_PARAMS, "logs are filtered by address and block only")
        contract = wanted["address"].lower()
        return [
            log
            for receipt in self._receipts.values()
            if low <= int(receipt["blockNumber"], 16) <= high
            for log in receipt["logs"]
            if log["address"].lower() == contract
        ]

    _METHODS: Final[dict[str, Callable[..., Any]]] = {
        "web3_clientVersion": lambda _: f"{CLIENT}/1 (for development only)",
        "net_version": lambda self: str(self.chain_id),
        "eth_chainId": lambda self: hex(self.chain_id),
        "eth_blockNumber": lambda self: hex(self._height()),
        "eth_gasPrice": lambda _: hex(0),
        "eth_maxPriorityFeePerGas": lambda _: hex(0),
        "eth_getBalance": lambda self, address, _="latest": hex(
            self._engine.get_balance(jsonrpc.address(address))
        ),
        "eth_getCode": lambda self, address, _="latest": jsonrpc.hexed(
            self._engine.get_code(jsonrpc.address(address))
        ),
        "eth_getTransactionCount": lambda self, *args: hex(self._nonce(*args)),
        "eth_getTransactionByHash": lambda self, digest: self._transactions.get(digest.lower()),
        "eth_getTransactionReceipt": lambda self, digest: self._receipts.get(digest.lower()),
        "eth_getBlockByNumber": _block,
        "eth_getLogs": _logs,
        "eth_call": _call,
        "eth_estimateGas": _estimate,
        "eth_sendRawTransaction": _send_raw,
    }
