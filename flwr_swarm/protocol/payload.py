"""A member's payload under either encryption, and the hash that its seal names."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import encryption
from .._exceptions import WireError
from .._octets import Octets
from ..encryption import wire
from ..encryption.hashes import ciphertext_hash
from .hashing import Arrays, array_bytes, canonical_json, parse_json, tagged_hash
from .terms import Terms
from .types import HASH_BYTES, ZERO_HASH

Metrics = dict[str, float | int | list[float] | list[int]]
Layout = tuple[tuple[str, int], ...]

_MAGIC = b"FSP1"
_LONGEST_LAYOUT = 65_536
_LONGEST_HEADER = 2**24
_MOST_SIDES = 64
_LONGEST_SIDE = 2**63
"""Bounds on a shape; what numbers a stranger has us multiply is long otherwise."""
_PLAIN_DTYPE = re.compile(r"[<|][fiub]\d{1,2}")
"""What `array_bytes` writes; numpy's own parser of dtypes evaluates more than that."""


def encode_layout(layout: Layout, asked: bytes = ZERO_HASH) -> bytes:
    """Names of metrics and how many numbers each holds, and what was asked, as canonical JSON.

    Officers add up payloads of one layout only. With `asked`, the hash of all else in the train
    message, in it, a relay that has some members train otherwise than the rest (a learning rate
    of zero for all but one, say) gets no sum over both.
    """
    return canonical_json({"asked": asked.hex(), "metrics": [list(entry) for entry in layout]})


def decode_layout(data: bytes) -> Layout:
    """The names and counts in `data`, which must be their one canonical encoding."""
    try:
        if len(data) > _LONGEST_LAYOUT:
            raise ValueError
        fields = parse_json(data, deepest=3)
        entries = tuple((str(name), int(count)) for name, count in fields["metrics"])
        asked = bytes.fromhex(fields["asked"])
        if encode_layout(entries, asked) != data or any(count < 0 for _, count in entries):
            raise ValueError
        if len(asked) != HASH_BYTES:
            raise ValueError
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise WireError(
            "a layout is not canonical JSON of a hash and [name, count] pairs"
        ) from None
    return entries


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """A payload, read once.

    Parameters
    ----------
    hash : bytes
        32 bytes that fix payload, layout and sender.
    form : hashable
        What payloads must have in common to be merged: number of lanes, or names and shapes.
    body : bytes
        32 bytes that fix the payload alone.
    ciphertext : wire.Ciphertext or None
        Under threshold encryption.
    """

    hash: bytes
    form: Hashable = field(repr=False)
    body: bytes = field(repr=False)
    ciphertext: wire.Ciphertext | None = field(default=None, repr=False)


def parse_payload(terms: Terms, layout: bytes, payload: Octets, sender: int) -> Parsed:
    """Read a payload and its layout; `WireError` if one is malformed.

    With the sender in its hash, a hash that another member copies from a pending transaction is
    one to which that member has no payload.
    """
    decode_layout(layout)
    ciphertext = None
    kind = terms.encryption
    if kind == "threshold":
        ciphertext = wire.read_ciphertext(payload, terms.codec().ring)
        form: Hashable = ciphertext.lanes
        body = ciphertext_hash(ciphertext)
    else:
        form, body = _plain_form(payload), plain_hash(payload)
    digest = named_hash(terms, layout, body, sender)
    return Parsed(hash=digest, form=form, body=body, ciphertext=ciphertext)


def named_hash(terms: Terms, layout: bytes, body: bytes, sender: int) -> bytes:
    """The hash that a seal names, from the payload's own.

    Whoever has that and not the payload can tell which layout was sealed.
    """
    kind = terms.encryption.encode()
    return tagged_hash("payload", kind, sender.to_bytes(1, "big"), layout, body)


def payload_hash(terms: Terms, layout: bytes, payload: Octets, sender: int) -> bytes:
    """32 bytes that fix payload, layout and sender. A malformed payload raises `WireError`."""
    return parse_payload(terms, layout, payload, sender).hash


def _plain_form(payload: Octets) -> Hashable:
    arrays, metrics, names = decode_plain(payload)
    forms = tuple((name, array.dtype.str, array.shape) for name, array in arrays.items())
    sizes = ((n, len(v) if isinstance(v, list) else None) for n, v in metrics.items())
    return names, forms, frozenset(sizes)


def aggregate_hash(terms: Terms, merged: Octets) -> bytes:
    """32 bytes that fix the merge: of the canonical sum, or of the list of inputs."""
    if terms.encryption == "threshold":
        return encryption.aggregate_hash(merged, terms.codec().ring)
    return tagged_hash("aggregate", merged)


def plain_hash(payload: Octets) -> bytes:
    """Hash of a plaintext payload. Only its canonical encoding has one."""
    arrays, metrics, names = decode_plain(payload)
    if encode_plain(arrays, metrics, names) != payload:
        raise WireError("a plaintext payload is not in its canonical encoding")
    return tagged_hash("plain", payload)


def encode_plain(arrays: Arrays, metrics: Metrics, names: tuple[str, str]) -> bytes:
    """The plaintext baseline's payload: a member's reply, bit for bit.

    Parameters
    ----------
    arrays, metrics
        The reply's one ArrayRecord and one MetricRecord, in their order.
    names : tuple of str
        Names of the two records, so that the strategy sees the reply as the member gave it.
    """
    encoded = [array_bytes(array) for array in arrays.values()]
    header = json.dumps(
        {
            "names": list(names),
            "arrays": [
                [name, dtype, list(array.shape)]
                for (name, array), (dtype, _) in zip(arrays.items(), encoded, strict=True)
            ],
            "metrics": list(metrics.items()),
        },
        separators=(",", ":"),
    ).encode()
    return b"".join([_MAGIC, len(header).to_bytes(4, "big"), header, *(d for _, d in encoded)])


def decode_plain(
    payload: Octets,
) -> tuple[dict[str, np.ndarray[Any, Any]], Metrics, tuple[str, str]]:
    """Arrays, metrics and record names of a plaintext payload.

    Raises
    ------
    WireError
        If the bytes are anything but an encoding by `encode_plain`.
    """
    try:
        size = int.from_bytes(payload[4:8], "big")
        if payload[:4] != _MAGIC or size > min(_LONGEST_HEADER, len(payload) - 8):
            raise ValueError
        header = parse_json(bytes(payload[8 : 8 + size]), deepest=4)
        position, arrays = 8 + size, {}
        for name, dtype_name, shape in header["arrays"]:
            if not _PLAIN_DTYPE.fullmatch(str(dtype_name)):
                raise ValueError
            dtype = np.dtype(str(dtype_name))
            count = 1
            for length in shape[:_MOST_SIDES]:
                if type(length) is not int or not 0 <= length < _LONGEST_SIDE:
                    raise ValueError
                count *= length
            end = position + count * dtype.itemsize
            if end > len(payload) or str(name) in arrays:
                raise ValueError
            flat = np.frombuffer(payload, dtype, count, position)
            arrays[str(name)] = flat.reshape(tuple(shape)).copy()
            position = end
        metrics = {str(name): value for name, value in header["metrics"]}
        array_name, metric_name = header["names"]
        if position != len(payload) or not all(_is_metric(v) for v in metrics.values()):
            raise ValueError
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError):
        raise WireError("a plaintext payload is malformed; it was refused whole") from None
    return arrays, metrics, (str(array_name), str(metric_name))


def encode_arrays(arrays: Arrays) -> bytes:
    """Named arrays as bytes, in their order; the same on every machine."""
    return encode_plain(arrays, {}, ("", ""))


def decode_arrays(data: Octets) -> dict[str, np.ndarray[Any, Any]]:
    """What `encode_arrays` wrote; anything else is a `WireError`."""
    return decode_plain(data)[0]


def _is_metric(value: object) -> bool:
    """What Flower's MetricRecord takes: numbers, or lists of one kind of number."""
    if isinstance(value, list):
        return len({type(v) for v in value}) <= 1 and all(_is_number(v) for v in value)
    return _is_number(value)


def _is_number(value: object) -> bool:
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return type(value) is float


def merge_plain(payload_hashes: list[bytes]) -> bytes:
    """The plaintext baseline's "sum": the list of its inputs, by ascending member."""
    return b"".join(payload_hashes)
