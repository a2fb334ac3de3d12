"""Everything that the contract stores, as immutable data: rounds with what led to them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

from flwr_swarm.protocol.types import ZERO_HASH, LedgerView, Member, Phase, Policy, Round

Event = tuple[str, dict[str, Any]]
VOID_REASONS: Final = ("too few seals", "too few witnesses", "no leader left")
TOO_FEW_SEALS, TOO_FEW_WITNESSES, NO_LEADER_LEFT = range(3)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One round with what led to it.

    Parameters
    ----------
    round : Round
    base : int
        Newest round certified before this one opened, 0 for none.
    reveals : tuple of (int, bytes)
        Member and secret, in the order of the seals.
    signers : tuple of int
        Members whose signatures the certificate carries.
    missed : tuple of int
        Members from whom nothing came before sealing's deadline.
    failed_leaders : tuple of int
        Members who led and missed the merge deadline.
    void_reason : str or None
        Why the round is void, one of `VOID_REASONS`.
    """

    round: Round
    base: int = 0
    reveals: tuple[tuple[int, bytes], ...] = field(default=(), repr=False)
    signers: tuple[int, ...] = ()
    missed: tuple[int, ...] = ()
    failed_leaders: tuple[int, ...] = ()
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
    records : tuple of Record
        Rounds 1, 2, ...
    last_certified : int
    led : frozenset of int
        Members outside the shuffle bag.
    beacon : bytes
        Beacon of the newest draw.
    ahead : frozenset of int
        Members who abstained from the round that nobody has opened yet.
    """

    chain_id: int
    contract: str
    policy: Policy
    members: tuple[Member, ...]
    records: tuple[Record, ...] = ()
    last_certified: int = 0
    led: frozenset[int] = frozenset()
    beacon: bytes = ZERO_HASH
    ahead: frozenset[int] = frozenset()

    @property
    def current(self) -> Record:
        """The newest round."""
        return self.records[-1] if self.records else IDLE

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
        )

    def with_record(self, record: Record) -> State:
        """Return the state with `record` as what the newest round became."""
        return replace(self, records=(*self.records[:-1], record))
