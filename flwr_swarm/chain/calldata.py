"""Calldata as the EVM reads it: every encoding that the contract takes, not only the usual one.

Solidity's decoder follows offsets wherever they lead inside the calldata, so many byte strings
make one call. Evidence holds what members signed; one who pads or reorders its calldata must
not make the run's evidence unreadable. This accepts what the contract accepts, and gives the
values that the contract sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from eth_utils.address import to_checksum_address

from flwr_swarm._exceptions import WireError

from .artifact import load
from .codec import SELECTOR, Fields, constructor, entry_of

_WORD: Final = 32
_RANGE: Final = 1 << 256
_SIGN: Final = 1 << 255
_MOST: Final = (1 << 64) - 1  # longest offset and length that Solidity follows
_COPIED: Final = frozenset({("propose", "change")})
"""Arguments that the contract copies to memory whole; it reads all others where they lie."""
_SIGNATURE: Final = 65
_MOST_COPIED: Final = 1 << 23
"""Bytes that one call can have the contract copy: within any block's gas it is less."""
_KINDS: Final = 6  # values of the one enumeration among the arguments


def decode_call(data: bytes) -> tuple[str, Fields]:
    """Return function name and fields of calldata.

    Raises
    ------
    WireError
        The bytes are no call of this contract, or the contract would revert on reading them.
    """
    entry = entry_of("function", data[:SELECTOR])
    name = entry["name"]
    return name, _Calldata(data, f"call {name}").fields(name, entry["inputs"], SELECTOR)


def decode_creation(data: bytes) -> Fields:
    """Return the constructor's fields from init code of the shipped contract.

    Raises
    ------
    WireError
        The code is not the shipped contract's, or its fields are malformed.
    """
    bytecode = load().bytecode
    if not data.startswith(bytecode):
        raise WireError("the init code is not the contract that this version ships")
    return _Calldata(data[len(bytecode) :], "constructor").fields("", constructor()["inputs"], 0)


@dataclass
class _Calldata:
    """Bytes with the reads of Solidity's decoder; `what` names them in errors."""

    data: bytes
    what: str
    copied: int = 0

    def fields(self, name: str, inputs: Sequence[Mapping[str, Any]], start: int) -> Fields:
        """Read the arguments of `name`, whose head begins at `start`."""
        self._check(len(self.data) - start >= sum(map(_head, inputs)))
        found, at = {}, start
        for component in inputs:
            copied = not name or (name, component["name"]) in _COPIED
            if _is_dynamic(component):
                found[component["name"]] = self._tail(component, start, at, copied)
            else:
                found[component["name"]] = self._value(component, at, copied)
            at += _head(component)
        return found

    def _value(self, component: Mapping[str, Any], at: int, copied: bool) -> Any:
        """Read what lies at `at`: a struct, or a value of one word."""
        if component["type"] == "tuple":
            return self._struct(component, at, copied)
        return _VALUES[_family(component["type"])](self, component, self._word(at))

    def _struct(self, component: Mapping[str, Any], start: int, copied: bool) -> Fields:
        found, at = {}, start
        for inner in component["components"]:
            if not _is_dynamic(inner):
                found[inner["name"]] = self._value(inner, at, copied)
            elif copied:
                found[inner["name"]] = self._tail(inner, start, at, copied)
            else:
                found[inner["name"]] = self._bytes_in_place(start, at)
            at += _head(inner)
        return found

    def _tail(self, component: Mapping[str, Any], base: int, at: int, copied: bool) -> Any:
        """Read what the offset at `at` leads to."""
        offset = self._word(at)
        self._check(offset <= _MOST)
        start = base + offset
        kind: str = component["type"]
        if kind == "tuple":
            self._check(len(self.data) - start >= sum(map(_head, component["components"])))
            return self._struct(component, start, copied)
        self._check(start + _WORD - 1 < len(self.data))
        length = self._word(start)
        self._check(length <= _MOST)
        start += _WORD
        if kind in {"bytes", "string"}:
            self._check(start + length <= len(self.data))
            # Many offsets may lead to the same bytes; the EVM's gas ends that, and so must we.
            self.copied += length
            self._check(self.copied <= len(self.data) + _MOST_COPIED)
            return _text(kind, self.data[start : start + length])
        inner = {**component, "type": kind.removesuffix("[]")}
        self._check(start + length * _head(inner) <= len(self.data))
        places = range(start, start + length * _head(inner), _head(inner))
        if not _is_dynamic(inner):
            return [self._value(inner, place, copied) for place in places]
        if copied:
            return [self._tail(inner, start, place, copied) for place in places]
        return [self._bytes_in_place(start, place) for place in places]

    def _bytes_in_place(self, base: int, at: int) -> bytes:
        """Read bytes whose offset is relative to `base`, and signed.

        They are signatures. Of one that is too long only so much is given as shows that: many
        may lie at the same place, which costs their sender nothing.
        """
        offset = _signed(self._word(at))
        self._check(offset < len(self.data) - base - (_WORD - 1))
        start = (base + offset) % _RANGE
        length = self._word(start)
        self._check(length <= _MOST)
        start = _signed((start + _WORD) % _RANGE)
        self._check(start <= len(self.data) - length)
        taken = min(length, _SIGNATURE + 1)
        return self.data[start : start + taken] if start >= 0 else bytes(taken)

    def _word(self, at: int) -> int:
        """Read 32 bytes; beyond the end there are zeros."""
        return int.from_bytes(self.data[at : at + _WORD].ljust(_WORD, b"\x00"), "big")

    def _check(self, holds: bool) -> None:
        if not holds:
            raise WireError(f"{self.what}: {len(self.data)} bytes are not its fields")

    def _uint(self, component: Mapping[str, Any], word: int) -> int:
        self._check(word < 1 << int(component["type"].removeprefix("uint")))
        if component.get("internalType", "").startswith("enum"):
            self._check(word < _KINDS)
        return word

    def _bool(self, _: Mapping[str, Any], word: int) -> bool:
        self._check(word <= 1)
        return word == 1

    def _account(self, _: Mapping[str, Any], word: int) -> str:
        self._check(word < 1 << 160)
        return str(to_checksum_address(word.to_bytes(20, "big")))

    def _hash(self, _: Mapping[str, Any], word: int) -> bytes:
        return word.to_bytes(_WORD, "big")


_VALUES: Final[dict[str, Callable[[_Calldata, Mapping[str, Any], int], Any]]] = {
    "uint": _Calldata._uint,
    "bool": _Calldata._bool,
    "address": _Calldata._account,
    "bytes": _Calldata._hash,
}


def _family(kind: str) -> str:
    return kind.rstrip("0123456789")


def _is_dynamic(component: Mapping[str, Any]) -> bool:
    kind = component["type"]
    if kind == "tuple":
        return any(map(_is_dynamic, component["components"]))
    return kind in {"bytes", "string"} or kind.endswith("[]")


def _head(component: Mapping[str, Any]) -> int:
    """How many bytes a field takes in the head that it is part of."""
    if component["type"] == "tuple" and not _is_dynamic(component):
        return sum(map(_head, component["components"]))
    return _WORD


def _signed(word: int) -> int:
    return word - _RANGE if word >= _SIGN else word


def _text(kind: str, content: bytes) -> bytes | str:
    return content if kind == "bytes" else content.decode("utf-8", "surrogateescape")
