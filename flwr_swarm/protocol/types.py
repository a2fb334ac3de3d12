"""The nouns of the protocol: policy, member, seal, round, certificate. Plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

HASH_BYTES: Final = 32
ZERO_HASH: Final = bytes(HASH_BYTES)
ZERO_ACCOUNT: Final = "0x" + "00" * 20
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


class Kind(Enum):
    """What a proposal changes; the values are the contract's."""

    ADMIT = 0
    REMOVE = 1
    SUSPEND = 2
    REINSTATE = 3
    ROTATE = 4
    POLICY = 5


class Status(Enum):
    """Where a proposal stands; the values are the contract's."""

    NONE = 0
    OPEN = 1
    REJECTED = 2
    WITHDRAWN = 3
    PENDING = 4
    ENACTED = 5


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The rules that the members of one swarm agreed on; two thirds and one more change them.

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
    quorum : int
        Signatures of the committee that a certificate needs, where that is more than its
        Byzantine quorum c - floor((c - 1) / 3). Zero asks for no more than that.
    close_at : int
        Seals and abstentions that close sealing before its deadline.
    fixed_leader : int or None
        Member who leads every round; None elects by shuffle bag.
    epsilon_cap : int
        Highest cumulative epsilon of a member, in micro-epsilon; `NO_CAP` for none.
    seal_seconds, merge_seconds, vote_seconds : int
        Time for sealing, for the first leader's merge, and for a vote, in seconds of block time.
    max_views : int
        Leaders that are tried before the round is void.
    max_misses : int
        Misses in a row after which a member is suspended until it is voted back; 0 for never.
    min_members : int
        Smallest number of members; a removal below it is refused.
    relaying : bool
        Whether one member may carry the seals that others signed.
    terms : bytes
        32-byte hash of the numbers that all must share (codec, scheme, strategy).
    """

    threshold: int
    min_included: int
    witnesses: int
    max_committee: int = 7
    quorum: int = 0
    close_at: int
    fixed_leader: int | None = None
    epsilon_cap: int = NO_CAP
    seal_seconds: int = 600
    merge_seconds: int = 60
    vote_seconds: int = 604_800
    max_views: int = 4
    max_misses: int = 0
    min_members: int = 0
    relaying: bool = False
    terms: bytes = ZERO_HASH


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a site says of itself when it founds, joins, or changes its keys.

    Parameters
    ----------
    account : str
        Checksummed chain address.
    encryption_key : bytes
        32-byte X25519 public key to which shares are sealed.
    commitment : bytes
        Commitment to the account's first election secret.
    tls_hash : bytes
        32-byte hash of the TLS certificate of its node, or zero.
    endpoint : str
        Where the site's chain node is reached, as an enode URL; at most 256 bytes, or empty.
    epsilon : int
        Micro-epsilon that its data has spent before, in another seat or swarm.
    weight_class : int
        Binary logarithm of its number of examples, rounded down; 0 for undeclared.
    """

    account: str
    encryption_key: bytes
    commitment: bytes
    tls_hash: bytes = ZERO_HASH
    endpoint: str = ""
    epsilon: int = 0
    weight_class: int = 0


@dataclass(frozen=True, kw_only=True)
class Member:
    """A seat as the ledger knows it, and the site that has it.

    Parameters
    ----------
    index : int
        Number of the seat, from 0. A vacant seat goes to the next member.
    account : str
        Checksummed chain address; `ZERO_ACCOUNT` for a vacant seat.
    encryption_key : bytes
        32-byte X25519 public key to which shares are sealed.
    commitment : bytes
        Commitment to the secret that the member's next seal reveals.
    reveals : int
        How many secrets the member has revealed with this account.
    epsilon : int
        Cumulative micro-epsilon that the member has reported.
    misses, faults : int
        Deadlines missed in all, and equivocations proven.
    absences, stalls : int
        Misses in a row: of sealing, of leading or opening.
    weight_class, tls_hash
        As on the member's card.
    since : int
        First round that counts for this member.
    suspended : bool
        Whether it may neither seal nor hold office until it is voted back.
    """

    index: int
    account: str
    encryption_key: bytes
    commitment: bytes
    reveals: int = 0
    epsilon: int = 0
    misses: int = 0
    faults: int = 0
    absences: int = 0
    stalls: int = 0
    weight_class: int = 0
    since: int = 0
    tls_hash: bytes = ZERO_HASH
    suspended: bool = False

    @property
    def vacant(self) -> bool:
        """Whether nobody has this seat."""
        return self.account == ZERO_ACCOUNT


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a proposal would do.

    Parameters
    ----------
    kind : Kind
    policy : Policy
        The whole policy after the change, whatever its kind.
    seat : int or None
        Whom it concerns; None for an admission and a change of policy.
    card : Card or None
        Of the applicant, or of the member whose keys change.
    expires : int
        Time after which the consent to `card` is void, in seconds since 1970.
    """

    kind: Kind
    policy: Policy
    seat: int | None = None
    card: Card | None = None
    expires: int = 0


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A proposal as the ledger knows it.

    Parameters
    ----------
    id : int
        From 1.
    epoch : int
        The epoch in which it can be voted on.
    proposer : int
    status : Status
    closes : int
        Time after which nobody can vote, in seconds since 1970.
    supporters, opponents : tuple of int
    change : Change
    """

    id: int
    epoch: int
    proposer: int
    status: Status
    closes: int
    supporters: tuple[int, ...]
    opponents: tuple[int, ...]
    change: Change


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
    relayed: bool = False
    opener: int | None = None
    late: tuple[int, ...] = ()
    missed: tuple[int, ...] = ()

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
        By seat, so that `members[i].index == i`; vacant seats are among them.
    current : Round
        The newest round; `Phase.IDLE` and number 0 before the first seal.
    final : Round or None
        The newest certified round other than `current`, or None. Its committee is the one
        whose witnesses count.
    epoch : int
        Counts the changes that governance made, from 1.
    pending : int
        Number of the proposal that waits for the running round's end, 0 for none.
    """

    chain_id: int
    contract: str
    now: int
    policy: Policy
    members: tuple[Member, ...]
    current: Round
    final: Round | None
    epoch: int = 1
    pending: int = 0

    @property
    def seated(self) -> tuple[Member, ...]:
        """Everyone who is a member, suspended or not."""
        return tuple(member for member in self.members if not member.vacant)

    def member_at(self, account: str) -> Member | None:
        """The member with chain address `account`, if there is one."""
        return next((m for m in self.seated if m.account.lower() == account.lower()), None)
