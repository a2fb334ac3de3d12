"""One EVM chain in memory: eth-tester's py-evm, a block for every transaction, nothing random.

A block is a function of its parent, its time and its transaction: prevrandao is zero, as QBFT's
is constant. Whoever kept times and transactions can therefore mine the same blocks again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from eth.abc import BlockHeaderAPI, ComputationAPI
from eth.exceptions import Revert, VMError
from eth.vm.forks import ParisVM
from eth.vm.spoof import SpoofTransaction
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_tester import PyEVMBackend
from eth_utils.exceptions import ValidationError

from . import jsonrpc
from .jsonrpc import RpcError

GAS_LIMIT: Final = 50_000_000
"""Of one transaction; enough to found a swarm of 64."""
TREASURY: Final[LocalAccount] = Account.from_key((1).to_bytes(32, "big"))
"""Holds all money of a development chain; its key is no secret."""
_COINBASE: Final = bytes(20)
_PREVRANDAO: Final = bytes(32)


@dataclass(frozen=True, kw_only=True)
class Block:
    """What one mined block came to; with its transaction, `timestamp` is all that makes it."""

    timestamp: int
    state_root: bytes
    hash: bytes


class Engine:
    """A chain and its pending block; whoever uses it from several threads locks it.

    Parameters
    ----------
    chain_id : int
    genesis_time : int
        Timestamp of block 0. With the chain id it fixes the genesis block.
    """

    def __init__(self, *, chain_id: int, genesis_time: int) -> None:
        self.chain_id = chain_id
        genesis = PyEVMBackend.generate_genesis_params(
            {"timestamp": genesis_time, "gas_limit": 2 * GAS_LIMIT}
        )
        # It stays zero while blocks are at most half full, and each holds one transaction.
        genesis["base_fee_per_gas"] = 0
        state = {"balance": 2**128, "nonce": 0, "code": b"", "storage": {}}
        self._backend = PyEVMBackend(
            genesis_parameters=genesis,
            genesis_state={bytes.fromhex(TREASURY.address[2:]): state},
            vm_configuration=((0, ParisVM),),
        )
        self._backend.chain.chain_id = chain_id

    @property
    def height(self) -> int:
        """Number of the newest block."""
        return int(self._backend.chain.header.block_number) - 1

    def header(self, number: int) -> BlockHeaderAPI:
        """Return the header of a mined block."""
        return self._backend.chain.get_canonical_block_header_by_number(number)

    def set_time(self, timestamp: int) -> None:
        """Give the pending block its timestamp, so that calls see what a block would."""
        self._backend.chain.set_header_timestamp(timestamp)

    def mine(self, raw: bytes) -> dict[str, Any]:
        """Mine one signed transaction into a block of its own and return its receipt.

        Raises
        ------
        RpcError
            The transaction is not valid here; no block was mined.
        """
        try:
            self._backend.send_raw_transaction(raw)
        except ValidationError as error:
            raise RpcError(jsonrpc.REFUSED, str(error)) from error
        block = self._backend.chain.mine_block(coinbase=_COINBASE, mix_hash=_PREVRANDAO)
        return jsonrpc.receipt(self._backend.get_transaction_receipt(block.transactions[0].hash))

    def snapshot(self) -> bytes:
        """Return a mark to which `revert` can go back."""
        return bytes(self._backend.take_snapshot())

    def revert(self, mark: bytes) -> None:
        """Undo every block since `mark`."""
        self._backend.revert_to_snapshot(mark)
        self._backend.chain.chain_id = self.chain_id

    def nonce(self, address: bytes) -> int:
        """Return the number of transactions that `address` has sent."""
        return int(self._backend.get_nonce(address))

    def balance(self, address: bytes) -> int:
        """Return the money of `address`, in wei."""
        return int(self._backend.get_balance(address))

    def code(self, address: bytes) -> bytes:
        """Return the code of the contract at `address`, or nothing."""
        return bytes(self._backend.get_code(address))

    def block(self, number: int) -> dict[str, Any]:
        """Return a mined block in a node's form."""
        return jsonrpc.block(self._backend.get_block_by_number(number, False))

    def execute(self, call: dict[str, Any]) -> ComputationAPI:
        """Run a call in the pending block and undo it.

        Raises
        ------
        RpcError
            The call reverts, with its data, or fails.
        """
        chain = self._backend.chain
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
