"""Small rounds whose sums everyone knows: of the scheme as it is, with two faults, and of CKKS."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import tenseal
from numpy.typing import NDArray

from flwr_swarm.encryption import (
    CertifiedSet,
    Dealt,
    Holder,
    RoundContext,
    Sealed,
    ThresholdScheme,
    VolatileMemory,
    envelope_hash,
    generate_encryption_key,
)
from flwr_swarm.encryption.cipher import encrypt
from flwr_swarm.encryption.opening import recover_key
from flwr_swarm.encryption.packing import pack
from flwr_swarm.encryption.parameters import DEFAULT, ETA, MODULUS
from flwr_swarm.encryption.randomness import Coins, Stream, uniform
from flwr_swarm.encryption.ring import Multiplier
from flwr_swarm.encryption.scaling import scale_up
from flwr_swarm.encryption.wire import read_aggregate

from .gates_recovery import OpenedRound
from .key_recovery import Chunk, CkksParameters, chunk_of, solvable

_MEMBERS, _THRESHOLD, _LANES = 3, 2, 9000
_SCHEME = ThresholdScheme()
_CONTEXT = RoundContext(chain_id=1, contract="0x" + "11" * 20, round=1, anchor=bytes(32))


def by_the_scheme() -> OpenedRound:
    """Sealed, merged and opened by the scheme."""
    return _opened()[0]


def with_published_errors() -> OpenedRound:
    """The same, but that noisy messages are published, as CKKS does, and not the rounded ones."""
    one, key = _opened()
    with Multiplier(seed=one.seed, factor=key) as multiplier:
        product = multiplier.products(0, 1)[0]
    noisy = read_aggregate(one.merged, DEFAULT).residues[0].astype(object) - product.astype(object)
    first = one.sums[: DEFAULT.lanes_per_chunk].astype(np.uint32)
    errors = (noisy - scale_up(pack(first, DEFAULT), DEFAULT)[0].astype(object)) % MODULUS
    centred = np.where(errors > MODULUS // 2, errors - MODULUS, errors)
    return replace(one, errors=centred.astype(np.int64))


def without_errors() -> OpenedRound:
    """The same, but that no member adds errors to what it seals."""
    lanes = _lanes()
    payloads = [
        encrypt(
            row,
            secret=uniform(os.urandom, 4096).copy(),
            seed=_CONTEXT.common_seed(),
            stream=_Silent(random=os.urandom),
            parameters=DEFAULT,
        )
        for row in lanes
    ]
    return OpenedRound(
        merged=_SCHEME.merge(payloads),
        sums=np.sum(lanes, axis=0, dtype=np.uint64),
        seed=_CONTEXT.common_seed(),
    )


def of_ckks(parameters: CkksParameters | None = None) -> tuple[Chunk, Chunk]:
    """Two sums under one CKKS key, and the floats that TenSEAL decrypts them to.

    Of all sums of a federation, which has one for each chunk of a model: two that can be solved.
    """
    settings = parameters or CkksParameters()
    context = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS,
        poly_modulus_degree=settings.degree,
        coeff_mod_bit_sizes=list(settings.bits),
    )
    context.global_scale = settings.scale
    draw = np.random.default_rng()

    def published() -> Chunk:
        updates = draw.normal(scale=0.05, size=(_MEMBERS, settings.degree // 2))
        first, *others = (tenseal.ckks_vector(context, update) for update in updates)
        total = sum(others, first)
        return chunk_of(total, total.decrypt())

    first, second = published(), published()
    while not solvable(first, second, settings):
        second = published()
    return first, second


class _Silent(Stream):
    def coins(self, count: int) -> Coins:
        """So many coins turned up that every error is zero."""
        words = np.full(count, (1 << ETA) - 1, dtype=np.uint64)
        return Coins(words=words, spare=np.zeros(count, dtype=np.uint32))


def _lanes() -> NDArray[np.uint32]:
    """One of two in a coefficient, so that its scaling is exact: errors alone hide the key."""
    lanes = np.random.default_rng().integers(0, 2**20, (_MEMBERS, _LANES), dtype=np.uint32)
    lanes[:, 1::2] = 0
    return lanes


def _opened() -> tuple[OpenedRound, NDArray[np.uint64]]:
    """A round, and the sum of its keys."""
    pairs = [generate_encryption_key(os.urandom) for _ in range(_MEMBERS)]
    sealed = [
        _SCHEME.seal(
            row,
            context=_CONTEXT,
            sender=sender,
            holders=[public for _, public in pairs],
            threshold=_THRESHOLD,
        )
        for sender, row in enumerate(_lanes())
    ]
    certified = CertifiedSet(members=tuple(range(_MEMBERS)), certificate=bytes(32))
    openings = {
        holder: Holder(index=holder, private_keys=[pairs[holder][0]], memory=VolatileMemory()).open(
            {sender: _dealt(one, holder) for sender, one in enumerate(sealed)},
            certified=certified,
            context=_CONTEXT,
        )
        for holder in range(_THRESHOLD)
    }
    merged = _SCHEME.merge([one.payload for one in sealed])
    sums = _SCHEME.open(merged, openings, context=_CONTEXT, threshold=_THRESHOLD, included=_MEMBERS)
    key = recover_key(
        openings, context=_CONTEXT, threshold=_THRESHOLD, included=_MEMBERS, parameters=DEFAULT
    )
    return OpenedRound(merged=merged, sums=sums, seed=_CONTEXT.common_seed()), key


def _dealt(sealed: Sealed, holder: int) -> Dealt:
    return Dealt(
        envelope=sealed.envelopes[holder],
        hashes=tuple(envelope_hash(one, DEFAULT) for one in sealed.envelopes),
        proof=sealed.proof,
    )
