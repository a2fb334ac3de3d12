"""Everything that the contract stores, as immutable data: rounds with what led to them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

from flwr_swarm.protocol.types import ZERO_HASH, LedgerView, Member, Phase, Policy, Proposal, Round

Event = tuple[str, dict[str, Any]]
VOID_REASONS: Final = (
    "too few seals",
    "too few witnesses",
    "no leader left",
    "a member was removed",
)
TOO_FEW_SEALS, TOO_FEW_WITNESSES, NO_LEADER_LEFT, MEMBER_REMOVED = range(4)
_RUNNING: Final = frozenset({Phase.SEALING, Phase.MERGING})


@dataclass(frozen=True, kw_only=True)
class Record:
    """One round with what led to it.

    Parameters
    ----------
    round : Round
    policy : Policy or None
        The rules under which the round ran; None for a round that nobody opened.
    base : int
        Newest round certified before this one opened, 0 for none.
    reveals : tuple of (int, bytes)
        Member and secret, in the order of the seals.
    signers : tuple of int
        Members whose signatures the certificate carries.
    missed : tuple of int
        Members from whom nothing came before sealing was closed after its deadline. In
        `round.missed` are those of them whom it costs the next office.
    failed_leaders : tuple of int
        Members who led and missed the merge deadline.
    ahead : int
        How many had abstained before the opener sealed.
    void_reason : str or None
        Why the round is void, one of `VOID_REASONS`.
    """

    round: Round
    policy: Policy | None = None
    base: int = 0
    reveals: tuple[tuple[int, bytes], ...] = field(default=(), repr=False)
    signers: tuple[int, ...] = ()
    missed: tuple[int, ...] = ()
    failed_leaders: tuple[int, ...] = ()
    ahead: int = 0
    void_reason: str | None = None


IDLE: Final = Record(round=Round(number=0, phase=Phase.IDLE))


@dataclass(frozen=True, kw_only=True)
class State:
    """Everything that the contract stores.

    Parameters
    ----------
    chain_id, contract : int, str
    policy : Policy
    members : tuple of Member
        By seat; vacant seats are among them.
    endpoints : tuple of str
        By seat; empty for a vacant one.
    records : tuple of Record
        Rounds 1, 2, ...
    last_certified : int
    led : frozenset of int
        Members outside the shuffle bag.
    benched : frozenset of int
        Members who hold no office in the next draw.
    beacon : bytes
        Beacon of the newest draw.
    ahead : frozenset of int
        Members who abstained from the round that nobody has opened yet.
    epoch : int
        Counts enacted changes, from 1.
    proposals : tuple of Proposal
        Proposals 1, 2, ...
    pending : int
        Number of the proposal that waits for the running round's end, 0 for none.
    retired : frozenset of str
        Accounts that once had a seat, in lower case; none of them has one again.
    accused : frozenset of (str, int, int)
        Accounts whose equivocation is proven, each with its round and view.
    """

    chain_id: int
    contract: str
    policy: Policy
    members: tuple[Member, ...]
    endpoints: tuple[str, ...] = ()
    records: tuple[Record, ...] = ()
    last_certified: int = 0
    led: frozenset[int] = frozenset()
    benched: frozenset[int] = frozenset()
    beacon: bytes = ZERO_HASH
    ahead: frozenset[int] = frozenset()
    epoch: int = 1
    proposals: tuple[Proposal, ...] = ()
    pending: int = 0
    retired: frozenset[str] = frozenset()
    accused: frozenset[tuple[str, int, int]] = frozenset()

    @property
    def current(self) -> Record:
        """The newest round."""
        return self.records[-1] if self.records else IDLE

    @property
    def running(self) -> bool:
        """Whether the newest round is neither certified nor void."""
        return self.current.round.phase in _RUNNING

    @property
    def taken(self) -> frozenset[int]:
        """Seats that somebody has."""
        return frozenset(m.index for m in self.members if not m.vacant)

    @property
    def suspended(self) -> frozenset[int]:
        """Members who neither seal nor hold office until they are voted back."""
        return frozenset(m.index for m in self.members if m.suspended)

    @property
    def eligible(self) -> frozenset[int]:
        """Members who may seal."""
        return self.taken - self.suspended

    @property
    def faults(self) -> int:
        """How many faulty members the swarm tolerates: f = floor((n - 1) / 3)."""
        return (len(self.taken) - 1) // 3

    def view(self, now: int) -> LedgerView:
        """Return the ledger as a member would read it at time `now`."""
        base = self.current.base
        return LedgerView(
            chain_id=self.chain_id,
            contract=self.contract,
            now=now,
            policy=self.policy,
            members=self.members,
            current=self.current.round,
            final=self.records[base - 1].round if base else None,
            epoch=self.epoch,
            pending=self.pending,
        )

    def with_record(self, record: Record) -> State:
        """Return the state with `record` as what the newest round became."""
        return replace(self, records=(*self.records[:-1], record))

    def with_member(self, seat: int, **changes: Any) -> State:
        """Return the state with other fields of one member."""
        member = replace(self.members[seat], **changes)
        members = (*self.members[:seat], member, *self.members[seat + 1 :])
        return replace(self, members=members)

    def with_proposal(self, proposal: Proposal) -> State:
        """Return the state with `proposal` as what the proposal of its number became."""
        at = proposal.id - 1
        return replace(self, proposals=(*self.proposals[:at], proposal, *self.proposals[at + 1 :]))
