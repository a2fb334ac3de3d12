"""Payloads and hashes: one encoding each, and no two contents share a hash."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flwr_swarm._exceptions import ConfigurationError, WireError
from flwr_swarm.protocol.hashing import arrays_hash, canonical_json, model_hash
from flwr_swarm.protocol.payload import (
    decode_layout,
    decode_plain,
    encode_layout,
    encode_plain,
    payload_hash,
    plain_hash,
)
from flwr_swarm.protocol.terms import Terms

DTYPES = ("float16", "float32", "float64", "int8", "int64", "uint8", "bool", ">f4", ">i2")
arrays_of = hnp.arrays(
    dtype=st.sampled_from(DTYPES),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
models = st.dictionaries(st.text(max_size=8), arrays_of, max_size=4)
numbers = st.one_of(st.floats(), st.integers(-(2**63), 2**63 - 1))
metric_values = st.one_of(
    numbers, st.lists(st.floats(), max_size=4), st.lists(st.integers(-9, 9), max_size=4)
)
metrics_of = st.dictionaries(st.text(max_size=8), metric_values, max_size=4)
names_of = st.tuples(st.text(max_size=6), st.text(max_size=6))
layouts = st.lists(st.tuples(st.text(max_size=8), st.integers(0, 50)), max_size=5).map(tuple)


def bits(array: np.ndarray) -> tuple[Any, ...]:
    little = array.astype(array.dtype.newbyteorder("<"))
    return little.dtype.str, array.shape, little.tobytes()


@given(model=models, metrics=metrics_of, names=names_of)
def test_a_plain_payload_comes_back_bit_for_bit_in_its_order(
    model: dict[str, np.ndarray], metrics: dict[str, Any], names: tuple[str, str]
) -> None:
    payload = encode_plain(model, metrics, names)
    arrays, found, found_names = decode_plain(payload)
    assert [(n, bits(a)) for n, a in arrays.items()] == [(n, bits(a)) for n, a in model.items()]
    assert repr(list(found.items())) == repr(list(metrics.items()))  # NaN is equal to NaN here
    assert found_names == names
    assert encode_plain(arrays, found, found_names) == payload


PAYLOAD = encode_plain(
    {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(7)},
    {"loss": 0.5, "curve": [1, 2]},
    ("arrays", "metrics"),
)


@settings(max_examples=300)
@given(position=st.integers(0, len(PAYLOAD) - 1), mask=st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_the_hash(position: int, mask: int) -> None:
    changed = bytearray(PAYLOAD)
    changed[position] ^= mask
    with suppress(WireError):
        assert plain_hash(bytes(changed)) != plain_hash(PAYLOAD)


@given(cut=st.integers(0, len(PAYLOAD) - 1), more=st.binary(min_size=1, max_size=9))
def test_a_shorter_or_longer_payload_is_refused(cut: int, more: bytes) -> None:
    for wrong in (PAYLOAD[:cut], PAYLOAD + more):
        with pytest.raises(WireError):
            plain_hash(wrong)


def with_header(header: Any, body: bytes = b"") -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return b"FSP1" + len(encoded).to_bytes(4, "big") + encoded + body


def header_of(**changes: Any) -> dict[str, Any]:
    return {"names": ["a", "m"], "arrays": [], "metrics": []} | changes


HOSTILE = {
    "object dtype": header_of(arrays=[["a", "|O8", [1]]]),
    "code in dtype": header_of(arrays=[["a", "(1,f4", [1]]]),
    "comma dtype": header_of(arrays=[["a", ",", [1]]]),
    "structured dtype": header_of(arrays=[["a", "f4,f4", [1]]]),
    "void dtype": header_of(arrays=[["a", "|V0", [2**62]]]),
    "time dtype": header_of(arrays=[["a", "<M8", [0]]]),
    "odd width": header_of(arrays=[["a", "<f3", [0]]]),
    "negative side": header_of(arrays=[["a", "<f4", [-1, -1]]]),
    "boolean side": header_of(arrays=[["a", "<f4", [True]]]),
    "float side": header_of(arrays=[["a", "<f4", [1.0]]]),
    "huge side": header_of(arrays=[["a", "<f4", [2**70]]]),
    "huge and empty": header_of(arrays=[["a", "<f4", [2**70, 0]]]),
    "many sides": header_of(arrays=[["a", "<f4", [0] * 100]]),
    "name twice": header_of(arrays=[["a", "<f4", [0]], ["a", "<f4", [0]]]),
    "boolean metric": header_of(metrics=[["m", True]]),
    "text metric": header_of(metrics=[["m", "1"]]),
    "mixed list": header_of(metrics=[["m", [1, 2.0]]]),
    "big integer": header_of(metrics=[["m", 2**63]]),
    "nested list": header_of(metrics=[["m", [[1.0]]]]),
    "no metrics": {"names": ["a", "m"], "arrays": []},
    "not a table": [1, 2],
    "deep": b"[" * 200_000,
    "not UTF-8": b"\xff\xfe",
}


@pytest.mark.parametrize("header", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_header_is_refused(header: Any) -> None:
    for body in (b"", bytes(4), bytes(16)):
        with pytest.raises(WireError):
            plain_hash(with_header(header, body))


@settings(max_examples=200)
@given(st.text(alphabet="<>|=fiub0123456789(),[]OVSMm{}'\" ", max_size=8))
def test_no_dtype_string_does_more_than_be_refused(dtype: str) -> None:
    with suppress(WireError):
        plain_hash(with_header(header_of(arrays=[["a", dtype, [0]]])))


# --- layouts -------------------------------------------------------------------------------------


@given(layout=layouts)
def test_a_layout_comes_back(layout: tuple[tuple[str, int], ...]) -> None:
    assert decode_layout(encode_layout(layout)) == layout


@settings(max_examples=200)
@given(
    data=st.one_of(
        st.binary(max_size=40),
        st.recursive(st.one_of(st.none(), st.integers(), st.text(), st.floats()), st.lists).map(
            lambda value: json.dumps(value).encode()
        ),
    )
)
def test_only_canonical_layouts_are_read(data: bytes) -> None:
    with suppress(WireError):
        assert encode_layout(decode_layout(data)) == data


@pytest.mark.parametrize(
    "data", [b'[["a",-1]]', b'[ ["a",1]]', b'[["a",1.0]]', b'[["a",true]]', b"[" * 60_000, b"{}"]
)
def test_other_layouts_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_layout(data)


def test_the_payload_hash_fixes_layout_kind_and_sender() -> None:
    one, other = encode_layout((("a", 0),)), encode_layout((("b", 0),))
    plain, encrypted = (Terms(encryption=kind, members=4) for kind in ("none", "threshold"))
    assert payload_hash(plain, one, PAYLOAD, 0) != payload_hash(plain, other, PAYLOAD, 0)
    with pytest.raises(WireError):
        payload_hash(encrypted, one, PAYLOAD, 0)
    of_each = {payload_hash(plain, one, PAYLOAD, sender) for sender in range(64)}
    assert len(of_each) == 64, "a copied hash is good for nobody else"


# --- hashes of models ----------------------------------------------------------------------------


@given(model=models, seed=st.randoms())
def test_order_of_names_and_byte_order_do_not_matter(model: Any, seed: Any) -> None:
    names = list(model)
    seed.shuffle(names)
    other = {n: model[n].astype(model[n].dtype.newbyteorder(">")) for n in names}
    assert model_hash(other, {}) == model_hash(model, {})


@given(model=models.filter(bool), data=st.data())
def test_any_other_value_shape_dtype_or_name_has_another_hash(model: Any, data: Any) -> None:
    name = data.draw(st.sampled_from(sorted(model)))
    array = model[name]
    changed = [
        {**model, name: array.reshape((*array.shape, 1))},
        {n: a for n, a in model.items() if n != name},
        {**{n: a for n, a in model.items() if n != name}, name + "'": array},
        {**model, name: np.zeros(array.shape, "u4")},  # a dtype that no drawn array has
    ]
    if array.size:
        raw = bytearray(array.tobytes())
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] ^= 1
        changed.append({**model, name: np.frombuffer(raw, array.dtype).reshape(array.shape)})
    found = {content(one): arrays_hash("model", one) for one in [model, *changed]}
    # Where two names held one array, that without the first is that with it renamed.
    assert len(found) >= len(changed)
    assert len(set(found.values())) == len(found)


def content(model: Any) -> tuple[Any, ...]:
    """What a model is, whatever the order of its names and bytes."""
    return tuple((name, bits(model[name])) for name in sorted(model))


@given(model=models.filter(bool))
def test_model_and_server_state_do_not_trade_places(model: Any) -> None:
    assert len({model_hash(model, {}), model_hash({}, model), model_hash(model, model)}) == 3


# --- terms ---------------------------------------------------------------------------------------

terms_of = st.builds(
    Terms,
    encryption=st.sampled_from(["threshold", "none"]),
    members=st.integers(1, 256),
    clip=st.floats(1e-6, 1e6),
    max_weight=st.floats(1, 2**24),
    weight_key=st.text(min_size=1, max_size=9),
    strategy=st.sampled_from(["FedAvg", "FedAdam"]),
    parameters=st.dictionaries(st.text(max_size=5), st.floats(-1e9, 1e9), max_size=3),
    precision=st.sampled_from([8, 12, 16, 24]),
    layer_clips=st.lists(
        st.tuples(st.text(max_size=5), st.floats(1e-9, 1e-6)),
        max_size=3,
        unique_by=lambda entry: entry[0],
    ).map(tuple),
)


@given(terms=terms_of)
def test_terms_come_back_with_their_hash(terms: Terms) -> None:
    read = Terms.from_json(json.loads(canonical_json(terms.to_json())))
    assert read == terms
    assert read.hash() == terms.hash()


@given(terms=terms_of, data=st.data())
def test_terms_with_any_field_removed_added_or_of_another_kind_are_refused(
    terms: Terms, data: Any
) -> None:
    plain = terms.to_json()
    name = data.draw(st.sampled_from(sorted(plain)))
    without = {n: v for n, v in plain.items() if n != name}
    if name in ("layer_clips", "entry_clips"):  # then these are terms without any
        assert Terms.from_json(without).hash() != terms.hash()
        without = {**plain, name: []}
    for wrong in (
        without,
        {**plain, "extra": 1},
        {**plain, name: None},
        {**plain, name: [1]},
        {**plain, name: [["*", 1, 2]]},
        {**plain, name: 1e999},
    ):
        with pytest.raises(WireError):
            Terms.from_json(wrong)


@given(terms=terms_of)
def test_each_term_is_in_the_hash(terms: Terms) -> None:
    others = [
        {"clip": terms.clip * 2},
        {"max_weight": terms.max_weight / 2 + 1.25},
        {"members": terms.members % 256 + 1},
        {"weight_key": terms.weight_key + "x"},
        {"strategy": "FedYogi"},
        {"parameters": {**terms.parameters, "more": 1.0}},
        {"encryption": "none" if terms.encryption == "threshold" else "threshold"},
        {"precision": 8 if terms.precision == 12 else 12},
        {"layer_clips": (*terms.layer_clips, ("another name", 1e-7))},
        {"layer_clips": (("another name", 1e-7), *terms.layer_clips, ("*", 1e-7))},
        {"entry_clips": (("another name", 1e-7),)},
    ]
    fields = vars(terms)
    hashes = {terms.hash(), *(Terms(**(fields | change)).hash() for change in others)}
    assert len(hashes) == 1 + len(others) - (others[1]["max_weight"] == terms.max_weight)


@pytest.mark.parametrize(
    "change",
    [
        {"clip": 0.0},
        {"clip": float("nan")},
        {"max_weight": 0.5},
        {"members": 257},
        {"precision": 10},
        {"precision": "16"},
        {"precision": True},
        {"layer_clips": (("a", 0.0),)},
        {"layer_clips": (("a", 10.5),)},
        {"layer_clips": (("a", float("nan")),)},
        {"layer_clips": (("a", 1.0), ("a", 2.0))},
        {"entry_clips": (("a", 11.0),)},
        {"encryption": "rot13"},
    ],
)
def test_terms_that_cannot_work_are_refused_with_a_remedy(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"got|one of"):
        Terms(**({"encryption": "threshold", "members": 4} | change))
