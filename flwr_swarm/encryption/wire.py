"""The wire: one strict, bounded, canonical encoding; whatever else arrives is a WireError.

A message is a magic number, version, kind, the ring's tag, a body of fixed layout, and a BLAKE3
hash of everything before it under a domain of its own. Residues are packed to 60 bits, two in 15
bytes, and each must be below q. A message has exactly one encoding, so its hash may stand for its
content.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from io import SEEK_CUR, BytesIO
from itertools import pairwise
from typing import Final

from blake3 import blake3

from flwr_swarm._exceptions import WireError
from flwr_swarm._octets import Octets

from .dense import POLYNOMIAL_BYTES, pack_residues, unpack_residues
from .engines import engine_for
from .modular import Residues
from .parameters import DEGREE, MAX_MEMBERS, RingParameters

MAX_LANES: Final = 1 << 28
"""Longest update that is accepted: 268 million lanes, 1 GB."""
MASKS: Final = 4
"""Residues that are shared with a key and hide it in the proof: even in number, for packing."""
KEY_BYTES: Final = 32
SEALED_BYTES: Final = (DEGREE + MASKS) // 2 * 15 + 16
"""A share of key and masks, and the tag of the AEAD."""

_MAGIC = b"FSWM"
_VERSION: Final = 3
_HEADER = struct.Struct("<4sBB8s")
_CHECKSUM: Final = 32
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


def _checksum(*parts: bytes | memoryview) -> bytes:
    """BLAKE3 (O'Connor et al. 2020) in its mode for deriving keys, which keeps uses apart."""
    digest = blake3(derive_key_context="flwr_swarm/v1/wire")
    for part in parts:
        digest.update(part)
    return digest.digest()


def frame(kind: int, body: Sequence[bytes], parameters: RingParameters) -> bytes:
    """The one message of this kind with this body."""
    parts = [_HEADER.pack(_MAGIC, _VERSION, kind, parameters.tag), *body]
    return b"".join([*parts, _checksum(*parts)])


class Draft:
    """A message of polynomials that are written in place, so that it lies in memory once.

    Parameters
    ----------
    kind : int
    head : bytes
        What stands before the polynomials.
    chunks : int
    parameters : RingParameters
    """

    def __init__(self, kind: int, head: bytes, chunks: int, parameters: RingParameters) -> None:
        self._buffer = BytesIO()
        self._buffer.write(_HEADER.pack(_MAGIC, _VERSION, kind, parameters.tag) + head)
        self._start = self._buffer.tell()
        self._buffer.seek(chunks * POLYNOMIAL_BYTES, SEEK_CUR)
        self._buffer.write(bytes(_CHECKSUM))
        self._view = self._buffer.getbuffer()

    def chunks(self, first: int, last: int) -> memoryview:
        """The place of polynomials `first` to `last` - 1."""
        start = self._start + first * POLYNOMIAL_BYTES
        return self._view[start : self._start + last * POLYNOMIAL_BYTES]

    def finish(self) -> bytes:
        """The message. Nobody may hold a place in it any more."""
        self._view[-_CHECKSUM:] = _checksum(self._view[:-_CHECKSUM])
        self._view.release()
        return self._buffer.getvalue()


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
    if _checksum(view[:-_CHECKSUM]) != view[-_CHECKSUM:]:
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
    return engine_for(len(body) // POLYNOMIAL_BYTES).unpack(body)


def write_ciphertext(lanes: int, packed: Sequence[bytes], parameters: RingParameters) -> bytes:
    """One member's ciphertext from its chunks' residues, already packed, in order."""
    return frame(CIPHERTEXT, [_LANES.pack(lanes), *packed], parameters)


def draft_ciphertext(lanes: int, parameters: RingParameters) -> Draft:
    """One member's ciphertext, its polynomials still to be written."""
    return Draft(CIPHERTEXT, _LANES.pack(lanes), parameters.chunks(lanes), parameters)


def read_ciphertext(data: Octets, parameters: RingParameters) -> Ciphertext:
    """Parse one member's ciphertext, or WireError."""
    name = _NAMES[CIPHERTEXT]
    (lanes,), rest = fields(unframe(data, CIPHERTEXT, parameters), _LANES, name)
    residues = _read_polynomials(rest, lanes, name, parameters)
    return Ciphertext(lanes=lanes, residues=residues, checksum=bytes(data[-_CHECKSUM:]))


def write_aggregate(total: Ciphertext, parameters: RingParameters) -> bytes:
    """The sum of `total.summands` ciphertexts."""
    counts = _SUM.pack(total.lanes, total.summands)
    chunks = len(total.residues)
    draft = Draft(AGGREGATE, counts, chunks, parameters)
    with draft.chunks(0, chunks) as out:
        engine_for(chunks).pack(total.residues, out=out)
    return draft.finish()


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
