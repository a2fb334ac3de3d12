"""The contract's ABI in both directions: calls, results, errors and events as plain data.

Decoding is strict: what a node answers must re-encode to itself. Calldata is another matter,
since members write it: `calldata` reads that.

A string of the contract is any bytes, whatever its type promises. Here it is text in which
bytes that are not UTF-8 are surrogate escapes, so that no member can write what others cannot
read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from flwr_swarm._exceptions import WireError

from .artifact import load

SELECTOR: Final = 4
Fields = dict[str, Any]


@cache
def _entries(kind: str) -> dict[str, Mapping[str, Any]]:
    return {entry["name"]: entry for entry in load().abi if entry["type"] == kind}


@cache
def _by_hash(kind: str) -> dict[bytes, Mapping[str, Any]]:
    size = 32 if kind == "event" else SELECTOR
    return {_hash(e)[:size]: e for e in _entries(kind).values()}


@cache
def constructor() -> Mapping[str, Any]:
    """Return the constructor's entry of the ABI."""
    return next(entry for entry in load().abi if entry["type"] == "constructor")


def _type(component: Mapping[str, Any]) -> str:
    kind: str = component["type"]
    if not kind.startswith("tuple"):
        return kind
    inner = ",".join(_type(c) for c in component["components"])
    return f"({inner}){kind.removeprefix('tuple')}"


def _types(components: Sequence[Mapping[str, Any]]) -> list[str]:
    """Types for the wire, where a string is encoded as its bytes are."""
    return [_type(c).replace("string", "bytes") for c in components]


def _hash(entry: Mapping[str, Any]) -> bytes:
    return keccak(text=f"{entry['name']}({','.join(map(_type, entry['inputs']))})")


def _lower(component: Mapping[str, Any], value: Any) -> Any:
    """Turn named fields into the tuples that eth_abi takes."""
    kind: str = component["type"]
    if kind.startswith("tuple["):
        return [_lower({**component, "type": "tuple"}, item) for item in value]
    if kind == "tuple":
        return tuple(_lower(c, value[c["name"]]) for c in component["components"])
    if kind == "string[]":
        return [item.encode("utf-8", "surrogateescape") for item in value]
    return value.encode("utf-8", "surrogateescape") if kind == "string" else value


def _raise(component: Mapping[str, Any], value: Any) -> Any:
    """Turn eth_abi's tuples into named fields."""
    kind: str = component["type"]
    if kind.startswith("tuple["):
        return [_raise({**component, "type": "tuple"}, item) for item in value]
    if kind == "tuple":
        return _named(component["components"], value)
    if kind == "string[]":
        return [item.decode("utf-8", "surrogateescape") for item in value]
    if kind == "string":
        return value.decode("utf-8", "surrogateescape")
    return to_checksum_address(value) if kind == "address" else value


def _named(components: Sequence[Mapping[str, Any]], values: Sequence[Any]) -> Fields:
    return {c["name"]: _raise(c, v) for c, v in zip(components, values, strict=True)}


def _encode(components: Sequence[Mapping[str, Any]], fields: Fields) -> bytes:
    return encode(_types(components), [_lower(c, fields[c["name"]]) for c in components])


def _decode(components: Sequence[Mapping[str, Any]], data: bytes, what: str) -> Fields:
    try:
        values = decode(_types(components), data)
    except (DecodingError, OverflowError) as error:
        raise WireError(f"{what}: {len(data)} bytes are not its fields ({error})") from error
    if encode(_types(components), values) != data:
        raise WireError(f"{what}: {len(data)} bytes are not the one encoding of its fields")
    return _named(components, values)


def encode_call(name: str, fields: Fields) -> bytes:
    """Return the calldata of function `name`."""
    entry = _entries("function")[name]
    return _hash(entry)[:SELECTOR] + _encode(entry["inputs"], fields)


def entry_of(kind: str, selector: bytes) -> Mapping[str, Any]:
    """Return the entry of the ABI for a function's or an error's selector.

    Raises
    ------
    WireError
        There is none.
    """
    entry = _by_hash(kind).get(selector)
    if entry is None:
        raise WireError(f"selector 0x{selector.hex()} is no {kind} of the contract")
    return entry


def error_selector(name: str) -> bytes:
    """Return the first 4 bytes of the revert data of error `name`."""
    return _hash(_entries("error")[name])[:SELECTOR]


def decode_result(name: str, data: bytes) -> Fields:
    """Return what function `name` returned, by name."""
    return _decode(_entries("function")[name]["outputs"], data, f"result of {name}")


def decode_error(data: bytes) -> tuple[str, Fields] | None:
    """Return name and fields of a contract's error, or None if it is not one of ours."""
    entry = _by_hash("error").get(data[:SELECTOR])
    if entry is None:
        return None
    return entry["name"], _decode(entry["inputs"], data[SELECTOR:], f"error {entry['name']}")


def decode_event(topics: Sequence[bytes], data: bytes) -> tuple[str, Fields]:
    """Return name and fields of one event of the contract."""
    entry = _by_hash("event").get(topics[0]) if topics else None
    if entry is None:
        raise WireError("a log of the contract is none of its events")
    indexed = [c for c in entry["inputs"] if c["indexed"]]
    if len(indexed) != len(topics) - 1:
        raise WireError(f"event {entry['name']}: {len(topics)} topics, needs {len(indexed) + 1}")
    fields = _decode(indexed, b"".join(topics[1:]), f"event {entry['name']}")
    rest = [c for c in entry["inputs"] if not c["indexed"]]
    fields |= _decode(rest, data, f"event {entry['name']}")
    return entry["name"], fields


def encode_struct(function: str, argument: str, value: Fields) -> bytes:
    """Return the ABI encoding of one struct: the argument of that name of `function`."""
    return _encode([_argument(function, argument)], {argument: value})


def decode_struct(function: str, argument: str, data: bytes) -> Fields:
    """Return the fields of what `encode_struct` made."""
    fields = _decode([_argument(function, argument)], data, argument)
    found: Fields = fields[argument]
    return found


def _argument(function: str, name: str) -> Mapping[str, Any]:
    inputs = _entries("function")[function]["inputs"]
    return next(component for component in inputs if component["name"] == name)


def encode_creation(fields: Fields) -> bytes:
    """Return the init code: bytecode, then the constructor's fields."""
    return load().bytecode + _encode(constructor()["inputs"], fields)
