"""Blobs arrive unchanged however a message travels, and uncopied where pickle allows that."""

from __future__ import annotations

import copy
import pickle

import numpy as np
from flwr.app import ArrayRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from hypothesis import given
from hypothesis import strategies as st

from flwr_swarm.flower.blob import blob_of, blob_record
from flwr_swarm.flower.read import Fields
from flwr_swarm.flower.write import swarm_records

blobs = st.dictionaries(st.text(max_size=5), st.binary(max_size=200), min_size=1, max_size=4)


def contents(record: ArrayRecord) -> dict[str, bytes]:
    return {name: bytes(blob_of(array)) for name, array in record.items()}


def sent(record: ArrayRecord) -> tuple[ArrayRecord, list[pickle.PickleBuffer]]:
    """As a process of the simulation gets it: what is beside the pickle is shared memory."""
    beside: list[pickle.PickleBuffer] = []
    stream = pickle.dumps(record, protocol=5, buffer_callback=beside.append)
    return pickle.loads(stream, buffers=beside), beside  # noqa: S301 - made here


@given(blobs, st.integers(2, 5))
def test_a_blob_is_the_same_after_any_pickle(data: dict[str, bytes], protocol: int) -> None:
    record = blob_record(data)
    stream = pickle.dumps(record, protocol=protocol)
    assert contents(pickle.loads(stream)) == data  # noqa: S301 - made here
    assert contents(copy.deepcopy(record)) == data


@given(blobs)
def test_a_blob_is_the_same_after_two_trips_between_processes(data: dict[str, bytes]) -> None:
    there, _ = sent(blob_record(data))
    again = blob_record({name: blob_of(array) for name, array in there.items()})
    back, _ = sent(again)
    assert contents(there) == contents(back) == data


def test_a_blob_lies_in_the_pickle_never_and_is_read_where_it_lies() -> None:
    data = np.random.default_rng(0).bytes(1 << 20)
    first, beside = sent(blob_record({"payload": data}))
    assert [bytes(buffer) for buffer in beside] == [data]
    view = blob_of(first["payload"])
    assert np.shares_memory(np.frombuffer(view, np.uint8), np.frombuffer(beside[0], np.uint8))
    second, beside = sent(blob_record({"payload": view}))
    lies = np.frombuffer(blob_of(second["payload"]), np.uint8)
    assert np.shares_memory(lies, np.frombuffer(beside[0], np.uint8))


def test_what_a_blob_lies_in_cannot_be_written() -> None:
    first, _ = sent(blob_record({"payload": b"abc"}))
    view = blob_of(first["payload"])
    assert isinstance(view, memoryview)
    assert view.readonly


@given(st.binary(min_size=1, max_size=100))
def test_flower_s_own_encoding_takes_a_blob(data: bytes) -> None:
    content = RecordDict(dict(swarm_records("merge", {}, {"payload": data})))
    arrived = recorddict_from_proto(recorddict_to_proto(content))
    assert Fields(arrived).blob("payload") == data
    assert bytes(Fields(arrived).large("payload")) == data
