"""The wire of what makes a dealing accountable: its proof, and a holder's complaint about it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from flwr_swarm._exceptions import WireError

from .dense import pack_residues, unpack_residues
from .edwards import ORDER
from .modular import Residues
from .parameters import MAX_MEMBERS, RingParameters
from .wire import (
    COMPLAINT,
    MASKS,
    PROOF,
    check_member,
    fields,
    frame,
    unframe,
)

_PROOF = struct.Struct("<HH")
_COMPLAINT = struct.Struct("<HH32s")
_ROW_BYTES: Final = MASKS // 2 * 15
_POINT: Final = 32
_SIGNATURE: Final = 64


@dataclass(frozen=True, kw_only=True, repr=False)
class Proof:
    """What a dealer publishes of one dealing.

    Parameters
    ----------
    sender, threshold : int
    ephemeral : bytes
        Encoded edwards25519 point of the key pair under which its envelopes are sealed.
    coefficients : (threshold, MASKS) uint64
        Row d holds the coefficient of x^d of each combination.
    signature : bytes
        By the ephemeral key, on all of this and all envelopes.
    """

    sender: int
    threshold: int
    ephemeral: bytes
    coefficients: Residues
    signature: bytes


@dataclass(frozen=True, kw_only=True, repr=False)
class Complaint:
    """Holder `holder`'s statement that `dealer`'s envelope to it is bad.

    Parameters
    ----------
    dealer, holder : int
    context : bytes
        Digest of the round.
    revealed : tuple of (bytes, int, int) or None
        Encoded point of the X25519 shared secret, challenge and response of the proof that it
        is the one. None if everybody can see from the proof of dealing alone what is wrong.
    """

    dealer: int
    holder: int
    context: bytes
    revealed: tuple[bytes, int, int] | None


def write_proof(proof: Proof, parameters: RingParameters) -> bytes:
    """The proof of one dealing."""
    head = _PROOF.pack(proof.sender, proof.threshold)
    rows = pack_residues(proof.coefficients.reshape(-1))
    return frame(PROOF, [head, proof.ephemeral, rows, proof.signature], parameters)


def read_proof(data: bytes, parameters: RingParameters) -> Proof:
    """Parse a proof, or WireError. Nothing in it is verified yet."""
    name = "proof"
    (sender, threshold), rest = fields(unframe(data, PROOF, parameters), _PROOF, name)
    check_member(sender, name)
    if not 2 <= threshold <= MAX_MEMBERS:
        raise WireError(f"the {name} has {threshold} rows, allowed are 2 to {MAX_MEMBERS}")
    rows = threshold * _ROW_BYTES
    if len(rest) != _POINT + rows + _SIGNATURE:
        raise WireError(
            f"{threshold} rows take {_POINT + rows + _SIGNATURE} bytes, the {name} holds "
            f"{len(rest)}"
        )
    return Proof(
        sender=sender,
        threshold=threshold,
        ephemeral=bytes(rest[:_POINT]),
        coefficients=unpack_residues(rest[_POINT : _POINT + rows]).reshape(-1, MASKS),
        signature=bytes(rest[_POINT + rows :]),
    )


def write_complaint(complaint: Complaint, parameters: RingParameters) -> bytes:
    """One holder's complaint about one dealer."""
    body = [_COMPLAINT.pack(complaint.dealer, complaint.holder, complaint.context)]
    if complaint.revealed is not None:
        point, challenge, response = complaint.revealed
        body += [point, challenge.to_bytes(32, "little"), response.to_bytes(32, "little")]
    return frame(COMPLAINT, body, parameters)


def read_complaint(data: bytes, parameters: RingParameters) -> Complaint:
    """Parse a complaint, or WireError. Nothing in it is verified yet."""
    name = "complaint"
    body = unframe(data, COMPLAINT, parameters)
    if len(body) not in {_COMPLAINT.size, _COMPLAINT.size + 3 * 32}:
        raise WireError(f"a {name} of {len(body)} bytes is too short or too long")
    dealer, holder, context = _COMPLAINT.unpack_from(body)
    for index in (dealer, holder):
        check_member(index, name)
    revealed, rest = None, bytes(body[_COMPLAINT.size :])
    if rest:
        challenge, response = (int.from_bytes(rest[at : at + 32], "little") for at in (32, 64))
        if max(challenge, response) >= ORDER:
            raise WireError(f"a number of the {name} is not below the order of the curve")
        revealed = (rest[:32], challenge, response)
    return Complaint(dealer=dealer, holder=holder, context=context, revealed=revealed)
