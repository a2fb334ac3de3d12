"""Decoders of the encryption: its wire, its points, and what is done with sealed shares."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
from encryption_support import Q, dealt_to, key_pairs, round_context, sum_without_memory
from fuzz_bytes import blind
from fuzz_decoder import Decoder
from fuzz_frames import ORDER, POINTS, RESIDUES, framed
from fuzz_material import HOLDERS, SCHEME, frames, sealed

from flwr_swarm._exceptions import OpeningRejected, ShareRefused, WireError
from flwr_swarm.encryption import dealing_wire, edwards, hpke, wire
from flwr_swarm.encryption.complaint import upheld
from flwr_swarm.encryption.dealing_wire import read_proof
from flwr_swarm.encryption.dense import pack_residues
from flwr_swarm.encryption.engines import VARIABLE
from flwr_swarm.encryption.envelope import Channel
from flwr_swarm.encryption.parameters import DEFAULT
from flwr_swarm.encryption.wire import Envelope, read_envelope, write_envelope
from flwr_swarm.protocol.payload import payload_hash
from flwr_swarm.protocol.terms import Terms

_SHARE = 4100 // 2 * 15


def _ciphertext_again(value: Any) -> bytes:
    return wire.write_ciphertext(value.lanes, [pack_residues(value.residues)], DEFAULT)


_WRITERS: dict[str, Callable[[Any], bytes]] = {
    "ciphertext": _ciphertext_again,
    "aggregate": lambda value: wire.write_aggregate(value, DEFAULT),
    "envelope": lambda value: wire.write_envelope(value, DEFAULT),
    "opening": lambda value: wire.write_opening(value, DEFAULT),
    "proof": lambda value: dealing_wire.write_proof(value, DEFAULT),
    "complaint": lambda value: dealing_wire.write_complaint(value, DEFAULT),
}


def _reader(kind: str, engine: str) -> Callable[[bytes], Any]:
    module = dealing_wire if kind in {"proof", "complaint"} else wire

    def read(data: bytes) -> Any:
        with by(engine):
            return getattr(module, f"read_{kind}")(data, DEFAULT)

    return read


@contextmanager
def by(engine: str) -> Iterator[None]:
    """The ring's arithmetic is done by this engine meanwhile."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = engine
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before


def _well_formed(value: Any) -> bool:
    """What the wire's description says of numbers, whichever way they are encoded."""
    fields = vars(value)
    residues = [fields[n] for n in ("residues", "coefficients") if n in fields]
    seats = [fields[n] for n in ("sender", "receiver", "dealer", "holder") if n in fields]
    senders = fields.get("senders", ())
    proven = (fields.get("revealed") or (b"",))[1:]
    return (
        all(int(r.max()) < Q and r.dtype == np.uint64 for r in residues)
        and all(0 <= seat < 256 for seat in (*seats, *senders))
        and list(senders) == sorted(set(senders))
        and all(number < ORDER for number in proven)
        and fields.get("threshold", 2) in range(2, 257)
        and fields.get("summands", 1) in range(1, 257)
    )


def _framed(kind: str, engine: str = "seal") -> Decoder:
    writer = _WRITERS[kind]
    return Decoder(
        name=kind if engine == "seal" else f"{kind}, compiled",
        read=_reader(kind, engine),
        corpus=frames()[kind],
        mutate=framed,
        faithful=lambda data, value: _well_formed(value) and writer(value) == data,
        per_byte=4,
        share=6,
    )


# --- what holders and relays do with what they read --------------------------------------------


def _opening_of(**changes: bytes) -> bytes:
    dealt = replace(dealt_to(sealed(1)[1], 2), **changes)
    return sum_without_memory(
        {1: dealt},
        context=round_context(1),
        receiver=2,
        private_keys=[key_pairs(HOLDERS)[2][0]],
    )


def _share_opened(plain: bytes) -> bytes:
    """A dealer that seals anything at all, rightly, under the key of its own proof."""
    envelope = read_envelope(sealed(1)[1].envelopes[2], DEFAULT)
    proof = read_proof(sealed(1)[1].proof, DEFAULT)
    ephemeral = edwards.montgomery_of(proof.ephemeral)
    assert ephemeral is not None
    channel = Channel(
        context=round_context(1), sender=1, receiver=2, public_key=envelope.key, ephemeral=ephemeral
    )
    # The receiver's side knows the same secret as the dealer's.
    secret = hpke.shared_secret(key_pairs(HOLDERS)[2][0], ephemeral)
    key, nonce = hpke._schedule(
        secret, ephemeral=ephemeral, public_key=envelope.key, info=channel.info
    )
    sealed_anew = hpke.ChaCha20Poly1305(key).encrypt(nonce, plain, b"")
    made = Envelope(sender=1, receiver=2, key=envelope.key, sealed=sealed_anew)
    return _opening_of(envelope=write_envelope(made, DEFAULT))


def _share() -> bytes:
    """The true share that member 1 dealt to member 2."""
    envelope = read_envelope(sealed(1)[1].envelopes[2], DEFAULT)
    ephemeral = edwards.montgomery_of(read_proof(sealed(1)[1].proof, DEFAULT).ephemeral)
    assert ephemeral is not None
    channel = Channel(
        context=round_context(1), sender=1, receiver=2, public_key=envelope.key, ephemeral=ephemeral
    )
    secret = hpke.shared_secret(key_pairs(HOLDERS)[2][0], ephemeral)
    plain = hpke.open_with(
        secret,
        envelope.sealed,
        ephemeral=ephemeral,
        public_key=envelope.key,
        info=channel.info,
    )
    assert plain is not None
    return plain


def _residues(random: Random, message: bytes, others: Sequence[bytes]) -> bytes:
    data = bytearray(message)
    at = 15 * random.randrange(len(data) // 15)
    both = int.from_bytes(data[at : at + 15], "little")
    both = both >> 60 << 60 | random.choice(RESIDUES)
    data[at : at + 15] = both.to_bytes(15, "little")
    return blind(random, bytes(data), others) if random.random() < 0.3 else bytes(data)


def _blame(complaint: bytes) -> Any:
    return upheld(
        complaint,
        dealt_to(sealed(1)[1], 2),
        context=round_context(1),
        pinned=key_pairs(HOLDERS)[2][1],
        parameters=DEFAULT,
    )


def _opened(opening: bytes) -> Any:
    own = frames()["opening"][0]
    return SCHEME.open(
        frames()["aggregate"][0],
        {0: own, 1: opening},
        context=round_context(1),
        threshold=2,
        included=3,
    )


def _sum_opened(merged: bytes) -> Any:
    first, second, third = frames()["opening"][:3]
    return SCHEME.open(
        merged,
        {0: first, 1: second, 2: third},
        context=round_context(1),
        threshold=2,
        included=3,
    )


_DEALT = (WireError, ShareRefused)
_OPENED = (WireError, OpeningRejected)


# --- points of the curve ------------------------------------------------------------------------


def _point(data: bytes) -> Any:
    point = edwards.decode(data)
    if point is None:
        raise WireError("no point")
    return point


def _lifted(data: bytes) -> Any:
    point = edwards.lifted(data)
    if point is None:
        raise WireError("no coordinate")
    return point


def _points(random: Random, message: bytes, others: Sequence[bytes]) -> bytes:
    if random.random() < 0.5:
        value = random.choice(POINTS) ^ random.choice((0, 1, 1 << 255, 2, 1 << 254))
        return value.to_bytes(32, "little")
    return blind(random, message, others)


def decoders() -> list[Decoder]:
    """All of them."""
    encoded = tuple((k * edwards.BASE).encode() for k in (1, 2, 3, 5, 8))
    coordinates = tuple(public for _, public in key_pairs(HOLDERS))
    own = frames()
    return [
        *map(_framed, _WRITERS),
        *(_framed(kind, "numba") for kind in ("ciphertext", "aggregate")),
        Decoder(
            name="sealed payload",
            read=lambda data: payload_hash(_TERMS, _LAYOUT, data, 1),
            corpus=own["ciphertext"],
            mutate=framed,
            per_byte=4,
            share=2,
        ),
        Decoder(
            name="dealt envelope",
            read=lambda data: _opening_of(envelope=data),
            corpus=(sealed(1)[1].envelopes[2],),
            mutate=framed,
            refusals=_DEALT,
            faithful=lambda data, _: data == sealed(1)[1].envelopes[2],
            constant=1 << 21,
            share=2,
        ),
        Decoder(
            name="dealt proof",
            read=lambda data: _opening_of(proof=data),
            corpus=(sealed(1)[1].proof,),
            mutate=framed,
            refusals=_DEALT,
            constant=1 << 21,
            share=2,
        ),
        Decoder(
            name="dealt share",
            read=_share_opened,
            corpus=(_share(),),
            mutate=_residues,
            refusals=_DEALT,
            faithful=lambda data, _: data == _share(),
            constant=1 << 21,
            share=2,
        ),
        Decoder(
            name="complaint upheld",
            read=_blame,
            corpus=own["complaint"],
            mutate=framed,
            faithful=lambda _, said: said is None,  # the dealer is honest
            constant=1 << 21,
            share=1,
        ),
        Decoder(
            name="opening used",
            read=_opened,
            corpus=(own["opening"][1],),
            mutate=framed,
            refusals=_OPENED,
            faithful=lambda data, _: data == own["opening"][1],
            constant=1 << 23,
            share=1,
        ),
        Decoder(
            name="sum opened",
            read=_sum_opened,
            corpus=(own["aggregate"][0],),
            mutate=framed,
            refusals=_OPENED,
            constant=1 << 23,
            share=1,
        ),
        Decoder(
            name="curve point",
            read=_point,
            corpus=encoded,
            mutate=_points,
            faithful=lambda data, point: point.encode() == data,
        ),
        Decoder(
            name="curve coordinate",
            read=_lifted,
            corpus=tuple(u for u in coordinates if edwards.lifted(u) is not None),
            mutate=_points,
            faithful=lambda data, point: point.montgomery() == data,
        ),
    ]


_LAYOUT = b'{"asked":"' + b"00" * 32 + b'","metrics":[]}'
_TERMS = Terms(encryption="threshold", members=4)
