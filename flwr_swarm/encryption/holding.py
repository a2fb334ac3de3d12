"""A holder's side of a dealing: its share, or a complaint that the dealer cannot deny."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from flwr_swarm._exceptions import BadDealing, ShareRefused

from . import hpke, modular
from .complaint import complain, upheld
from .context import RoundContext
from .dealing import Dealt, fits
from .dealing_wire import read_proof
from .edwards import montgomery_of
from .envelope import Channel, open_share
from .modular import Residues
from .parameters import DEGREE, RingParameters
from .wiping import wiped
from .wire import Opening, read_envelope, write_opening


def held_share(
    dealt: Dealt,
    *,
    context: RoundContext,
    sender: int,
    receiver: int,
    keys: Mapping[bytes, bytes],
    parameters: RingParameters,
) -> Residues:
    """The share of the sender's key, (4096,) uint64; the masks' shares stay here.

    Parameters
    ----------
    dealt : Dealt
        As the sender's seal fixes it; who calls has checked that.
    context, sender, receiver
    keys : mapping of bytes to bytes
        This holder's X25519 keys, public to private.
    parameters : RingParameters

    Raises
    ------
    WireError
        If envelope or proof is malformed.
    BadDealing
        If the envelope does not open, or its share is not the one that the proof speaks of.
    ShareRefused
        If the envelope is of another sender or receiver, or sealed to none of these keys.
    """
    envelope = read_envelope(dealt.envelope, parameters)
    if (envelope.sender, envelope.receiver) != (sender, receiver):
        raise ShareRefused(
            f"the envelope goes from member {envelope.sender} to member {envelope.receiver}, "
            f"expected {sender} to {receiver}"
        )
    if envelope.key not in keys:
        raise ShareRefused(
            f"the share of member {sender} is sealed to key {envelope.key.hex()[:16]}…, which this "
            f"site does not hold; member {receiver} needs the keystore that it had in round "
            f"{context.round}"
        )
    proof = read_proof(dealt.proof, parameters)
    ephemeral = montgomery_of(proof.ephemeral)
    share = None
    if ephemeral is not None and proof.sender == sender:
        channel = Channel(
            context=context,
            sender=sender,
            receiver=receiver,
            public_key=envelope.key,
            ephemeral=ephemeral,
        )
        try:
            secret = hpke.shared_secret(keys[envelope.key], ephemeral)
        except ValueError:  # a point of small order
            secret = None
        share = None if secret is None else open_share(envelope, channel, secret)
    if share is None or not fits(share, proof, dealt.hashes, context=context, receiver=receiver):
        raise BadDealing(
            f"the key share of member {sender} to member {receiver} in round {context.round} "
            f"{'does not open' if share is None else 'is not the one that its proof speaks of'}"
        )
    share[DEGREE:].fill(0)
    return share[:DEGREE]


def sum_of_shares(
    dealt: Mapping[int, Dealt],
    *,
    context: RoundContext,
    receiver: int,
    keys: Mapping[bytes, bytes],
    parameters: RingParameters,
) -> bytes:
    """An opening over all that is in `dealt`. It remembers nothing: `Holder` alone calls it.

    Parameters and errors are those of `held_share`.
    """
    total = np.zeros(DEGREE, dtype=np.uint64)
    for sender in sorted(dealt):
        share = held_share(
            dealt[sender],
            context=context,
            sender=sender,
            receiver=receiver,
            keys=keys,
            parameters=parameters,
        )
        with wiped(share):
            total = modular.add(total, share)
    return write_opening(
        Opening(
            receiver=receiver,
            context=context.digest(),
            senders=tuple(sorted(dealt)),
            residues=total,
        ),
        parameters,
    )


def complaints(
    dealt: Mapping[int, Dealt],
    *,
    context: RoundContext,
    receiver: int,
    keys: Mapping[bytes, bytes],
    pinned: bytes,
    parameters: RingParameters,
) -> dict[int, bytes]:
    """Complaints by dealer: about each that is bad and whose badness everybody can verify.

    A complaint opens an envelope to the public. So it is made only if it holds by itself, under
    the key `pinned` that the others know; what fails for a reason of this holder stays closed.
    """
    made = {}
    for dealer in sorted(dealt):
        one = dealt[dealer]
        try:
            held_share(
                one,
                context=context,
                sender=dealer,
                receiver=receiver,
                keys=keys,
                parameters=parameters,
            )
        except BadDealing:
            complaint = complain(
                one,
                context=context,
                dealer=dealer,
                private_key=keys[read_envelope(one.envelope, parameters).key],
                parameters=parameters,
            )
            if upheld(complaint, one, context=context, pinned=pinned, parameters=parameters):
                made[dealer] = complaint
        except ShareRefused:
            continue
    return made
