"""The wire: one encoding for each message, and a named error for every other string of bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from encryption_support import (
    Q,
    dealt_to,
    frame,
    key_pairs,
    openings_of,
    pack60,
    round_context,
    seal_all,
    sum_without_memory,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import ShareRefused, WireError
from flwr_swarm.encryption import (
    RingParameters,
    ThresholdScheme,
    aggregate_hash,
    dealing_wire,
    envelope_hash,
    payload_hash,
    proof_hash,
    wire,
)
from flwr_swarm.encryption.complaint import complain
from flwr_swarm.encryption.dense import pack_residues
from flwr_swarm.encryption.parameters import DEFAULT

SCHEME = ThresholdScheme()
POLY = 4096 * 15 // 2
READERS = {
    "ciphertext": lambda data: wire.read_ciphertext(data, DEFAULT),
    "aggregate": lambda data: wire.read_aggregate(data, DEFAULT),
    "envelope": lambda data: wire.read_envelope(data, DEFAULT),
    "opening": lambda data: wire.read_opening(data, DEFAULT),
    "proof": lambda data: dealing_wire.read_proof(data, DEFAULT),
    "complaint": lambda data: dealing_wire.read_complaint(data, DEFAULT),
}
KINDS = {"ciphertext": 1, "aggregate": 2, "envelope": 3, "opening": 4, "proof": 5, "complaint": 6}
SEALED = POLY + 30 + 16
ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.fixture(scope="module")
def messages():
    lanes = [np.arange(10, dtype=np.uint32)] * 2
    sealed = seal_all(SCHEME, lanes, holders=3, threshold=2)
    complaint = complain(
        dealt_to(sealed[0], 1),
        context=round_context(),
        dealer=0,
        private_key=key_pairs(3)[1][0],
        parameters=DEFAULT,
    )
    return {
        "ciphertext": sealed[0].payload,
        "aggregate": SCHEME.merge([one.payload for one in sealed]),
        "envelope": sealed[0].envelopes[1],
        "opening": openings_of(SCHEME, sealed, holders=3, who=[1])[1],
        "proof": sealed[0].proof,
        "complaint": complaint,
        "sealed": sealed[0],
    }


def users(data, sealed):
    """All that a member does with bytes from another party, and the errors it may raise."""
    merged = {
        "ciphertext": [SCHEME.merge, payload_hash],
        "aggregate": [
            aggregate_hash,
            lambda m: SCHEME.open(m, {}, context=round_context(), threshold=2, included=2),
        ],
        "envelope": [
            envelope_hash,
            lambda e: opening_of(replace(dealt_to(sealed, 1), envelope=e)),
        ],
        "proof": [proof_hash, lambda p: opening_of(replace(dealt_to(sealed, 1), proof=p))],
    }
    merged["ciphertext"][0] = lambda p: SCHEME.merge([p])
    return merged.get(data, [])


def opening_of(dealt):
    return sum_without_memory(
        {0: dealt}, context=round_context(), receiver=1, private_keys=[key_pairs(3)[1][0]]
    )


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_changed_byte_is_refused_by_everyone_who_reads_it(messages, kind, data):
    message = bytearray(messages[kind])
    # Headers and trailers as often as bodies.
    place = data.draw(
        st.one_of(st.integers(0, 60), st.integers(-40, -1), st.integers(0, len(message) - 1))
    )
    message[place] ^= data.draw(st.integers(1, 255))
    for use in [READERS[kind], *users(kind, messages["sealed"])]:
        with pytest.raises((WireError, ShareRefused)):
            use(bytes(message))


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_cut_and_lengthened_messages_are_refused(messages, kind, data):
    message = messages[kind]
    READERS[kind](message)
    cut = data.draw(st.integers(0, len(message) - 1))
    more = data.draw(st.binary(min_size=1, max_size=40))
    for other in (message[:cut], message[len(message) - cut :], message + more, more + message):
        with pytest.raises(WireError):
            READERS[kind](other)


@pytest.mark.parametrize("kind", KINDS)
def test_no_message_passes_for_another_kind_or_ring(messages, kind):
    for other, read in READERS.items():
        if other != kind:
            with pytest.raises(WireError, match=f"expected an? {other}, got {kind}"):
                read(messages[kind])
    prime = RingParameters(plain_modulus=1032193, lane_bits=9)
    with pytest.raises(WireError, match="ring"):
        getattr(module(kind), f"read_{kind}")(messages[kind], prime)


@pytest.mark.parametrize("kind", KINDS)
@given(st.binary(max_size=200))
def test_random_bytes_give_only_wire_errors(kind, data):
    with pytest.raises(WireError):
        READERS[kind](data)


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
@settings(deadline=None)
def test_random_bodies_in_a_right_frame_give_only_wire_errors(kind, data):
    """The checksum is no secret: a hostile sender passes it, and meets the checks behind it."""
    small = st.integers(0, 300).map(lambda value: le(value, 2))
    heads = st.one_of(
        st.binary(max_size=80),
        st.lists(small, max_size=4).map(b"".join),
        st.builds(lambda lanes, count: le(lanes, 4) + count, st.integers(0, 20_000), small),
        st.builds(lambda r, s: r + bytes(32) + le(len(s), 2) + b"".join(s), small, st.lists(small)),
    )
    lengths = st.one_of(
        st.integers(0, 2 * POLY), st.sampled_from([POLY, 2 * POLY, 3 * POLY, POLY + 48])
    )
    fill = st.sampled_from([0, 1, 0x7F, 0xFF])
    body = data.draw(heads) + bytes([data.draw(fill)]) * data.draw(lengths)
    data = frame(KINDS[kind], body)
    try:
        parsed = READERS[kind](data)
    except WireError:
        return
    # Whatever is accepted is the one encoding of what was read.
    if kind == "ciphertext":
        again = wire.write_ciphertext(parsed.lanes, [pack_residues(parsed.residues)], DEFAULT)
    else:
        again = getattr(module(kind), f"write_{kind}")(parsed, DEFAULT)
    assert again == data


def module(kind: str):
    return dealing_wire if kind in {"proof", "complaint"} else wire


def le(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")


def zeros(polynomials: int) -> bytes:
    return bytes(POLY * polynomials)


BAD = {
    "no lanes": ("ciphertext", le(0, 4)),
    "too many lanes": ("ciphertext", le(2**28 + 1, 4) + zeros(1)),
    "huge lanes, little data": ("ciphertext", le(2**28, 4) + zeros(1)),
    "a polynomial too few": ("ciphertext", le(8193, 4) + zeros(1)),
    "a polynomial too many": ("ciphertext", le(16384, 4) + zeros(3)),
    "one polynomial": ("ciphertext", le(8192, 4) + zeros(1)),
    "half a header": ("ciphertext", le(1, 3)),
    "residue q": ("ciphertext", le(1, 4) + pack60([Q] + [0] * 4095)),
    "last residue 2^60-1": ("ciphertext", le(1, 4) + pack60([0] * 4095 + [2**60 - 1])),
    "no summands": ("aggregate", le(1, 4) + le(0, 2) + zeros(1)),
    "too many summands": ("aggregate", le(1, 4) + le(257, 2) + zeros(1)),
    "sender 256": ("envelope", le(256, 2) + le(0, 2) + bytes(32 + SEALED)),
    "receiver 256": ("envelope", le(0, 2) + le(256, 2) + bytes(32 + SEALED)),
    "short envelope": ("envelope", le(0, 2) + le(1, 2) + bytes(31 + SEALED)),
    "long envelope": ("envelope", le(0, 2) + le(1, 2) + bytes(33 + SEALED)),
    "no senders": ("opening", le(1, 2) + bytes(32) + le(0, 2) + zeros(1)),
    "senders twice": ("opening", le(1, 2) + bytes(32) + le(2, 2) + le(3, 2) * 2 + zeros(1)),
    "senders unsorted": (
        "opening",
        le(1, 2) + bytes(32) + le(2, 2) + le(3, 2) + le(1, 2) + zeros(1),
    ),
    "senders missing": ("opening", le(1, 2) + bytes(32) + le(256, 2) + le(3, 2)),
    "too many senders": ("opening", le(1, 2) + bytes(32) + le(257, 2) + zeros(1)),
    "opening residue q": (
        "opening",
        le(1, 2) + bytes(32) + le(1, 2) + le(3, 2) + pack60([0, Q] + [0] * 4094),
    ),
    "proof of one row": ("proof", le(0, 2) + le(1, 2) + bytes(32 + 30 + 64)),
    "proof of 257 rows": ("proof", le(0, 2) + le(257, 2) + bytes(32 + 257 * 30 + 64)),
    "a row too few": ("proof", le(0, 2) + le(3, 2) + bytes(32 + 60 + 64)),
    "proof of sender 256": ("proof", le(256, 2) + le(2, 2) + bytes(32 + 60 + 64)),
    "coefficient q": (
        "proof",
        le(0, 2) + le(2, 2) + bytes(32) + pack60([0] * 7 + [Q]) + bytes(64),
    ),
    "complaint about 256": ("complaint", le(256, 2) + le(0, 2) + bytes(32)),
    "complaint by 256": ("complaint", le(0, 2) + le(256, 2) + bytes(32)),
    "half a revelation": ("complaint", le(0, 2) + le(1, 2) + bytes(32 + 64)),
    "challenge L": ("complaint", le(0, 2) + le(1, 2) + bytes(64) + le(ORDER, 32) + bytes(32)),
    "response L": ("complaint", le(0, 2) + le(1, 2) + bytes(96) + le(ORDER, 32)),
}


@pytest.mark.parametrize("name", BAD)
def test_every_bound_is_checked_behind_a_right_checksum(name):
    kind, body = BAD[name]
    with pytest.raises(WireError):
        READERS[kind](frame(KINDS[kind], body))


def test_the_layout_is_the_described_one():
    residues = [(i * 0x9E3779B97F4A7C15) % Q for i in range(8191)] + [Q - 1]
    body = le(8000, 4) + le(7, 2) + pack60(residues)
    parsed = wire.read_aggregate(frame(2, body), DEFAULT)
    assert (parsed.lanes, parsed.summands) == (8000, 7)
    assert parsed.residues.reshape(-1).tolist() == residues
    assert wire.write_aggregate(parsed, DEFAULT) == frame(2, body)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [None, "text", 7, [1], bytearray(b"FSWM")])
def test_what_is_not_bytes_is_refused(kind, value):
    with pytest.raises(WireError):
        READERS[kind](value)


def test_a_million_parameters_take_less_than_four_bytes_each():
    assert 14 + 4 + DEFAULT.chunks(1_000_000) * POLY + 32 < 3.8 * 1_000_000
