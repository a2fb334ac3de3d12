"""Bytes that Flower's simulation hands between its processes without copying them into a pickle.

Flower's simulation sends each message, and each member's state, to a process of Ray and back. As
plain bytes they are copied into a pickle and out of it each time: 20 MB take 0.1 s there and back.
"""

from __future__ import annotations

import pickle
from typing import Any

from flwr.app import Array

from .records import STYPE


class Blob(bytes):
    """Bytes that pickle passes out of band where its caller allows that (PEP 574)."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        if protocol >= 5:
            return Blob, (pickle.PickleBuffer(self),)
        return Blob, (bytes(self),)


def blob_array(data: bytes) -> Array:
    """`data` as one of our arrays: a stock strategy that is handed one fails closed."""
    blob = data if isinstance(data, Blob) else Blob(data)
    return Array(dtype="uint8", shape=(len(data),), stype=STYPE, data=blob)


def blob_of(array: Array) -> bytes:
    """The bytes in one of our arrays, uncopied where they are bytes already."""
    return array.data if isinstance(array.data, bytes) else bytes(array.data)
