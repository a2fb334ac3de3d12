"""Signed transactions of every type that a chain may hold, as evidence.

This package sends EIP-1559 transactions alone. A member may send another type, or a larger one
than nodes pass on; the contract takes it, so evidence must be able to hold it.
"""

from __future__ import annotations

from typing import Any, Final

import rlp  # type: ignore[import-untyped]
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from flwr_swarm._exceptions import WireError

from . import shallow_rlp, transactions
from .transactions import HALF_ORDER, SignedTransaction

MAX_BYTES: Final = 1 << 24  # no block of the chains that this is for has room for more
_LEGACY: Final = b""
_WITH_ACCESS_LIST: Final = b"\x01"
_FEE_MARKET: Final = b"\x02"
# Where the fields of each type lie in its list; the fee is the highest that may be paid.
_PLACES: Final[dict[bytes, dict[str, int]]] = {
    _LEGACY: {"nonce": 0, "fee": 1, "gas": 2, "to": 3, "value": 4, "data": 5},
    _WITH_ACCESS_LIST: {"nonce": 1, "fee": 2, "gas": 3, "to": 4, "value": 5, "data": 6, "list": 7},
    _FEE_MARKET: {"nonce": 1, "fee": 3, "gas": 4, "to": 5, "value": 6, "data": 7, "list": 8},
}


def parse(raw: bytes, chain_id: int) -> SignedTransaction:
    """Read one signed transaction of type 0, 1 or 2.

    Parameters
    ----------
    raw : bytes
        As it was sent.
    chain_id : int
        Of the chain that took it. A transaction of type 0 may name none; then it is good on
        this one too.

    Raises
    ------
    WireError
        The bytes are no canonical transaction of these types, or its signature is malformed.
    """
    kind = raw[:1] if raw[:1] in {_WITH_ACCESS_LIST, _FEE_MARKET} else _LEGACY
    places = _PLACES[kind]
    if len(raw) > MAX_BYTES:
        raise WireError(f"a transaction of {len(raw)} bytes; at most {MAX_BYTES} are read")
    items = shallow_rlp.decode(raw[len(kind) :])
    unsigned = max(places.values()) + 1
    if not isinstance(items, list) or len(items) != unsigned + 3:
        raise WireError(f"the transaction has not the {unsigned + 3} fields of its type")
    numbers = {name: _number(items[places[name]]) for name in ("nonce", "fee", "gas", "value")}
    v, r, s = map(_number, items[unsigned:])
    content = items[:unsigned]
    if kind == _LEGACY:
        named, parity = (None, v - 27) if v in {27, 28} else divmod(v - 35, 2)
        if named is not None:
            content = [*content, named, 0, 0]
    else:
        named, parity = _number(items[0]), v
    to, data = items[places["to"]], items[places["data"]]
    if not isinstance(to, bytes) or len(to) not in {0, 20} or not isinstance(data, bytes):
        raise WireError("receiver or calldata has the wrong shape")
    if parity not in {0, 1} or s > HALF_ORDER or (named is not None and named < 0):
        raise WireError("the signature is not the one form that chains accept")
    try:
        key = Signature(vrs=(parity, r, s)).recover_public_key_from_msg_hash(
            keccak(kind + rlp.encode(content))
        )
    except (BadSignature, ValidationError) as error:
        raise WireError("the transaction's signature is of no key") from error
    return SignedTransaction(
        raw=raw,
        hash=keccak(raw),
        chain_id=chain_id if named is None else named,
        nonce=numbers["nonce"],
        sender=key.to_checksum_address(),
        to=to_checksum_address(to) if to else None,
        value=numbers["value"],
        gas=numbers["gas"],
        max_fee=numbers["fee"],
        priority_fee=_number(items[2]) if kind == _FEE_MARKET else numbers["fee"],
        data=data,
        access_list=items[places["list"]] if "list" in places else (),
        signature=(parity, r, s),
    )


def from_rpc(fields: dict[str, Any], chain_id: int) -> SignedTransaction:
    """Rebuild the signed bytes from a node's answer, and check them against its hash.

    Raises
    ------
    WireError
        The transaction is of another type, or the fields do not hash to what the node says.
    """
    try:
        kind = int(fields.get("type", "0x0"), 16)
        if kind == _FEE_MARKET[0] and len(fields["input"]) < transactions.MAX_BYTES:
            return transactions.from_rpc(fields)
        raw = _rebuilt(kind, fields)
        digest = bytes.fromhex(fields["hash"][2:])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, WireError):
            raise
        raise WireError("the node's answer is no transaction of type 0, 1 or 2") from error
    transaction = parse(raw, chain_id)
    if transaction.hash != digest:
        raise WireError("the node's transaction does not hash to what the node says")
    return transaction


def _rebuilt(kind: int, fields: dict[str, Any]) -> bytes:
    def number(name: str) -> int:
        return int(fields[name], 16)

    def content(text: str) -> bytes:
        return bytes.fromhex(text.removeprefix("0x"))

    to = content(fields["to"] or "0x")
    call = [number("gas"), to, number("value"), content(fields["input"])]
    signature = [number("r"), number("s")]
    if kind == 0:
        legacy = [number("nonce"), number("gasPrice"), *call, number("v"), *signature]
        return bytes(rlp.encode(legacy))
    listed = [
        [content(entry["address"]), [content(key) for key in entry["storageKeys"]]]
        for entry in fields["accessList"]
    ]
    names = {1: ["gasPrice"], 2: ["maxPriorityFeePerGas", "maxFeePerGas"]}.get(kind)
    if names is None:
        raise WireError(f"transaction type {kind} is none of 0, 1 and 2")
    parity = number("yParity") if "yParity" in fields else number("v")
    head = [number("chainId"), number("nonce"), *(number(name) for name in names)]
    return bytes([kind]) + bytes(rlp.encode([*head, *call, listed, parity, *signature]))


def _number(item: Any) -> int:
    if not isinstance(item, bytes) or item.startswith(b"\x00") or len(item) > 32:
        raise WireError("a number of the transaction is not canonical")
    return int.from_bytes(item, "big")
