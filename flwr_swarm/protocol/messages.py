"""The messages of a round, as data: what relay and members say to one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._octets import Octets
from .hashing import Arrays
from .terms import Terms
from .types import ZERO_HASH, Certificate

Signatures = tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a swarm's ledger is, and on which terms it was founded."""

    chain_url: str
    chain_id: int
    contract: str
    terms: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class EnrolRequest:
    """Before the first round: who are you, and what is your first commitment?

    The contract's address is known before it exists (it follows from its deployer's address and
    nonce), so that commitments can be bound to it.
    """

    run_id: int
    node_id: int
    chain_id: int
    contract: str


@dataclass(frozen=True, kw_only=True)
class EnrolReply:
    """A member's public identity, signed with its account key."""

    account: str
    encryption_key: bytes
    commitment: bytes
    signature: bytes
    label: str = ""
    """What the site calls itself; for people only, nothing depends on it."""


@dataclass(frozen=True, kw_only=True)
class ModelProof:
    """What lets the last committee recompute the model that it is offered.

    Parameters
    ----------
    round : int
        The certified round that led to the model, 0 for the initial model.
    openings : mapping of int to bytes
        Holder to opening of that round. Empty if the round was certified but never opened: then
        the model must be the one that round trained on.
    """

    round: int = 0
    openings: Mapping[int, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class SealRequest:
    """Trip 1: train on this model and seal what you learned."""

    place: Place
    round: int
    proof: ModelProof


@dataclass(frozen=True, kw_only=True)
class SealReply:
    """A sealed update: ciphertext, one key share for every holder, and the proof of dealing."""

    round: int
    member: int
    layout: bytes
    payload: Octets = field(repr=False)
    envelopes: tuple[bytes, ...] = field(repr=False)
    proof: bytes = field(default=b"", repr=False)
    """Empty where nothing is encrypted."""


@dataclass(frozen=True, kw_only=True)
class MergeRequest:
    """Trip 2: check these ciphertexts against their seals, add them, sign the sum."""

    place: Place
    round: int
    view: int
    updates: Mapping[int, tuple[bytes, Octets]] = field(repr=False)
    """Member to (layout, payload)."""


@dataclass(frozen=True, kw_only=True)
class MergeReply:
    """A committee member's signature; from the leader, the sum itself as well."""

    member: int
    certificate: Certificate
    signature: bytes
    merged: Octets = field(default=b"", repr=False)


@dataclass(frozen=True, kw_only=True)
class OpenRequest:
    """Trip 3: the round is certified; return the sum of your key shares."""

    place: Place
    certificate: Certificate
    signatures: Signatures
    envelopes: Mapping[int, bytes] = field(repr=False)
    """Included member to the share that it addressed to the receiver."""
    envelope_hashes: Mapping[int, tuple[bytes, ...]] = field(repr=False)
    """Included member to the hashes of all its envelopes, in holder order."""
    proofs: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    """Included member to its proof of dealing."""


@dataclass(frozen=True, kw_only=True)
class OpenReply:
    """One holder's opening of the certified sum, or why it has none."""

    member: int
    opening: bytes = field(default=b"", repr=False)
    complaints: tuple[bytes, ...] = field(default=(), repr=False)
    """About each dealer whose share is bad. With any, there is no opening."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A complaint about one dealer, with what anybody needs to verify it from the ledger."""

    round: int
    dealer: int
    complaint: bytes = field(repr=False)
    envelope: bytes = field(repr=False)
    envelope_hashes: tuple[bytes, ...] = field(repr=False)
    proof: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ReportRequest:
    """After a round with a bad dealer: verify the evidence, and vote to suspend the dealer."""

    place: Place
    evidence: Evidence


@dataclass(frozen=True, kw_only=True)
class NudgeRequest:
    """Off the happy path: look at the ledger, and end what its deadlines have ended."""

    place: Place
    round: int


@dataclass(frozen=True, kw_only=True)
class RecallRequest:
    """Off the happy path: a relay that lost what it had, or never had it, asks for it again.

    Parameters
    ----------
    place : Place
    round : int
        Whose seal, sum and opening are wanted.
    want : frozenset of str
        Some of "given" (the member's own sealed reply), "held" (the sum that it merged),
        "opening" (what it released) and "model".
    model : bytes
        32-byte parent hash of the wanted model.
    """

    place: Place
    round: int
    want: frozenset[str]
    model: bytes = ZERO_HASH


@dataclass(frozen=True, kw_only=True)
class HeldSum:
    """A sum as an officer merged it, with what is needed to open it.

    Parameters
    ----------
    terms : Terms
        Those of its round.
    threshold : int
        Openings that open it.
    included : tuple of int
    layout : bytes
        Of the included payloads.
    body : bytes
        Hash of the first of them alone: with the layout it gives what that member's seal names.
    merged : bytes or memoryview
    """

    terms: Terms
    threshold: int
    included: tuple[int, ...]
    layout: bytes
    body: bytes
    merged: Octets = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class RecallReply:
    """What the member has of it. Nothing here was not sent to a relay before, but the model.

    Parameters
    ----------
    member : int
    given : SealReply or None
    held : HeldSum or None
    opening : bytes
        Empty for none.
    model : (Arrays, Arrays) or None
        Global model and server state with the wanted hash.
    """

    member: int
    given: SealReply | None = field(default=None, repr=False)
    held: HeldSum | None = field(default=None, repr=False)
    opening: bytes = field(default=b"", repr=False)
    model: tuple[Arrays, Arrays] | None = field(default=None, repr=False)
