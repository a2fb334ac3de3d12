"""Hashes that go on chain: of parsed, canonical content, each under a domain tag of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from flwr_swarm._exceptions import WireError
from flwr_swarm._octets import Octets

from . import wire
from .context import PROTOCOL
from .dealing_wire import read_proof
from .dense import pack_residues
from .parameters import DEFAULT, RingParameters


def _digest(domain: bytes, *parts: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(PROTOCOL + domain + b"\0")
    for part in parts:
        digest.update(part)
    return digest.digest()


def payload_hash(payload: Octets, parameters: RingParameters = DEFAULT) -> bytes:
    """32 bytes that fix a member's ciphertext; WireError if it is malformed."""
    return ciphertext_hash(wire.read_ciphertext(payload, parameters))


def ciphertext_hash(parsed: wire.Ciphertext) -> bytes:
    """`payload_hash` of what was read from a payload.

    A payload has one encoding, and its checksum is a hash of it all: ring, lanes and residues.
    """
    return _digest(b"payload", parsed.checksum)


def aggregate_hash(merged: Octets, parameters: RingParameters = DEFAULT) -> bytes:
    """32 bytes that fix a sum; WireError if it is malformed."""
    return _digest(b"aggregate", wire.read_aggregate(merged, parameters).checksum)


def envelope_hash(envelope: bytes, parameters: RingParameters = DEFAULT) -> bytes:
    """32 bytes that fix one envelope; WireError if it is malformed."""
    parsed = wire.read_envelope(envelope, parameters)
    route = parsed.sender.to_bytes(2, "big") + parsed.receiver.to_bytes(2, "big")
    return _digest(b"envelope", parameters.tag, route, parsed.key, parsed.sealed)


def proof_hash(proof: bytes, parameters: RingParameters = DEFAULT) -> bytes:
    """32 bytes that fix the proof of a dealing; WireError if it is malformed."""
    parsed = read_proof(proof, parameters)
    numbers = parsed.sender.to_bytes(2, "big") + parsed.threshold.to_bytes(2, "big")
    rows = pack_residues(parsed.coefficients.reshape(-1))
    return _digest(b"proof", parameters.tag, numbers, parsed.ephemeral, rows, parsed.signature)


def shares_hash(envelope_hashes: Sequence[bytes], proof: bytes = b"") -> bytes:
    """32 bytes that fix a member's dealing: all its envelopes, in the order of their holders, and
    its proof. Both are empty where nothing is encrypted.

    A holder that is given all hashes checks this, and its own envelope against its own hash.
    """
    for value in envelope_hashes:
        if len(value) != 32:
            raise WireError(f"an envelope hash has 32 bytes, got {len(value)}")
    proven = proof_hash(proof) if proof else bytes(32)
    count = len(envelope_hashes).to_bytes(4, "big")
    return _digest(b"shares", count, *envelope_hashes, proven)
