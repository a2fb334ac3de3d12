"""The user's own records beside ours: which they are, and as numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict

from .._exceptions import UpdateMismatch, WireError
from ..protocol.hashing import Arrays, tagged_hash
from .npy import read_npy

FIELDS: Final = "flwr_swarm"
"""Name of the ConfigRecord that marks a swarm message."""
BLOBS: Final = "flwr_swarm.blobs"
STATE: Final = "flwr_swarm.state"
MODEL: Final = "flwr_swarm.model"
OURS: Final = (FIELDS, BLOBS, STATE, MODEL)
_NUMPY: Final = "numpy.ndarray"
"""What Flower calls the arrays of users."""
STYPE: Final = "flwr_swarm.v1"
"""Serialisation type of our arrays: a stock strategy that is handed one fails closed."""


def numpy_arrays(record: ArrayRecord) -> dict[str, np.ndarray[Any, Any]]:
    """Named arrays of one of the user's records, in its order.

    Raises
    ------
    WireError
        If one is no numpy array; whoever sent it chose its bytes.
    """
    arrays = {}
    for name, array in record.items():
        try:
            if array.stype != _NUMPY:
                raise WireError(f"it is of kind {array.stype[:40]!r}, expected {_NUMPY!r}")
            arrays[name] = read_npy(array.data)
        except WireError as error:
            raise WireError(f"array {name!r} is not readable: {error}") from None
    return arrays


def array_record(arrays: Arrays) -> ArrayRecord:
    """A record of named arrays."""
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})


def without_ours(content: RecordDict) -> RecordDict:
    """The user's part of a message: everything but our records."""
    return RecordDict({name: record for name, record in content.items() if name not in OURS})


def asked_hash(content: RecordDict, kind: str, run_config: Mapping[str, Any]) -> bytes:
    """32 bytes that fix what a message asks of the user's function, beside the model.

    Parameters
    ----------
    content : RecordDict
        Of the message; its ArrayRecords and our own records do not count.
    kind : str
        The message's type.
    run_config : mapping
        The run's config at the receiver; a sender leaves it empty.
    """
    asked = [
        (name, type(record).__name__, sorted(record.items()))
        for name, record in sorted(content.items())
        if name not in OURS and not isinstance(record, ArrayRecord)
    ]
    return tagged_hash("asked", repr((kind, asked, sorted(run_config.items()))).encode())


def only_arrays(content: RecordDict, what: str) -> tuple[str, ArrayRecord]:
    """Name and value of the one ArrayRecord of the user's in `content`."""
    records = [(n, r) for n, r in content.array_records.items() if n not in OURS]
    if len(records) != 1:
        raise UpdateMismatch(f"{what} holds {len(records)} ArrayRecords, expected exactly one")
    return records[0]


def only_metrics(content: RecordDict, weight_key: str) -> tuple[str, MetricRecord]:
    """Name and value of the one MetricRecord of a training reply; it must hold the weight."""
    records = list(content.metric_records.items())
    if len(records) != 1:
        raise UpdateMismatch(
            f"the training reply holds {len(records)} MetricRecords, expected exactly one with "
            f"{weight_key!r} in it"
        )
    name, record = records[0]
    weight = record.get(weight_key)
    if isinstance(weight, list) or weight is None:
        raise UpdateMismatch(
            f"the training reply's metric {weight_key!r} is {type(weight).__name__}; return the "
            "number of training examples under this name"
        )
    return name, record
