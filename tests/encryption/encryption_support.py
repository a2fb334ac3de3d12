"""A deterministic source of randomness, keys and rounds for the tests of encryption."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from flwr_swarm.encryption import (
    Dealt,
    RingParameters,
    RoundContext,
    Sealed,
    ThresholdScheme,
    envelope_hash,
    generate_encryption_key,
)

Q = 2**60 - 2**14 + 1
CONTRACT = "0x" + "5a" * 20


def deterministic(seed: int | str) -> Callable[[int], bytes]:
    """SHAKE-256 of the seed and a counter, as a source of randomness."""
    calls = 0

    def random(count: int) -> bytes:
        nonlocal calls
        calls += 1
        return hashlib.shake_256(f"{seed}/{calls}".encode()).digest(count)

    return random


@cache
def key_pairs(count: int) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(generate_encryption_key(deterministic(f"key {j}")) for j in range(count))


def public_keys(count: int) -> list[bytes]:
    return [public for _, public in key_pairs(count)]


def round_context(number: int = 1, **changes: object) -> RoundContext:
    fields = {"chain_id": 1337, "contract": CONTRACT, "round": number, "anchor": bytes(32)}
    return RoundContext(**{**fields, **changes})


def seal_all(
    scheme: ThresholdScheme,
    lanes: Sequence[NDArray[np.uint32]],
    *,
    holders: int,
    threshold: int,
    seed: int | str = 0,
    context: RoundContext | None = None,
) -> list[Sealed]:
    random = deterministic(seed)
    return [
        scheme.seal(
            one,
            context=context or round_context(),
            sender=sender,
            holders=public_keys(holders),
            threshold=threshold,
            random=random,
        )
        for sender, one in enumerate(lanes)
    ]


def dealt_to(
    sealed: Sealed,
    holder: int,
    envelope: bytes | None = None,
    *,
    parameters: RingParameters | None = None,
) -> Dealt:
    """What `holder` gets of a dealing among all seats, or another envelope in its place."""
    ring = parameters or RingParameters()
    return Dealt(
        envelope=sealed.envelopes[holder] if envelope is None else envelope,
        hashes=tuple(envelope_hash(one, ring) for one in sealed.envelopes),
        proof=sealed.proof,
    )


def openings_of(
    scheme: ThresholdScheme,
    sealed: Sequence[Sealed],
    *,
    holders: int,
    who: Sequence[int],
    context: RoundContext | None = None,
) -> dict[int, bytes]:
    return {
        holder: scheme.opening(
            {
                sender: dealt_to(one, holder, parameters=scheme.parameters)
                for sender, one in enumerate(sealed)
            },
            context=context or round_context(),
            receiver=holder,
            private_keys=[key_pairs(holders)[holder][0]],
        )
        for holder in who
    }


def frame(kind: int, body: bytes, parameters: RingParameters | None = None) -> bytes:
    """The frame of the wire format, written a second time from its description."""
    tag = (parameters or RingParameters()).tag
    message = struct.pack("<4sBB8s", b"FSWM", 3, kind, tag) + body
    return message + blake3(message, derive_key_context="flwr_swarm/v1/wire").digest()


def pack60(residues: Sequence[int]) -> bytes:
    """Residues in 60 bits each as one long little-endian integer."""
    total = sum(int(residue) << (60 * i) for i, residue in enumerate(residues))
    return total.to_bytes(len(residues) * 60 // 8, "little")
