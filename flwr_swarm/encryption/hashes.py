"""Hashes that go on chain: of parsed, canonical content, each under a domain tag of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from flwr_swarm._exceptions import WireError

from . import wire
from .context import PROTOCOL
from .parameters import DEFAULT, RingParameters


def _digest(domain: bytes, *parts: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(PROTOCOL + domain + b"\0")
    for part in parts:
        digest.update(part)
    return digest.digest()


def payload_hash(payload: bytes, parameters: RingParameters = DEFAULT) -> bytes:
    """32 bytes that fix a member's ciphertext; WireError if it is malformed."""
    return ciphertext_hash(wire.read_ciphertext(payload, parameters), parameters)


def ciphertext_hash(parsed: wire.Ciphertext, parameters: RingParameters = DEFAULT) -> bytes:
    """`payload_hash` of what was read from a payload."""
    head = parameters.tag + parsed.lanes.to_bytes(4, "big")
    return _digest(b"payload", head, parsed.packed)


def aggregate_hash(merged: bytes, parameters: RingParameters = DEFAULT) -> bytes:
    """32 bytes that fix a sum; WireError if it is malformed."""
    parsed = wire.read_aggregate(merged, parameters)
    head = parameters.tag + parsed.lanes.to_bytes(4, "big") + parsed.summands.to_bytes(2, "big")
    return _digest(b"aggregate", head, parsed.packed)


def envelope_hash(envelope: bytes, parameters: RingParameters = DEFAULT) -> bytes:
    """32 bytes that fix one envelope; WireError if it is malformed."""
    parsed = wire.read_envelope(envelope, parameters)
    route = parsed.sender.to_bytes(2, "big") + parsed.receiver.to_bytes(2, "big")
    return _digest(b"envelope", parameters.tag, route, parsed.sealed)


def shares_hash(envelope_hashes: Sequence[bytes]) -> bytes:
    """32 bytes that fix all envelopes of a member, in the order of their holders.

    A holder that is given all hashes checks this, and its own envelope against its own hash.
    """
    for value in envelope_hashes:
        if len(value) != 32:
            raise WireError(f"an envelope hash has 32 bytes, got {len(value)}")
    return _digest(b"shares", len(envelope_hashes).to_bytes(4, "big"), *envelope_hashes)
