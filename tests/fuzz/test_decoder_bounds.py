"""Inputs that once took more time or memory than their size: each is refused by name, cheaply.

Where time was the trouble, the old way would not end before pytest's own limit.
"""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rlp
from flwr.app import Array, ArrayRecord
from hypothesis import given
from hypothesis import strategies as st

from flwr_swarm._exceptions import EvidenceError, WireError
from flwr_swarm.chain import shallow_rlp
from flwr_swarm.chain.answers import checked
from flwr_swarm.chain.calldata import decode_call
from flwr_swarm.chain.codec import encode_call
from flwr_swarm.chain.envelopes import parse
from flwr_swarm.flower.npy import read_npy
from flwr_swarm.flower.records import numpy_arrays
from flwr_swarm.protocol.hashing import parse_json
from flwr_swarm.protocol.payload import decode_plain
from flwr_swarm.report.evidence import load_arrays, save_arrays

_MIB = 1 << 20


def peak(use: Callable[[], Any]) -> int:
    """Bytes of memory that a call took, whether or not it ended in a named error."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        with suppress(WireError, EvidenceError, ValueError):
            use()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


# --- JSON ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [b'"', b'["a",', b'{"a":"b"'])
@pytest.mark.parametrize("quote", [b'\\"', b'"\\', b"\\", b'\\"a'])
def test_a_string_without_an_end_is_read_once(start: bytes, quote: bytes) -> None:
    """Two megabytes took hours: from each quote on, all the rest was looked at again."""
    with pytest.raises(ValueError, match=r"."):
        parse_json(start + b'"' + quote * (_MIB // len(quote)), deepest=4)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-32", "utf-8-sig"])
def test_json_is_utf_8_so_that_no_quote_hides_a_depth(encoding: str) -> None:
    """The low byte of U+2200 is no quote, and its high byte is one: brackets lay between two."""
    hidden = '["∀", ' + "[" * 3000 + "]" * 3000 + ', "∀"]'
    for text in (hidden, "[1]"):
        with pytest.raises(ValueError, match=r"."):
            parse_json(text.encode(encoding), deepest=4)


@pytest.mark.parametrize("piece", [b"[],", b'"",', b'"ab",', b"{},", b"1,", b'{"a":{}},'])
def test_json_takes_memory_in_proportion_to_its_size(piece: bytes) -> None:
    data = b"[" + piece * (_MIB // len(piece)) + b"1]"
    assert peak(lambda: parse_json(data, deepest=4)) < 64 * len(data)


# --- arrays -------------------------------------------------------------------------------------


def npy(shape: str, dtype: str = "<f8", data: bytes = b"") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize("shape", ["(536870912,)", "(1099511627776,)", "(65536, 65536)"])
def test_a_header_that_claims_gigabytes_gets_none(shape: str) -> None:
    record = ArrayRecord(
        {"w": Array(dtype="f8", shape=(1,), stype="numpy.ndarray", data=npy(shape))}
    )
    assert peak(lambda: numpy_arrays(record)) < _MIB
    with pytest.raises(WireError, match="'w'"):
        numpy_arrays(record)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY\x01\x00",
        npy("(1,)"),
        npy("(1,)", data=bytes(9)),
        npy("(-1,)"),
        npy("(1,)", "|O", bytes(8)),
        npy("(1,)", "<U9", bytes(35)),
        npy("(1,)", "<U999999999", bytes(36)),
        npy("(1,)", "<M8[q]", bytes(8)),
        npy("(1,)", "<f0"),
        npy("(1,)", "f4,f4", bytes(8)),
        npy("(0, " + "9" * 19 + ")"),
        npy("(" + "1, " * 40 + ")", data=bytes(8)),
        npy("()", data=bytes(8)).replace(b"\x01\x00", b"\x02\x00", 1),
    ],
)
def test_what_numpy_does_not_write_of_a_plain_array_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        read_npy(data)


@given(
    shape=st.lists(st.integers(0, 3), max_size=4).map(tuple),
    dtype=st.sampled_from(["<f4", ">f8", "|b1", "|i1", "<i8", "<u2", "<f2", "<c16", "|V2"]),
    fortran=st.booleans(),
)
def test_what_numpy_writes_is_read_to_the_bit(shape: Any, dtype: str, fortran: bool) -> None:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    array = np.frombuffer(bytes(i * 37 % 251 for i in range(size)), dtype).reshape(shape)
    array = np.asfortranarray(array) if fortran and array.ndim else array
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    found = read_npy(stream.getvalue())
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()
    assert found.flags.writeable


def test_an_archive_that_grows_is_no_evidence(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/w.npy", npy("(16777216,)", data=bytes(1 << 27)))
    assert path.stat().st_size < _MIB
    assert peak(lambda: load_arrays(path)) < _MIB
    with pytest.raises(EvidenceError, match="compressed"):
        load_arrays(path)


def test_an_archive_as_we_write_it_is_read(tmp_path: Path) -> None:
    model = {"a/b.npy": np.arange(3.0), "c": np.array(2)}
    save_arrays(tmp_path / "a.npz", model, {"m": np.zeros((0, 2))})
    found, state = load_arrays(tmp_path / "a.npz")
    assert {n: a.tolist() for n, a in found.items()} == {"a/b.npy": [0.0, 1.0, 2.0], "c": 2}
    assert state["m"].shape == (0, 2)


def test_a_shape_is_not_multiplied_for_ever() -> None:
    """Thousands of numbers of thousands of digits took minutes before they were found too large."""
    sides = [int("9" * 4000)] * 3000
    header = json.dumps({"names": ["a", "m"], "arrays": [["w", "<f4", sides]], "metrics": []})
    data = b"FSP1" + len(header).to_bytes(4, "big") + header.encode()
    with pytest.raises(WireError):
        decode_plain(data)


# --- the chain ----------------------------------------------------------------------------------


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def certificates(count: int, size: int) -> bytes:
    """A call with `count` signatures that all lie at one place, where `size` bytes are."""
    fields = {"round": 1, "view_": 0, "included": 3, "aggregateHash": bytes(32), "signers": 3}
    head = encode_call("certify", {**fields, "signatures": []})[: 4 + 5 * 32]
    offsets = word(32 * count) * count
    return head + word(6 * 32) + word(count) + offsets + word(size) + bytes(size)


def test_signatures_that_lie_at_one_place_are_not_copied_each() -> None:
    decode_call(certificates(2, 65))  # what is made once and kept
    data = certificates(8000, 256_000)
    assert peak(lambda: decode_call(data)) < 8 * len(data)  # they would be 2 GB
    assert {len(s) for s in decode_call(data)[1]["signatures"]} == {66}
    assert decode_call(certificates(2, 65))[1]["signatures"] == [bytes(65)] * 2


def nested(depth: int) -> bytes:
    data = b"\xc0"
    for _ in range(depth):
        size = len(data)
        width = (size.bit_length() + 7) // 8
        head = bytes([0xC0 + size]) if size < 56 else bytes([0xF7 + width]) + size.to_bytes(width)
        data = head + data
    return data


@pytest.mark.parametrize("depth", [5, 500, 30_000])
def test_a_transaction_of_nested_lists_is_refused_at_the_door(depth: int) -> None:
    """Where the EVM has lifted Python's limit, time grew with the square of the depth."""
    data = nested(depth)
    for kind in (b"", b"\x02"):
        assert peak(lambda kind=kind: parse(kind + data, 7)) < 8 * len(data) + _MIB
        with pytest.raises(WireError):
            parse(kind + data, 7)


_ITEMS = st.recursive(
    st.binary(max_size=70), lambda inner: st.lists(inner, max_size=4), max_leaves=9
)


def _depth(item: Any) -> int:
    return 1 + max(map(_depth, item), default=0) if isinstance(item, list) else 0


@given(_ITEMS)
def test_shallow_rlp_is_rlp(item: Any) -> None:
    data = rlp.encode(item)
    if _depth(item) <= shallow_rlp.DEEPEST:
        assert shallow_rlp.decode(data) == item
    else:
        with pytest.raises(WireError, match="deeper"):
            shallow_rlp.decode(data)


@given(_ITEMS, st.data())
def test_shallow_rlp_refuses_what_the_library_refuses(item: Any, data: st.DataObject) -> None:
    encoded = bytearray(rlp.encode(item))
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, len(encoded) - 1))
        encoded[at] = data.draw(
            st.sampled_from([0, 1, 0x7F, 0x80, 0x81, 0xB8, 0xC0, 0xC1, 0xF8, 255])
        )
    end = data.draw(st.sampled_from([0, 0, 1]))
    raw = bytes(encoded) + bytes(end)
    try:
        expected = rlp.decode(raw, strict=True)
    except rlp.DecodingError:
        with pytest.raises(WireError):
            shallow_rlp.decode(raw)
        return
    if _depth(expected) <= shallow_rlp.DEEPEST:
        assert shallow_rlp.decode(raw) == expected


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("eth_chainId", None),
        ("eth_chainId", 77),
        ("eth_chainId", "77"),
        ("eth_chainId", "0x" + "1" * 65),
        ("eth_call", "0x1"),
        ("eth_call", {}),
        ("eth_getCode", "0x zz"),
        ("eth_getLogs", {}),
        ("eth_getLogs", [{"topics": [1], "data": "0x"}]),
        ("eth_getBlockByNumber", {"hash": "0x00"}),
        ("eth_getTransactionReceipt", {"status": 1}),
        ("eth_getTransactionByHash", []),
    ],
)
def test_a_node_s_answer_of_another_form_is_a_wire_error(method: str, answer: Any) -> None:
    with pytest.raises(WireError, match=method):
        checked(method, answer)
