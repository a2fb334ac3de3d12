"""A dealer that follows the protocol but for what a test bends, and signs what it did."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flwr_swarm.encryption import RoundContext, edwards, hpke
from flwr_swarm.encryption.dealing import _combinations, _signed, _transcript
from flwr_swarm.encryption.dealing_wire import Proof, read_proof, write_proof
from flwr_swarm.encryption.dense import pack_residues
from flwr_swarm.encryption.envelope import Channel
from flwr_swarm.encryption.hashes import envelope_hash
from flwr_swarm.encryption.parameters import DEFAULT, RingParameters
from flwr_swarm.encryption.randomness import uniform
from flwr_swarm.encryption.shamir import evaluate, polynomial
from flwr_swarm.encryption.wire import MASKS, Envelope, write_envelope

Q = 2**60 - 2**14 + 1
SMALL_ORDER = [
    (1).to_bytes(32, "little"),
    bytes(32),
    (2**255 - 20).to_bytes(32, "little"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
]
OFF_CURVE = (2).to_bytes(32, "little")
NOT_CANONICAL = (2**255 - 19 + 3).to_bytes(32, "little")


def off_by_one(at: int) -> Callable[[np.ndarray], np.ndarray]:
    """Adds one to one residue: below 4096 of the key, from there of the masks."""

    def bend(share: np.ndarray) -> np.ndarray:
        share = share.copy()
        share[at] = (int(share[at]) + 1) % Q
        return share

    return bend


def random_share(share: np.ndarray) -> np.ndarray:
    return uniform(os.urandom, share.size)


def not_a_residue(share: np.ndarray) -> bytes:
    return b"\xff" * len(pack_residues(share))


def crooked(
    secret: np.ndarray,
    *,
    context: RoundContext,
    sender: int,
    holders: Sequence[bytes | None],
    threshold: int,
    random: Callable[[int], bytes] = os.urandom,
    parameters: RingParameters = DEFAULT,
    victims: Sequence[int] = (),
    share: Callable[[np.ndarray], Any] = lambda share: share,
    sealed: Callable[[bytes], bytes] = lambda sealed: sealed,
    told: RoundContext | None = None,
    degree: int = 0,
    rows: Callable[[np.ndarray, bytes], np.ndarray] = lambda rows, transcript: rows,
    proof: Callable[[Proof], Proof] = lambda proof: proof,
    before: Callable[[Proof], Proof] = lambda proof: proof,
) -> tuple[tuple[bytes, ...], bytes]:
    """As `dealing.deal`, and honest unless told otherwise.

    `share` and `sealed` bend what the victims get, before and after it is encrypted, `told` seals
    it for another round; `degree` adds to the polynomial's; `rows` bends the proof before it is
    signed, `proof` after.
    """
    extended = np.concatenate([secret, uniform(random, MASKS)])
    coefficients = polynomial(extended, threshold=threshold + degree, random=random)
    seed = random(32)
    signer = Ed25519PrivateKey.from_private_bytes(seed)
    point = signer.public_key().public_bytes_raw()
    envelopes = []
    for receiver, key in enumerate(holders):
        if key is None:
            continue
        mine = evaluate(coefficients, receiver + 1)
        bent: Any = share(mine) if receiver in victims else mine
        channel = Channel(
            context=told if told is not None and receiver in victims else context,
            sender=sender,
            receiver=receiver,
            public_key=key,
            ephemeral=edwards.montgomery_of(point),
        )
        text = hpke.seal(
            bent if isinstance(bent, bytes) else pack_residues(bent),
            ephemeral_key=edwards.signing_scalar(seed),
            ephemeral=channel.ephemeral,
            public_key=key,
            info=channel.info,
        )
        text = sealed(text) if receiver in victims else text
        envelope = Envelope(sender=sender, receiver=receiver, key=key, sealed=text)
        envelopes.append(write_envelope(envelope, parameters))
    hashes = [envelope_hash(envelope, parameters) for envelope in envelopes]
    made = Proof(
        sender=sender,
        threshold=threshold,
        ephemeral=point,
        coefficients=np.zeros((threshold, MASKS), np.uint64),
        signature=bytes(64),
    )
    made = before(made)
    transcript = _transcript(context, sender, threshold, made.ephemeral, hashes)
    combined = rows(_combinations(transcript, np.stack(coefficients))[:threshold], transcript)
    made = replace(
        made, coefficients=combined, signature=signer.sign(_signed(transcript, combined))
    )
    return tuple(envelopes), write_proof(proof(made), parameters)


def stolen_ephemeral(of: bytes) -> Callable[[Proof], Proof]:
    """The ephemeral key of another dealer's proof `of`, signed with one's own."""
    return lambda proof: replace(proof, ephemeral=read_proof(of, DEFAULT).ephemeral)
