"""Mutations of Flower's records that know our fields and blobs, and how they are read and told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as Proto
from fuzz_bytes import blind, edge

from flwr_swarm.flower import write
from flwr_swarm.flower.read import Fields
from flwr_swarm.flower.records import BLOBS, FIELDS, MODEL, STATE, STYPE

_UNTOLD = ("phase", "label")
"""A phase is no part of what is read; a label is cut to length, and for people only."""


class NotOurs(Exception):
    """Flower's own parser refused the bytes: they never come to us."""


def packed(content: Any) -> bytes:
    """Records as Flower sends them."""
    records = content if isinstance(content, RecordDict) else RecordDict(dict(content))
    return bytes(recorddict_to_proto(records).SerializeToString(deterministic=True))


def unpacked(data: bytes) -> RecordDict:
    """Records as Flower hands them over."""
    try:
        return recorddict_from_proto(Proto.FromString(data))
    except Exception as error:
        raise NotOurs from error


def reader(kind: str) -> Callable[[bytes], Any]:
    """The decoder of one kind of message."""

    def read(data: bytes) -> Any:
        return getattr(Fields(unpacked(data)), kind)()

    return read


def faithful(kind: str) -> Callable[[bytes, Any], bool]:
    """What was read, told again, is in the message word for word, and is read as the same."""

    def holds(data: bytes, value: Any) -> bool:
        told = RecordDict(dict(getattr(write, kind)(value)))
        there = unpacked(data)
        for name, field in told.config_records[FIELDS].items():
            found = there.config_records[FIELDS].get(name, [])
            if name not in _UNTOLD and (type(found) is not type(field) or found != field):
                return False
        for name, blob in told.array_records.get(BLOBS, {}).items():
            found = there.array_records[BLOBS].get(name)
            if found is None or bytes(found.data) != bytes(blob.data):
                return False
        again = packed(told)
        return packed(getattr(write, kind)(reader(kind)(again))) == again

    return holds


def _field(random: Random, fields: ConfigRecord, other: ConfigRecord) -> None:
    name = random.choice(sorted(fields))
    old = fields[name]
    match random.randrange(8):
        case 0:
            del fields[name]
            return
        case 1:
            fields[name] = other.get(name, random.choice(list(other.values()) or [0]))
            return
        case 2:
            fields[name] = random.choice(
                (
                    0,
                    -1,
                    2**63 - 1,
                    -(2**63),
                    1.5,
                    float("nan"),
                    True,
                    "",
                    "x" * 5000,
                    b"",
                    b"[" * 999,
                    [],
                    [0],
                    [1, 0],
                    [3, 3],
                    [-1],
                    [256],
                    list(range(300)),
                    [0.5],
                    ["a"],
                    [b"a"],
                )
            )
            return
    if type(old) is int:
        value = random.choice((old + 1, old - 1, -old, edge(random)))
        fields[name] = min(max(value, -(2**63)), 2**63 - 1)  # Flower sends no others
    elif isinstance(old, bytes):
        fields[name] = blind(random, old, [old])
    elif isinstance(old, str) and old:
        at = random.randrange(len(old))
        fields[name] = random.choice(
            (old[:at], old.upper(), old + old, old + "/../x", "\x00" + old)
        )
    elif isinstance(old, list):
        fields[name] = random.choice((old[::-1], old + old[-1:], old[:-1], old * 90))


def _blob(random: Random, record: ArrayRecord, other: ArrayRecord) -> None:
    name = random.choice(sorted(record))
    old = record[name]
    data, stype, dtype = bytes(old.data), old.stype, old.dtype
    match random.randrange(8):
        case 0:
            del record[name]
            return
        case 1:
            stype = random.choice(("", STYPE, "numpy.ndarray", "pickle", "x" * 900))
        case 2:
            data = bytes(other[random.choice(sorted(other))].data)
        case 3:
            dtype = random.choice(("object", "float32", ""))
        case 4:
            record[random.choice((name + "x", "payload", "opening", "envelope/255"))] = old
            return
        case _:
            data = array_bytes(random, data, [data])
    record[name] = Array(dtype=dtype, shape=(len(data),), stype=stype, data=data)


_SHAPES = (
    b"(0,)",
    b"()",
    b"(134217728,)",
    b"(1099511627776,)",
    b"(9223372036854775807, 0)",
    b"(4, 4)",
    b"(-1,)",
)
_DTYPES = (b"|O", b"<f8", b"<f0", b"<i3", b"<U9", b"|V3", b">f4", b"<c16", b"f4,f4", b"|S10")


def array_bytes(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """An array as numpy saves it, with another header; anything else with other bytes."""
    if not data.startswith(b"\x93NUMPY") or random.random() < 0.4:
        return blind(random, data, others)
    end = 10 + int.from_bytes(data[8:10], "little")
    header, rest = data[10:end], data[end:]
    shape = header[header.find(b"(") : header.find(b")") + 1]
    dtype = header[header.find(b": '") + 3 : header.find(b"', 'f")]
    match random.randrange(5):
        case 0:
            header = header.replace(shape, random.choice(_SHAPES), 1)
        case 1:
            header = header.replace(dtype, random.choice(_DTYPES), 1)
        case 2:
            header = header.replace(b"False", random.choice((b"True", b"1", b"[]")), 1)
        case 3:
            header = header.replace(b"{", random.choice((b"{{", b"{'x': 1, ", b"(" * 90)), 1)
        case _:
            rest = random.choice((rest[:-1], rest + b"\x00", rest * 2, b""))
    size = random.choice((len(header),) * 5 + (0, 65535))
    return data[:8] + size.to_bytes(2, "little") + header + rest


def records(random: Random, message: bytes, others: Sequence[bytes]) -> bytes:
    """A message with one to three of its fields, blobs or records odd."""
    content, other = unpacked(message), unpacked(random.choice(others))
    for _ in range(random.choice((1, 1, 2, 3))):
        names = [n for n in (BLOBS, MODEL, STATE) if content.array_records.get(n)]
        fields = content.config_records.get(FIELDS)
        if names and random.random() < 0.5:
            name = random.choice(names)
            theirs = other.array_records.get(name) or content.array_records[name]
            _blob(random, content.array_records[name], theirs)
        elif fields:
            _field(random, fields, other.config_records.get(FIELDS, fields))
    if random.random() < 0.03:
        del content[random.choice(sorted(content))]
    made = packed(content)
    return blind(random, made, others) if random.random() < 0.08 else made
