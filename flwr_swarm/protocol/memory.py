"""What a member must not forget between messages. Holds no key of any update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from .._octets import Octets
from .hashing import Arrays
from .ledger import SealCall
from .messages import Place, SealReply
from .payload import decode_arrays, encode_arrays
from .terms import Terms


@dataclass(frozen=True, kw_only=True)
class Parent:
    """The model that a round trains on, kept to recompute the next one.

    Parameters
    ----------
    round : int
    hash : bytes
        Parent hash that the member's seal named.
    model, state : Arrays
        Global model, and the strategy's server state beside it.
    """

    round: int
    hash: bytes
    model: Arrays = field(repr=False)
    state: Arrays = field(repr=False)

    @cached_property
    def encoded(self) -> tuple[Octets, Octets]:
        """Model and state as bytes; encoded once, for they are saved again and again."""
        return encode_arrays(self.model), encode_arrays(self.state)

    @classmethod
    def decoded(cls, *, round: int, hash: bytes, encoded: tuple[Octets, Octets]) -> Parent:
        """What `encoded` gave, which it gives again; WireError if it is something else."""
        model, state = map(decode_arrays, encoded)
        parent = cls(round=round, hash=hash, model=model, state=state)
        vars(parent)["encoded"] = encoded  # where `cached_property` keeps it
        return parent


@dataclass(frozen=True, kw_only=True)
class Held:
    """A sum that this member merged as an officer, with the rules and the model it came from.

    Parameters
    ----------
    parent : Parent
    terms : Terms
        As they were in that round.
    threshold : int
        Openings that open it: those of that round's policy.
    included : tuple of int
    layout : bytes
    body : bytes
        Hash of the first included payload alone: shows a relay that its seal names this layout.
    merged : bytes or memoryview
    """

    parent: Parent
    terms: Terms
    threshold: int
    included: tuple[int, ...]
    layout: bytes
    body: bytes
    merged: Octets = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Given:
    """What this member sealed last, kept so that it can be sent again as it was, and only so.

    A member that restarts, or that a new relay asks again, must not draw a second key in a round:
    it repeats the bytes that its seal names. The secret that the seal reveals is not in here.

    Parameters
    ----------
    reply : SealReply
    parent, payload_hash, shares_hash : bytes
        As in the seal.
    position : int
        Which of the member's election secrets the seal reveals.
    epoch : int
        Of the ledger when it was sealed; shares fit the members of that epoch.
    epsilon : int
    verified : bool
    """

    reply: SealReply = field(repr=False)
    parent: bytes
    payload_hash: bytes
    shares_hash: bytes
    position: int
    epoch: int
    epsilon: int
    verified: bool

    @property
    def round(self) -> int:
        """Round in which it was sealed."""
        return self.reply.round

    def call(self, *, reveal: bytes, commitment: bytes) -> SealCall:
        """The seal itself, with the secrets that only the member's keys give."""
        return SealCall(
            round=self.round,
            parent=self.parent,
            payload_hash=self.payload_hash,
            shares_hash=self.shares_hash,
            reveal=reveal,
            commitment=commitment,
            epsilon=self.epsilon,
            verified=self.verified,
        )


@dataclass(frozen=True, kw_only=True)
class Memory:
    """A member's memory. Every step returns the next one; the adapter persists it first.

    Parameters
    ----------
    place : Place or None
        Chain, contract and terms, pinned at first contact; a different one later is refused.
    parent : Parent or None
        Model that the member was last offered and agreed to train on.
    intended : int
        Newest round for which a one-time key was drawn, 0 for none. Written before it is drawn:
        a member that finds its own intent and no seal in `given` draws no second key.
    given : Given or None
        What the member sealed last.
    pending : Held or None
        Sum of the newest round in which the member held an office.
    held : Held or None
        The same for the last round that was certified.
    signed : mapping of (round, view) to bytes
        Certificate digest that the member signed there: it signs no other.
    opened : mapping of int to bytes
        Round to what shares were released for, and for nothing else: certificate digest, and a
        digest of the dealings (see `encryption.Holder`).
    opening : (int, bytes) or None
        Newest round for which shares were released, and what was released.
    """

    place: Place | None = None
    parent: Parent | None = None
    intended: int = 0
    given: Given | None = None
    pending: Held | None = None
    held: Held | None = None
    signed: Mapping[tuple[int, int], bytes] = field(default_factory=dict)
    opened: Mapping[int, bytes] = field(default_factory=dict)
    opening: tuple[int, bytes] | None = field(default=None, repr=False)
