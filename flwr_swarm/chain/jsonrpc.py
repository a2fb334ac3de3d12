"""Ethereum's JSON-RPC as data: error codes, hex, and eth-tester's answers in a node's form."""

from __future__ import annotations

from typing import Any, Final

from flwr_swarm._exceptions import WireError

from .transactions import parse, to_rpc

PARSE_ERROR: Final = -32700
BAD_REQUEST: Final = -32600
NO_METHOD: Final = -32601
BAD_PARAMS: Final = -32602
REFUSED: Final = -32000
REVERTED: Final = 3
NEWEST: Final = frozenset({"latest", "pending", "safe", "finalized"})
PLACE: Final = ("blockHash", "blockNumber", "transactionIndex")


class RpcError(Exception):
    """An error object of JSON-RPC."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        self.code = code
        self.message = message
        self.data = data
        super().__init__(f"{code}: {message}")

    def as_object(self) -> dict[str, Any]:
        """Return the error as it travels."""
        fields = {"code": self.code, "message": self.message}
        return fields if self.data is None else fields | {"data": self.data}


def hexed(value: bytes) -> str:
    """Return bytes as JSON-RPC writes them."""
    return "0x" + bytes(value).hex()


def data(text: str) -> bytes:
    """Read bytes as JSON-RPC writes them."""
    if not text.startswith("0x"):
        raise ValueError("hex without its prefix")
    return bytes.fromhex(text[2:])


def address(text: str) -> bytes:
    """Read an address."""
    value = data(text)
    if len(value) != 20:
        raise ValueError("an address has 20 bytes")
    return value


def parse_transaction(raw: bytes, chain_id: int) -> dict[str, Any]:
    """Return a signed transaction in a node's form, if it is one for chain `chain_id`."""
    try:
        transaction = parse(raw)
    except WireError as error:
        raise RpcError(REFUSED, f"invalid transaction: {error}") from error
    if transaction.chain_id != chain_id:
        raise RpcError(
            REFUSED, f"invalid chain id: transaction for {transaction.chain_id}, this is {chain_id}"
        )
    return to_rpc(transaction)


def receipt(fields: dict[str, Any]) -> dict[str, Any]:
    """Return eth-tester's receipt in a node's form."""
    place = {
        "transactionHash": hexed(fields["transaction_hash"]),
        "transactionIndex": hex(fields["transaction_index"]),
        "blockHash": hexed(fields["block_hash"]),
        "blockNumber": hex(fields["block_number"]),
    }
    created = fields["contract_address"]
    return place | {
        "type": hex(fields["type"]),
        "from": hexed(fields["from"]),
        "to": hexed(fields["to"]) if fields["to"] else None,
        "contractAddress": hexed(created) if created else None,
        "status": hex(fields["status"]),
        "gasUsed": hex(fields["gas_used"]),
        "cumulativeGasUsed": hex(fields["cumulative_gas_used"]),
        "effectiveGasPrice": hex(fields["effective_gas_price"]),
        "logs": [
            place
            | {
                "address": hexed(log["address"]),
                "data": hexed(log["data"]),
                "topics": [hexed(topic) for topic in log["topics"]],
                "logIndex": hex(log["log_index"]),
                "removed": False,
            }
            for log in fields["logs"]
        ],
    }


def block(fields: dict[str, Any]) -> dict[str, Any]:
    """Return eth-tester's block in a node's form, transactions as hashes."""
    return {
        "number": hex(fields["number"]),
        "hash": hexed(fields["hash"]),
        "parentHash": hexed(fields["parent_hash"]),
        "stateRoot": hexed(fields["state_root"]),
        "timestamp": hex(fields["timestamp"]),
        "gasLimit": hex(fields["gas_limit"]),
        "gasUsed": hex(fields["gas_used"]),
        "baseFeePerGas": hex(fields["base_fee_per_gas"]),
        "transactions": [hexed(digest) for digest in fields["transactions"]],
    }


def choices(wanted: Any) -> frozenset[str]:
    """Read what a filter accepts in one place: one value, or a list of several."""
    return frozenset(str.lower(one) for one in ([wanted] if isinstance(wanted, str) else wanted))


def topics(wanted: Any) -> list[frozenset[str] | None]:
    """Read a filter of topics, by place; null stands for any."""
    return [None if choice is None else choices(choice) for choice in wanted]


def matches(found: list[str], wanted: list[frozenset[str] | None]) -> bool:
    """Whether a log's topics pass what `topics` read."""
    return len(found) >= len(wanted) and all(
        choice is None or topic.lower() in choice
        for topic, choice in zip(found, wanted, strict=False)
    )
