"""A complaint that anyone can verify: one envelope opened to the public, provably rightly.

The holder shows the X25519 secret that it shares with the dealer's ephemeral key, as a point, and
proves in zero knowledge (Chaum and Pedersen, 1992) that its own public key has the same
discrete logarithm. Whoever has the point derives HPKE's key, decrypts this one envelope and sees
whether it holds what the dealer's proof says. A complaint about an honest dealer opens the
complainer's own share and convinces nobody.

The dealer knows every secret that a complaint shows, since its signature proves that it knows
the ephemeral key; without a valid signature nothing is shown, as none is needed.

Curve25519's points are taken into the group of prime order L: the holder's scalar is a multiple
of eight, so that it meets only eight times the ephemeral point, whatever a hostile dealer chose.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from flwr_swarm._exceptions import WireError

from .context import PROTOCOL, RoundContext
from .dealing import Dealt, fits, visible_fault
from .dealing_wire import Complaint, read_complaint, read_proof, write_complaint
from .edwards import BASE, ORDER, Point, decode, lifted, x25519_scalar
from .envelope import Channel, open_share
from .hashes import envelope_hash, proof_hash
from .parameters import RingParameters
from .wire import read_envelope


@dataclass(frozen=True)
class _Statement:
    """That `secret` is to `ephemeral` as the holder's `public` is to eight times the base point.

    `ephemeral` is eight times the dealer's point; all are of order L.
    """

    about: bytes
    public: Point
    ephemeral: Point
    secret: Point

    def challenge(self, first: Point, second: Point) -> int:
        points = (self.public, self.ephemeral, self.secret, first, second)
        body = self.about + b"".join(point.encode() for point in points)
        return _number(hashlib.sha512(PROTOCOL + b"complaint\0" + body).digest())


def complain(
    dealt: Dealt,
    *,
    context: RoundContext,
    dealer: int,
    private_key: bytes,
    parameters: RingParameters,
) -> bytes:
    """A complaint by the receiver of `dealt`, who holds `private_key`.

    The proof's nonce is derived from key and statement, as in RFC 8032: asked again, a holder
    answers the same.
    """
    envelope, proof = (
        read_envelope(dealt.envelope, parameters),
        read_proof(dealt.proof, parameters),
    )
    revealed = None
    if visible_fault(proof, dealt.hashes, context=context, sender=dealer) is None:
        public, ephemeral = lifted(envelope.key), decode(proof.ephemeral)
        assert public is not None and ephemeral is not None  # noqa: S101, PT018 - both looked at
        scalar = x25519_scalar(private_key) // 8 % ORDER
        if scalar * _BASE != public:
            scalar = ORDER - scalar
        eight = ephemeral.times_eight()
        statement = _Statement(
            _about(dealt, context, dealer, envelope.receiver, parameters),
            public,
            eight,
            scalar * eight,
        )
        nonce = _nonce(private_key, statement)
        challenge = statement.challenge(nonce * _BASE, nonce * eight)
        response = (nonce + challenge * scalar) % ORDER
        revealed = (statement.secret.encode(), challenge, response)
    return write_complaint(
        Complaint(
            dealer=dealer, holder=envelope.receiver, context=context.digest(), revealed=revealed
        ),
        parameters,
    )


def upheld(
    complaint: bytes,
    dealt: Dealt,
    *,
    context: RoundContext,
    pinned: bytes,
    parameters: RingParameters,
) -> Complaint | None:
    """The complaint, if it proves that its dealer dealt badly; None otherwise.

    Parameters
    ----------
    complaint : bytes
    dealt : Dealt
        As the seal of the dealer that the complaint names fixes it; who calls has checked that.
    context : RoundContext
    pinned : bytes
        Public key of the holder that the complaint names, as the ledger has it. An envelope that
        was sealed to another key proves nothing.
    parameters : RingParameters
    """
    try:
        said = read_complaint(complaint, parameters)
        envelope = read_envelope(dealt.envelope, parameters)
        proof = read_proof(dealt.proof, parameters)
    except WireError:
        return None
    if (
        said.context != context.digest()
        or (envelope.sender, envelope.receiver, envelope.key) != (said.dealer, said.holder, pinned)
        or envelope_hash(dealt.envelope, parameters) not in dealt.hashes
    ):
        return None
    if visible_fault(proof, dealt.hashes, context=context, sender=said.dealer) is not None:
        return said
    secret = _proven_secret(said, dealt, context, parameters)
    if secret is None:
        return None
    ephemeral = decode(proof.ephemeral)
    assert ephemeral is not None  # noqa: S101 - no visible fault
    channel = Channel(
        context=context,
        sender=said.dealer,
        receiver=said.holder,
        public_key=pinned,
        ephemeral=ephemeral.montgomery(),
    )
    share = open_share(envelope, channel, secret.montgomery())
    good = share is not None and fits(
        share, proof, dealt.hashes, context=context, receiver=said.holder
    )
    return None if good else said


def _proven_secret(
    said: Complaint, dealt: Dealt, context: RoundContext, parameters: RingParameters
) -> Point | None:
    """The point that the complaint reveals, if it is the one that the holder shares."""
    if said.revealed is None:
        return None
    encoded, challenge, response = said.revealed
    secret = decode(encoded)
    public = lifted(read_envelope(dealt.envelope, parameters).key)
    ephemeral = decode(read_proof(dealt.proof, parameters).ephemeral)
    if secret is None or public is None or ephemeral is None:
        return None
    if not (secret.of_order_l() and public.of_order_l()):
        return None
    statement = _Statement(
        _about(dealt, context, said.dealer, said.holder, parameters),
        public,
        ephemeral.times_eight(),
        secret,
    )
    first = response * _BASE + -(challenge * statement.public)
    second = response * statement.ephemeral + -(challenge * statement.secret)
    return secret if statement.challenge(first, second) == challenge else None


def _about(
    dealt: Dealt, context: RoundContext, dealer: int, holder: int, parameters: RingParameters
) -> bytes:
    """What a complaint's proof is bound to, so that it serves for nothing else."""
    route = dealer.to_bytes(2, "big") + holder.to_bytes(2, "big")
    sealed = envelope_hash(dealt.envelope, parameters) + proof_hash(dealt.proof, parameters)
    return context.digest() + route + sealed


def _nonce(private_key: bytes, statement: _Statement) -> int:
    points = (statement.public, statement.ephemeral, statement.secret)
    body = statement.about + b"".join(point.encode() for point in points)
    return _number(hmac.digest(private_key, PROTOCOL + b"complaint nonce\0" + body, "sha512"))


def _number(digest: bytes) -> int:
    """A number below L from 64 bytes, as good as uniform."""
    return int.from_bytes(digest, "little") % ORDER


_BASE = BASE.times_eight()
