"""What a member must not forget between messages. Holds no key of any update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .hashing import Arrays
from .messages import Place
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
    layout, merged : bytes
    """

    parent: Parent
    terms: Terms
    threshold: int
    included: tuple[int, ...]
    layout: bytes
    merged: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """A member's memory. Every step returns the next one; the adapter persists it first.

    Parameters
    ----------
    place : Place or None
        Chain, contract and terms, pinned at first contact; a different one later is refused.
    parent : Parent or None
        Model of the round that the member last sealed in.
    pending : Held or None
        Sum of the newest round in which the member held an office.
    held : Held or None
        The same for the last round that was certified.
    signed : mapping of (round, view) to bytes
        Certificate digest that the member signed there: it signs no other.
    opened : mapping of int to bytes
        Round to certificate digest for which shares were released: they are released for no other.
    """

    place: Place | None = None
    parent: Parent | None = None
    pending: Held | None = None
    held: Held | None = None
    signed: Mapping[tuple[int, int], bytes] = field(default_factory=dict)
    opened: Mapping[int, bytes] = field(default_factory=dict)
