"""What the ledger's hashes are hashes of: models, layouts, terms. Canonical and domain-tagged."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .._octets import Octets

_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?', re.DOTALL)
"""A string, also one without an end: each byte is looked at once, whatever comes."""
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_OPENS: Final = np.frombuffer(b"[{", np.uint8)

Arrays = Mapping[str, NDArray[Any]]
"""A model: named arrays. Order of names never matters to a hash."""


def tagged_hash(tag: str, *parts: Octets) -> bytes:
    """SHA-256 over a domain tag and length-prefixed parts: no two inputs share an encoding."""
    digest = hashlib.sha256()
    for part in (f"flwr_swarm/v1/{tag}".encode(), *parts):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def canonical_json(value: Any) -> bytes:
    """The one JSON encoding of `value`: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def parse_json(
    data: bytes,
    *,
    deepest: int,
    pairs: Callable[[list[tuple[str, Any]]], dict[str, Any]] | None = None,
) -> Any:
    """JSON from a stranger, nested `deepest` levels at most; ValueError for anything else.

    Depth is checked before parsing: an EVM in the same process lifts Python's recursion limit,
    and then deep nesting would overflow the real stack. Only UTF-8 is read, as RFC 8259 has it:
    json itself would guess at UTF-16, whose quotes and brackets lie elsewhere. `pairs` makes
    objects, as json's `object_pairs_hook` does.
    """
    text = data.decode("utf-8")
    bare = np.frombuffer(_STRING.sub(b"", data).translate(None, _NO_BRACKETS), np.uint8)
    steps = np.where(np.isin(bare, _OPENS), np.int8(1), np.int8(-1))
    if np.cumsum(steps, dtype=np.int32).max(initial=0) > deepest:
        raise ValueError(f"JSON is nested deeper than {deepest} levels")
    return json.loads(text, object_pairs_hook=pairs)


def terms_hash(terms: Mapping[str, Any]) -> bytes:
    """32-byte hash under which a contract pins the numbers that all members share."""
    return tagged_hash("terms", canonical_json(terms))


def array_bytes(array: NDArray[Any]) -> tuple[str, bytes]:
    """Little-endian dtype string and C-order bytes of `array`, the same on every machine."""
    contiguous = np.ascontiguousarray(array).reshape(array.shape)
    little = contiguous.astype(contiguous.dtype.newbyteorder("<"), copy=False)
    return little.dtype.str, little.tobytes()


def arrays_hash(tag: str, arrays: Arrays) -> bytes:
    """Hash of named arrays: name, dtype, shape and bytes of each, by ascending name."""
    parts: list[bytes] = []
    for name in sorted(arrays):
        dtype, data = array_bytes(arrays[name])
        header = canonical_json([name, dtype, list(arrays[name].shape)])
        parts += [header, data]
    return tagged_hash(tag, *parts)


def model_hash(model: Arrays, state: Arrays) -> bytes:
    """The parent hash that a seal names: the global model and its strategy's server state.

    Parameters
    ----------
    model : Arrays
        Global model that members train on.
    state : Arrays
        Server-side optimiser state (momenta); empty for FedAvg and FedProx.
    """
    return tagged_hash("parent", arrays_hash("model", model), arrays_hash("state", state))
