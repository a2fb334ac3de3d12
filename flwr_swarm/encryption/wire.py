"""The wire: one strict, bounded, canonical encoding; whatever else arrives is a WireError.

A message is a magic number, version, kind, the ring's tag, a body of fixed layout, and a SHA-256
of everything before it under a domain tag. Residues are packed to 60 bits, two in 15 bytes, and
each must be below q. A message has exactly one encoding, so its hash may stand for its content.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import WireError
from flwr_swarm._octets import Octets

from .context import PROTOCOL
from .modular import Residues
from .parameters import DEGREE, MAX_MEMBERS, MODULUS, RingParameters

MAX_LANES: Final = 1 << 28
"""Longest update that is accepted: 268 million lanes, 1 GB."""
POLYNOMIAL_BYTES: Final = DEGREE // 2 * 15
MASKS: Final = 4
"""Residues that are shared with a key and hide it in the proof: even in number, for packing."""
KEY_BYTES: Final = 32
SEALED_BYTES: Final = (DEGREE + MASKS) // 2 * 15 + 16
"""A share of key and masks, and the tag of the AEAD."""

_MAGIC = b"FSWM"
_VERSION: Final = 2
_HEADER = struct.Struct("<4sBB8s")
_CHECKSUM: Final = 32
_PAIR: Final = 15
"""Bytes of two residues."""
_LOW60 = np.uint64((1 << 60) - 1)
_4, _56 = np.uint64(4), np.uint64(56)
CIPHERTEXT, AGGREGATE, ENVELOPE, OPENING, PROOF, COMPLAINT = 1, 2, 3, 4, 5, 6
_NAMES = {
    CIPHERTEXT: "ciphertext",
    AGGREGATE: "aggregate",
    ENVELOPE: "envelope",
    OPENING: "opening",
    PROOF: "proof",
    COMPLAINT: "complaint",
}


@dataclass(frozen=True, kw_only=True, repr=False)
class Ciphertext:
    """Residues of one member's update, or of a sum of `summands` updates; (chunks, 4096).

    `checksum` is that of the message which was read; it fixes all of it.
    """

    lanes: int
    residues: Residues
    summands: int = 1
    checksum: bytes = b""


@dataclass(frozen=True, kw_only=True, repr=False)
class Envelope:
    """A key share of `sender` that only `receiver` can read, sealed to its public key `key`."""

    sender: int
    receiver: int
    key: bytes
    sealed: bytes


@dataclass(frozen=True, kw_only=True, repr=False)
class Opening:
    """Holder `receiver`'s sum of the shares of `senders`, in the round with digest `context`."""

    receiver: int
    context: bytes
    senders: tuple[int, ...]
    residues: Residues


def pack_residues(residues: Residues) -> bytes:
    """Residues in 60 bits each, little-endian; their number is even."""
    pairs = residues.reshape(-1, 2)
    data = bytearray(_PAIR * len(pairs))
    first, second = _words(data)
    first[:] = pairs[:, 0]
    # Written last: of the byte that both touch it holds all, the upper half of `first` is zero.
    np.left_shift(pairs[:, 1], _4, out=second)
    second |= pairs[:, 0] >> _56
    return bytes(data)


def unpack_residues(data: bytes | memoryview) -> Residues:
    """Residues of `pack_residues`; WireError if any is not below q or the length is odd."""
    if len(data) % _PAIR:
        raise WireError(f"residues take a multiple of {_PAIR} bytes, got {len(data)}")
    first, second = _words(data)
    pairs = np.empty((len(first), 2), dtype=np.uint64)
    np.bitwise_and(first, _LOW60, out=pairs[:, 0])
    np.right_shift(second, _4, out=pairs[:, 1])
    if pairs.max(initial=0) >= MODULUS:
        raise WireError("a residue is not below the modulus; ask the sender for the message again")
    return pairs.reshape(-1)


def _words(data: bytes | bytearray | memoryview) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Bytes 0 to 7 and bytes 7 to 14 of each pair, as little-endian words that lie in `data`."""
    shape = (len(data) // _PAIR,)
    if not shape[0]:  # numpy takes no offset into an empty buffer
        return np.empty(0, dtype="<u8"), np.empty(0, dtype="<u8")
    return (
        np.ndarray(shape, dtype="<u8", buffer=data, strides=(_PAIR,)),
        np.ndarray(shape, dtype="<u8", buffer=data, strides=(_PAIR,), offset=7),
    )


def _checksum(parts: Sequence[bytes | memoryview]) -> bytes:
    digest = hashlib.sha256(PROTOCOL + b"wire\0")
    for part in parts:
        digest.update(part)
    return digest.digest()


def frame(kind: int, body: Sequence[bytes], parameters: RingParameters) -> bytes:
    """The one message of this kind with this body."""
    parts = [_HEADER.pack(_MAGIC, _VERSION, kind, parameters.tag), *body]
    return b"".join([*parts, _checksum(parts)])


def unframe(data: Octets, kind: int, parameters: RingParameters) -> memoryview:
    """The body of a message of this kind, after every check that does not depend on the body."""
    name = _NAMES[kind]
    if not isinstance(data, Octets):
        raise WireError(f"a {name} is bytes, got {type(data).__name__}")
    if len(data) < _HEADER.size + _CHECKSUM:
        raise WireError(f"a {name} of {len(data)} bytes is too short; it was cut on its way")
    magic, version, found, tag = _HEADER.unpack_from(data)
    if magic != _MAGIC or version != _VERSION:
        raise WireError(
            f"not a {name} of this protocol: it starts with {data[:5].hex()}, "
            f"expected {(_MAGIC + bytes([_VERSION])).hex()}"
        )
    if found != kind:
        raise WireError(f"expected a {name}, got {_NAMES.get(found, f'kind {found}')}")
    if tag != parameters.tag:
        raise WireError(
            f"the {name} uses ring {tag.hex()}, expected {parameters.tag.hex()}; "
            "all members must run the same terms"
        )
    view = memoryview(data)
    if _checksum([view[:-_CHECKSUM]]) != view[-_CHECKSUM:]:
        raise WireError(f"the {name}'s checksum does not match: it was altered on its way")
    return view[_HEADER.size : -_CHECKSUM]


def fields(
    body: memoryview, layout: struct.Struct, name: str
) -> tuple[tuple[int, ...], memoryview]:
    """The fields at the head of a body, and the rest of it."""
    if len(body) < layout.size:
        raise WireError(f"the {name} ends inside its header; it was cut on its way")
    return layout.unpack_from(body), body[layout.size :]


_LANES = struct.Struct("<I")
_SUM = struct.Struct("<IH")
_ROUTE = struct.Struct("<HH")
_OPENING = struct.Struct("<H32sH")


def check_member(index: int, name: str) -> None:
    """Refuse the index of a seat that cannot exist."""
    if index >= MAX_MEMBERS:
        raise WireError(f"the {name} names member {index}; indices end at {MAX_MEMBERS - 1}")


def _read_polynomials(
    body: memoryview, lanes: int, name: str, parameters: RingParameters
) -> Residues:
    if not 1 <= lanes <= MAX_LANES:
        raise WireError(f"the {name} says it holds {lanes} lanes, allowed are 1 to {MAX_LANES}")
    expected = parameters.chunks(lanes) * POLYNOMIAL_BYTES
    if len(body) != expected:
        raise WireError(
            f"{lanes} lanes take {expected} bytes of residues, the {name} holds {len(body)}"
        )
    return unpack_residues(body).reshape(-1, DEGREE)


def write_ciphertext(lanes: int, packed: Sequence[bytes], parameters: RingParameters) -> bytes:
    """One member's ciphertext from its chunks' residues, already packed, in order."""
    return frame(CIPHERTEXT, [_LANES.pack(lanes), *packed], parameters)


def read_ciphertext(data: Octets, parameters: RingParameters) -> Ciphertext:
    """Parse one member's ciphertext, or WireError."""
    name = _NAMES[CIPHERTEXT]
    (lanes,), rest = fields(unframe(data, CIPHERTEXT, parameters), _LANES, name)
    residues = _read_polynomials(rest, lanes, name, parameters)
    return Ciphertext(lanes=lanes, residues=residues, checksum=bytes(data[-_CHECKSUM:]))


def write_aggregate(total: Ciphertext, parameters: RingParameters) -> bytes:
    """The sum of `total.summands` ciphertexts."""
    counts = _SUM.pack(total.lanes, total.summands)
    return frame(AGGREGATE, [counts, pack_residues(total.residues)], parameters)


def read_aggregate(data: Octets, parameters: RingParameters) -> Ciphertext:
    """Parse a sum of ciphertexts, or WireError."""
    name = _NAMES[AGGREGATE]
    (lanes, summands), rest = fields(unframe(data, AGGREGATE, parameters), _SUM, name)
    if not 1 <= summands <= MAX_MEMBERS:
        raise WireError(f"the {name} says it sums {summands}, allowed are 1 to {MAX_MEMBERS}")
    residues = _read_polynomials(rest, lanes, name, parameters)
    return Ciphertext(
        lanes=lanes, residues=residues, summands=summands, checksum=bytes(data[-_CHECKSUM:])
    )


def write_envelope(envelope: Envelope, parameters: RingParameters) -> bytes:
    """One sealed key share on its way to its holder."""
    route = _ROUTE.pack(envelope.sender, envelope.receiver)
    return frame(ENVELOPE, [route, envelope.key, envelope.sealed], parameters)


def read_envelope(data: bytes, parameters: RingParameters) -> Envelope:
    """Parse an envelope, or WireError. Nothing in it is decrypted yet."""
    name = _NAMES[ENVELOPE]
    (sender, receiver), rest = fields(unframe(data, ENVELOPE, parameters), _ROUTE, name)
    for index in (sender, receiver):
        check_member(index, name)
    if len(rest) != KEY_BYTES + SEALED_BYTES:
        raise WireError(
            f"the {name} holds {len(rest)} bytes of key and share, not {KEY_BYTES + SEALED_BYTES}"
        )
    key, sealed = bytes(rest[:KEY_BYTES]), bytes(rest[KEY_BYTES:])
    return Envelope(sender=sender, receiver=receiver, key=key, sealed=sealed)


def write_opening(opening: Opening, parameters: RingParameters) -> bytes:
    """One holder's sum of key shares."""
    head = _OPENING.pack(opening.receiver, opening.context, len(opening.senders))
    senders = struct.pack(f"<{len(opening.senders)}H", *opening.senders)
    return frame(OPENING, [head, senders, pack_residues(opening.residues)], parameters)


def read_opening(data: bytes, parameters: RingParameters) -> Opening:
    """Parse an opening, or WireError."""
    name = _NAMES[OPENING]
    body = unframe(data, OPENING, parameters)
    if len(body) < _OPENING.size:
        raise WireError(f"the {name} ends inside its header; it was cut on its way")
    receiver, context, count = _OPENING.unpack_from(body)
    check_member(receiver, name)
    if not 1 <= count <= MAX_MEMBERS:
        raise WireError(f"the {name} sums {count} shares, allowed are 1 to {MAX_MEMBERS}")
    senders, rest = fields(body[_OPENING.size :], struct.Struct(f"<{count}H"), name)
    check_member(max(senders), name)
    if any(one >= two for one, two in pairwise(senders)):
        raise WireError(f"the {name} must name its senders once each, in ascending order")
    if len(rest) != POLYNOMIAL_BYTES:
        raise WireError(f"the {name} holds {len(rest)} bytes of residues, not {POLYNOMIAL_BYTES}")
    return Opening(
        receiver=receiver, context=context, senders=senders, residues=unpack_residues(rest)
    )
