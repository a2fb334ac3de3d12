"""The nouns of the protocol: policy, member, seal, round, certificate. Plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

HASH_BYTES: Final = 32
ZERO_HASH: Final = bytes(HASH_BYTES)
EPSILON_UNIT: Final = 1_000_000
"""Epsilon is an integer on chain: micro-epsilon, rounded up by the site that reports it."""
NO_CAP: Final = 2**64 - 1
"""The epsilon cap of a swarm that does not require differential privacy."""


class Phase(Enum):
    """Where the current round stands; the values are the contract's."""

    IDLE = 0
    SEALING = 1
    MERGING = 2
    CERTIFIED = 3
    VOID = 4


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The rules that every member of one swarm accepted when it was founded.

    Parameters
    ----------
    threshold : int
        Number t of openings that recover a round's key sum. Any t - 1 reveal nothing.
    min_included : int
        Smallest number of seals that a certified sum may hold.
    witnesses : int
        Seals of the last committee, marked as having recomputed the model, that a round needs
        before sealing may close. Zero in the first round, and for strategies nobody can replay.
    max_committee : int
        Upper bound of the committee's size.
    close_at : int
        Seals and abstentions that close sealing before its deadline.
    fixed_leader : int or None
        Member who leads every round; None elects by shuffle bag.
    epsilon_cap : int
        Highest cumulative epsilon of a member, in micro-epsilon; `NO_CAP` for none.
    seal_seconds, merge_seconds : int
        Time for sealing, and for the first leader's merge, in seconds of block time.
    max_views : int
        Leaders that are tried before the round is void.
    terms : bytes
        32-byte hash of the numbers that all must share (codec, scheme, strategy).
    """

    threshold: int
    min_included: int
    witnesses: int
    max_committee: int = 7
    close_at: int
    fixed_leader: int | None = None
    epsilon_cap: int = NO_CAP
    seal_seconds: int = 600
    merge_seconds: int = 60
    max_views: int = 4
    terms: bytes = ZERO_HASH


@dataclass(frozen=True, kw_only=True)
class Member:
    """A site as the ledger knows it.

    Parameters
    ----------
    index : int
        Position in the member list, from 0.
    account : str
        Checksummed chain address.
    encryption_key : bytes
        32-byte X25519 public key to which shares are sealed.
    commitment : bytes
        Commitment to the secret that the member's next seal reveals.
    reveals : int
        How many secrets the member has revealed so far.
    epsilon : int
        Cumulative micro-epsilon that the member has reported.
    """

    index: int
    account: str
    encryption_key: bytes
    commitment: bytes
    reveals: int = 0
    epsilon: int = 0


@dataclass(frozen=True, kw_only=True)
class Seal:
    """What one member fixed on chain about its sealed update."""

    member: int
    parent: bytes
    payload_hash: bytes
    shares_hash: bytes
    epsilon: int
    verified: bool


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The one statement of a round that authorises its opening.

    Parameters
    ----------
    round : int
        Round number, from 1.
    view : int
        Which leader of the succession proposed it, from 0.
    included : tuple of int
        Member indices whose updates are in the sum, ascending.
    aggregate_hash : bytes
        32-byte hash of the canonical sum.
    """

    round: int
    view: int
    included: tuple[int, ...]
    aggregate_hash: bytes


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round as the ledger knows it. Empty tuples and zero hashes mean: not yet."""

    number: int
    phase: Phase
    parent: bytes = ZERO_HASH
    seal_deadline: int = 0
    merge_deadline: int = 0
    seals: tuple[Seal, ...] = ()
    abstained: tuple[int, ...] = ()
    beacon: bytes = ZERO_HASH
    succession: tuple[int, ...] = ()
    committee: tuple[int, ...] = ()
    view: int = 0
    certificate: Certificate | None = None

    @property
    def leader(self) -> int | None:
        """Member who may propose in the current view, or None before the draw."""
        return self.succession[self.view] if self.view < len(self.succession) else None

    def seal_of(self, member: int) -> Seal | None:
        """The seal of `member` in this round, if it sealed."""
        return next((seal for seal in self.seals if seal.member == member), None)


@dataclass(frozen=True, kw_only=True)
class LedgerView:
    """One consistent look at the ledger.

    Parameters
    ----------
    chain_id : int
    contract : str
        Checksummed address.
    now : int
        Timestamp of the latest block, in seconds since 1970.
    policy : Policy
    members : tuple of Member
    current : Round
        The newest round; `Phase.IDLE` and number 0 before the first seal.
    final : Round or None
        The newest certified round other than `current`, or None. Its committee is the one
        whose witnesses count.
    """

    chain_id: int
    contract: str
    now: int
    policy: Policy
    members: tuple[Member, ...]
    current: Round
    final: Round | None

    def member_at(self, account: str) -> Member | None:
        """The member with chain address `account`, if there is one."""
        return next((m for m in self.members if m.account.lower() == account.lower()), None)
