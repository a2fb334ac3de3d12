"""A deterministic source of randomness, keys and rounds for the tests of encryption."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, reduce

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from flwr_swarm.encryption import (
    CertifiedSet,
    Dealt,
    Holder,
    RingParameters,
    RoundContext,
    Sealed,
    ThresholdScheme,
    VolatileMemory,
    envelope_hash,
    generate_encryption_key,
    modular,
    wire,
)
from flwr_swarm.encryption.cipher import decrypt, encrypt
from flwr_swarm.encryption.envelope import public_key_of
from flwr_swarm.encryption.holding import sum_of_shares
from flwr_swarm.encryption.parameters import DEGREE, KEYS, SMALLEST_SUM
from flwr_swarm.encryption.randomness import Stream, uniform

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


def dealt_to(sealed: Sealed, holder: int, envelope: bytes | None = None) -> Dealt:
    """What `holder` gets of a dealing among all seats, or another envelope in its place."""
    return Dealt(
        envelope=sealed.envelopes[holder] if envelope is None else envelope,
        hashes=tuple(envelope_hash(one, KEYS) for one in sealed.envelopes),
        proof=sealed.proof,
    )


def sum_without_memory(
    dealt: Mapping[int, Dealt],
    *,
    context: RoundContext,
    receiver: int,
    private_keys: Sequence[bytes],
) -> bytes:
    """An opening as a holder makes it when nobody asks its memory, nor how many are in the set."""
    keys = {public_key_of(key): key for key in private_keys}
    return sum_of_shares(
        dealt,
        context=context,
        receiver=receiver,
        keys=keys,
        parameters=KEYS,
    )


def openings_of(
    scheme: ThresholdScheme,
    sealed: Sequence[Sealed],
    *,
    holders: int,
    who: Sequence[int],
    context: RoundContext | None = None,
) -> dict[int, bytes]:
    """From holders with empty memories; of one or two members as no holder makes them."""
    made, here = {}, context or round_context()
    for j in who:
        dealt = {i: dealt_to(one, j) for i, one in enumerate(sealed)}
        keys = [key_pairs(holders)[j][0]]
        if len(dealt) < SMALLEST_SUM:
            made[j] = sum_without_memory(dealt, context=here, receiver=j, private_keys=keys)
            continue
        holder = Holder(index=j, private_keys=keys, memory=VolatileMemory())
        made[j] = holder.open(dealt, certified=certified_set(dealt), context=here)
    return made


def certified_set(members: Iterable[int], certificate: bytes = bytes(32)) -> CertifiedSet:
    return CertifiedSet(members=tuple(sorted(members)), certificate=certificate)


def open_directly(
    lanes: Sequence[NDArray[np.uint32]], parameters: RingParameters, *, seed: int | str = 0
) -> NDArray[np.uint64]:
    """What members' lanes open to under the sum of their keys, without sharing any of them.

    Sharing takes time that grows with the square of the members; it is the same for all lanes.
    """
    random, common = deterministic(f"direct {seed}"), round_context().common_seed()
    keys = [uniform(random, DEGREE) for _ in lanes]
    payloads = [
        encrypt(one, secret=key, seed=common, stream=Stream(random=random), parameters=parameters)
        for one, key in zip(lanes, keys, strict=True)
    ]
    merged = ThresholdScheme(parameters=parameters).merge(payloads)
    total = wire.read_aggregate(merged, parameters)
    return decrypt(total, secret=reduce(modular.add, keys), seed=common, parameters=parameters)


def frame(kind: int, body: bytes, parameters: RingParameters | None = None) -> bytes:
    """The frame of the wire format, written a second time from its description."""
    tag = (parameters or RingParameters()).tag
    message = struct.pack("<4sBB8s", b"FSWM", 3, kind, tag) + body
    return message + blake3(message, derive_key_context="flwr_swarm/v1/wire").digest()


def pack60(residues: Sequence[int]) -> bytes:
    """Residues in 60 bits each as one long little-endian integer."""
    total = sum(int(residue) << (60 * i) for i, residue in enumerate(residues))
    return total.to_bytes(len(residues) * 60 // 8, "little")
