"""Sharing a key so that each holder can check its share: it lies on the dealer's polynomials.

After Atapoor, Baghery, Cozzo and Pedersen, "VSS from Distributed ZK Proofs and Applications",
2023. The dealer shares its key s and a few uniform masks z with one random polynomial f of degree
t - 1, seals the shares, and derives challenges r_k from all that it sealed. It publishes
g_k(x) = <r_k, f(x)> + z_k(x). That t + 1 given holders' shares, not on one polynomial of degree
t - 1, all pass has probability q^-4 = 2^-240 for each choice of what is sealed.

The proof adds nothing to what t - 1 holders know of s: their shares fix g_k at t - 1 points, and
what is left of g_k is uniform, as z_k is uniform given t - 1 of its shares.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from flwr_swarm._exceptions import ConfigurationError

from . import edwards
from .context import PROTOCOL, RoundContext
from .dealing_wire import Proof, write_proof
from .dense import pack_residues
from .envelope import Channel, seal_share
from .hashes import envelope_hash
from .modular import Residues, add, inner
from .parameters import DEGREE, RingParameters
from .randomness import RandomBytes, draw, expand_public, uniform
from .shamir import evaluate, polynomial
from .wiping import wiped
from .wire import MASKS


@dataclass(frozen=True, kw_only=True)
class Dealt:
    """What one holder gets of one dealing.

    Parameters
    ----------
    envelope : bytes
        The share that is addressed to it.
    hashes : tuple of bytes
        Of all envelopes of the dealing, in the order of their holders.
    proof : bytes
    """

    envelope: bytes
    hashes: tuple[bytes, ...]
    proof: bytes

    def __repr__(self) -> str:
        return f"Dealt({len(self.envelope)} bytes, one of {len(self.hashes)})"


def deal(
    secret: Residues,
    *,
    context: RoundContext,
    sender: int,
    holders: Sequence[bytes | None],
    threshold: int,
    random: RandomBytes,
    parameters: RingParameters,
) -> tuple[tuple[bytes, ...], bytes]:
    """Envelopes for the holders and the proof that they hold shares of one key, t-of-n.

    Parameters are those of `ThresholdScheme.seal`; `secret` is not kept.
    """
    extended = np.concatenate([secret, uniform(random, MASKS)])
    coefficients = polynomial(extended, threshold=threshold, random=random)
    seed = draw(random, 32)
    signer = Ed25519PrivateKey.from_private_bytes(seed)
    ephemeral_key = edwards.signing_scalar(seed)
    ephemeral = X25519PrivateKey.from_private_bytes(ephemeral_key).public_key().public_bytes_raw()
    point = signer.public_key().public_bytes_raw()
    envelopes = []
    with wiped(extended, coefficients):
        for receiver, public_key in enumerate(holders):
            if public_key is None:
                continue
            channel = Channel(
                context=context,
                sender=sender,
                receiver=receiver,
                public_key=public_key,
                ephemeral=ephemeral,
            )
            share = evaluate(coefficients, receiver + 1)
            with wiped(share):
                envelopes.append(seal_share(share, channel, ephemeral_key, parameters))
        hashes = [envelope_hash(envelope, parameters) for envelope in envelopes]
        transcript = _transcript(context, sender, threshold, point, hashes)
        combined = _combinations(transcript, coefficients)
    proof = Proof(
        sender=sender,
        threshold=threshold,
        ephemeral=point,
        coefficients=combined,
        signature=signer.sign(_signed(transcript, combined)),
    )
    return tuple(envelopes), write_proof(proof, parameters)


def visible_fault(
    proof: Proof, hashes: Sequence[bytes], *, context: RoundContext, sender: int
) -> str | None:
    """What is wrong with a dealing for everybody to see, without any envelope opened.

    The signature shows that the dealer knows the key of `ephemeral`. Were it another dealer's,
    a holder's complaint would open that one's envelope.
    """
    point = edwards.decode(proof.ephemeral)
    if proof.sender != sender:
        return f"its proof is one of member {proof.sender}"
    if point is None or point.times_eight() == edwards.NEUTRAL:
        return "its ephemeral key is no safe point"
    transcript = _transcript(context, sender, proof.threshold, proof.ephemeral, hashes)
    try:
        key = Ed25519PublicKey.from_public_bytes(proof.ephemeral)
        key.verify(proof.signature, _signed(transcript, proof.coefficients))
    except (InvalidSignature, ValueError):
        return "its proof is not signed by its ephemeral key"
    return None


def fits(
    share: Residues, proof: Proof, hashes: Sequence[bytes], *, context: RoundContext, receiver: int
) -> bool:
    """Whether a share of key and masks is the one that the proof speaks of."""
    transcript = _transcript(context, proof.sender, proof.threshold, proof.ephemeral, hashes)
    expected = evaluate(proof.coefficients, receiver + 1)
    found = _combinations(transcript, share[np.newaxis])[0]
    # What a good share gives is public, what a bad one gives is not.
    return hmac.compare_digest(found.tobytes(), expected.tobytes())


def check_holders(holders: Sequence[bytes | None], sender: int) -> None:
    """Raise ConfigurationError unless the sender has a seat among the holders."""
    if not 0 <= sender < len(holders):
        raise ConfigurationError(f"sender must be 0 to {len(holders) - 1}, got {sender}")


def _transcript(
    context: RoundContext, sender: int, threshold: int, ephemeral: bytes, hashes: Sequence[bytes]
) -> bytes:
    """32 bytes that fix all that was sealed, before any challenge is known."""
    numbers = b"".join(n.to_bytes(2, "big") for n in (sender, threshold, len(hashes)))
    body = context.digest() + numbers + ephemeral + b"".join(hashes)
    return hashlib.sha256(PROTOCOL + b"dealing\0" + body).digest()


def _combinations(transcript: bytes, shares: Residues) -> Residues:
    """(rows, MASKS): <r_k, key part> + mask k, of each row of `shares`."""
    challenges = expand_public(PROTOCOL + b"deal challenge\0" + transcript, MASKS * DEGREE)
    rows = challenges.reshape(MASKS, DEGREE)
    keys, masks = shares[:, :DEGREE], shares[:, DEGREE:]
    return add(np.stack([inner(rows, key) for key in keys]), masks)


def _signed(transcript: bytes, coefficients: Residues) -> bytes:
    return PROTOCOL + b"dealt\0" + transcript + pack_residues(coefficients.reshape(-1))
