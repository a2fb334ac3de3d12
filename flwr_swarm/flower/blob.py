"""Bytes that Flower's simulation hands between its processes without copying them again and again.

The simulation sends each message, and each member's state, to a process of Ray and back. Plain
bytes are copied into a pickle and out of it each time. Ours go beside the pickle (PEP 574), and
whoever receives them reads them where they lie, in memory that the processes share.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from flwr.app import Array, ArrayRecord

from .._octets import Octets
from .records import STYPE


class Blob(bytes):
    """Bytes that arrive elsewhere as a view of shared memory, where pickle's caller allows that."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        if protocol >= 5:
            return _received, (pickle.PickleBuffer(self),)
        return Blob, (bytes(self),)


def _received(data: Any) -> Any:
    """A blob again, or an array over the memory that it came in: arrays travel as blobs do."""
    if isinstance(data, bytes) or not len(view := memoryview(data)):
        return Blob(data)
    return np.frombuffer(view, dtype=np.uint8)


def blob_record(blobs: Mapping[str, Octets]) -> ArrayRecord:
    """Blobs as a record of our arrays: a stock strategy that is handed one fails closed.

    Flower sends an ArrayRecord in chunks, however large it is.
    """
    record = ArrayRecord()
    for name, data in blobs.items():
        array = Array(dtype="uint8", shape=(len(data),), stype=STYPE, data=b"")
        if isinstance(data, memoryview):  # Flower's constructors take bytes only
            array.data = cast(bytes, np.frombuffer(data, dtype=np.uint8))
        else:
            array.data = data if isinstance(data, Blob) else Blob(data)
        record[name] = array
    return record


def blob_of(array: Array) -> Octets:
    """The bytes in one of our arrays, uncopied."""
    data: Any = array.data
    return data if isinstance(data, bytes) else memoryview(data).cast("B").toreadonly()
