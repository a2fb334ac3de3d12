"""Signed transactions as bytes: parsed strictly, and rebuilt from what a node tells.

The sender is recovered from the signature, so a transaction's bytes are evidence of who called
the contract, whichever node they came from. Only EIP-1559 transactions are read: all that this
package sends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import rlp  # type: ignore[import-untyped]
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from flwr_swarm._exceptions import WireError

from . import shallow_rlp

TYPE: Final = b"\x02"
MAX_BYTES: Final = 1 << 17
_FIELDS: Final = 12
_ADDRESS_BYTES: Final = 20
HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


@dataclass(frozen=True, kw_only=True)
class SignedTransaction:
    """One EIP-1559 transaction, its sender recovered from its signature.

    Parameters
    ----------
    raw : bytes
        The transaction as it was sent.
    hash : bytes
        32-byte hash of `raw`.
    sender, to : str
        Checksummed addresses; `to` is None where the transaction creates a contract.
    data : bytes
        Calldata or init code.
    """

    raw: bytes = field(repr=False)
    hash: bytes
    chain_id: int
    nonce: int
    sender: str
    to: str | None
    value: int
    gas: int
    max_fee: int
    priority_fee: int
    data: bytes = field(repr=False)
    access_list: Any = ()
    signature: tuple[int, int, int] = field(repr=False)


def parse(raw: bytes) -> SignedTransaction:
    """Read one signed transaction.

    Raises
    ------
    WireError
        The bytes are no canonical EIP-1559 transaction, or its signature is malformed.
    """
    if not raw.startswith(TYPE) or len(raw) > MAX_BYTES:
        raise WireError(f"{len(raw)} bytes are no EIP-1559 transaction of at most {MAX_BYTES}")
    items = shallow_rlp.decode(raw[1:])
    if not isinstance(items, list) or len(items) != _FIELDS:
        raise WireError(f"an EIP-1559 transaction has {_FIELDS} fields")
    to, data, access_list = items[5], items[7], items[8]
    numbers = [_number(items[i]) for i in (0, 1, 2, 3, 4, 6, 9, 10, 11)]
    chain_id, nonce, priority_fee, max_fee, gas, value, parity, r, s = numbers
    if not isinstance(to, bytes) or len(to) not in {0, _ADDRESS_BYTES}:
        raise WireError("the receiver is no address")
    if not isinstance(data, bytes) or not _is_access_list(access_list):
        raise WireError("calldata or access list has the wrong shape")
    if parity > 1 or s > HALF_ORDER:
        raise WireError("the signature is not the one form that chains accept")
    unsigned = keccak(TYPE + rlp.encode(items[:9]))
    try:
        key = Signature(vrs=(parity, r, s)).recover_public_key_from_msg_hash(unsigned)
    except (BadSignature, ValidationError) as error:
        raise WireError("the transaction's signature is of no key") from error
    return SignedTransaction(
        raw=raw,
        hash=keccak(raw),
        chain_id=chain_id,
        nonce=nonce,
        sender=key.to_checksum_address(),
        to=to_checksum_address(to) if to else None,
        value=value,
        gas=gas,
        max_fee=max_fee,
        priority_fee=priority_fee,
        data=data,
        access_list=access_list,
        signature=(parity, r, s),
    )


def to_rpc(transaction: SignedTransaction) -> dict[str, Any]:
    """Return the transaction as nodes answer `eth_getTransactionByHash`, but for its place."""
    parity, r, s = transaction.signature
    return {
        "type": "0x2",
        "hash": "0x" + transaction.hash.hex(),
        "chainId": hex(transaction.chain_id),
        "nonce": hex(transaction.nonce),
        "from": transaction.sender.lower(),
        "to": transaction.to.lower() if transaction.to else None,
        "value": hex(transaction.value),
        "gas": hex(transaction.gas),
        "maxFeePerGas": hex(transaction.max_fee),
        "maxPriorityFeePerGas": hex(transaction.priority_fee),
        "input": "0x" + transaction.data.hex(),
        "accessList": [
            {"address": "0x" + a.hex(), "storageKeys": ["0x" + k.hex() for k in keys]}
            for a, keys in transaction.access_list
        ],
        "yParity": hex(parity),
        "v": hex(parity),
        "r": hex(r),
        "s": hex(s),
    }


def from_rpc(fields: dict[str, Any]) -> SignedTransaction:
    """Rebuild the signed bytes from a node's answer, and check them against its hash.

    Raises
    ------
    WireError
        The transaction is of another type, or the fields do not hash to what the node says.
    """
    try:
        if int(fields["type"], 16) != TYPE[0]:
            raise WireError(f"transaction type {fields['type']} is not EIP-1559's 0x2")
        parity = fields["yParity"] if "yParity" in fields else fields["v"]
        numbers = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas")
        items: list[Any] = [int(fields[name], 16) for name in numbers]
        items += [
            _bytes(fields["to"] or "0x"),
            int(fields["value"], 16),
            _bytes(fields["input"]),
            [
                [_bytes(entry["address"]), [_bytes(key) for key in entry["storageKeys"]]]
                for entry in fields["accessList"]
            ],
            *(int(number, 16) for number in (parity, fields["r"], fields["s"])),
        ]
        digest = _bytes(fields["hash"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WireError("the node's answer is no EIP-1559 transaction") from error
    transaction = parse(TYPE + rlp.encode(items))
    if transaction.hash != digest:
        raise WireError("the node's transaction does not hash to what the node says")
    return transaction


def _is_access_list(items: Any) -> bool:
    return isinstance(items, list) and all(
        isinstance(entry, list)
        and len(entry) == 2
        and isinstance(entry[0], bytes)
        and len(entry[0]) == _ADDRESS_BYTES
        and isinstance(entry[1], list)
        and all(isinstance(key, bytes) and len(key) == 32 for key in entry[1])
        for entry in items
    )


def _number(item: Any) -> int:
    if not isinstance(item, bytes) or item.startswith(b"\x00") or len(item) > 32:
        raise WireError("a number of the transaction is not canonical")
    return int.from_bytes(item, "big")


def _bytes(text: str) -> bytes:
    if not text.startswith("0x"):
        raise ValueError("hex without its prefix")
    return bytes.fromhex(text[2:])
