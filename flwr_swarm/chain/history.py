"""A run's whole chain history as plain data, read through standard JSON-RPC.

Each entry is one transaction that changed the contract, in the order of the chain, the
deployment first: its signed bytes, its block, and the events it left. Transactions that failed
changed nothing and are not part of it. `replay.replay` checks such a history without a chain.

Timestamps and the order of blocks are the chain's word: no signature covers them. Everything
else follows from the members' signatures.
"""

from __future__ import annotations

import time
from typing import Any, Final

from eth_utils.address import to_checksum_address

from flwr_swarm._exceptions import EvidenceError, WireError

from .calldata import decode_call
from .client import TIMEOUT
from .envelopes import from_rpc
from .jsonrpc import RpcError
from .provider import Node, ask, node_of

VERSION: Final = 1
LOGS_AT_ONCE: Final = 5000
"""Blocks for one request of logs; nodes refuse much wider ranges."""


def export(
    url: str | Node, contract: str, *, first_block: int = 0, timeout: float = TIMEOUT
) -> dict[str, Any]:
    """Read everything that ever changed `contract`.

    Parameters
    ----------
    url : str or Node
        JSON-RPC address of a node, or an `EmbeddedChain` of this process.
    contract : str
        Address of the swarm's contract.
    first_block : int
        A block not after the deployment's, to spare a long chain's first blocks.
    timeout : float
        Seconds for each request, repetitions included.

    Returns
    -------
    dict
        JSON-able: `version`, `chain_id`, `contract` and `transactions`, each with `hash`,
        `block_number`, `index`, `timestamp`, `from`, `to`, `nonce`, `input`, `raw`, `status`
        and `events` (topics and data). Hex strings carry 0x; equal chains give equal data.

    Raises
    ------
    ChainUnreachable
        No answer within the time limit.
    EvidenceError
        The node tells of no deployment, or contradicts itself.
    """
    reader = _Reader(node_of(url, timeout=timeout), timeout)
    contract = to_checksum_address(contract)
    head = int(reader.ask("eth_blockNumber"), 16)
    events: dict[str, list[dict[str, Any]]] = {}
    for low in range(first_block, head + 1, LOGS_AT_ONCE):
        wanted = {
            "address": contract,
            "fromBlock": hex(low),
            "toBlock": hex(min(low + LOGS_AT_ONCE - 1, head)),
        }
        for log in reader.ask("eth_getLogs", wanted):
            entry = {"topics": list(log["topics"]), "data": log["data"]}
            events.setdefault(log["transactionHash"], []).append(entry)
    if not events:
        raise EvidenceError(
            f"the chain tells nothing about {contract}; check the address, and that its "
            f"deployment is not before block {first_block}"
        )
    transactions = [reader.entry(digest, left) for digest, left in events.items()]
    transactions.sort(key=lambda entry: (entry["block_number"], entry["index"]))
    return {
        "version": VERSION,
        "chain_id": reader.chain_id,
        "contract": contract,
        "transactions": transactions,
    }


def decode(entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return name and fields of the call that one entry of a history made.

    The deployment is named `deploy` and has no fields here.
    """
    if entry["to"] is None:
        return "deploy", {}
    try:
        return decode_call(bytes.fromhex(entry["input"].removeprefix("0x")))
    except (WireError, ValueError) as error:
        raise EvidenceError(f"transaction {entry['hash']} is no call of the contract") from error


class _Reader:
    def __init__(self, node: Node, timeout: float) -> None:
        self._node = node
        self._timeout = timeout
        self._times: dict[str, int] = {}
        self.chain_id = int(self.ask("eth_chainId"), 16)

    def ask(self, method: str, *params: Any) -> Any:
        try:
            return ask(self._node, method, list(params), end=time.monotonic() + self._timeout)
        except RpcError as error:
            raise EvidenceError(f"the node refused {method}: {error.message}") from error

    def entry(self, digest: str, events: list[dict[str, Any]]) -> dict[str, Any]:
        fields = self.ask("eth_getTransactionByHash", digest)
        receipt = self.ask("eth_getTransactionReceipt", digest)
        try:
            transaction = from_rpc(fields, self.chain_id)
            return {
                "hash": "0x" + transaction.hash.hex(),
                "block_number": int(receipt["blockNumber"], 16),
                "index": int(receipt["transactionIndex"], 16),
                "timestamp": self._time(receipt["blockNumber"]),
                "from": transaction.sender,
                "to": transaction.to,
                "nonce": transaction.nonce,
                "input": "0x" + transaction.data.hex(),
                "raw": "0x" + transaction.raw.hex(),
                "status": int(receipt["status"], 16),
                "events": events,
            }
        except (WireError, KeyError, TypeError, ValueError) as error:
            raise EvidenceError(f"the node's transaction {digest}: {error}") from error

    def _time(self, block_number: str) -> int:
        if block_number not in self._times:
            block = self.ask("eth_getBlockByNumber", block_number, False)
            self._times[block_number] = int(block["timestamp"], 16)
        return self._times[block_number]
