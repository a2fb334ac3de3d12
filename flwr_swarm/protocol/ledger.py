"""The ledger as the protocol sees it: one look, and the calls that a member can make."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from .types import Certificate, Change, LedgerView, Proposal


@dataclass(frozen=True, kw_only=True)
class SealCall:
    """Fix one's update, reveal the last secret, commit to the next."""

    round: int
    parent: bytes
    payload_hash: bytes
    shares_hash: bytes
    reveal: bytes
    commitment: bytes
    epsilon: int
    verified: bool

    def __repr__(self) -> str:  # the reveal is a secret until it is mined
        return f"SealCall(round={self.round}, payload_hash={self.payload_hash.hex()[:12]}…)"


@dataclass(frozen=True, kw_only=True)
class AbstainCall:
    """Say that one will not seal in this round, so that nobody waits."""

    round: int


@dataclass(frozen=True, kw_only=True)
class CloseCall:
    """End sealing after its deadline: draw, or void if too few sealed."""

    round: int


@dataclass(frozen=True, kw_only=True)
class AdvanceCall:
    """Replace a leader that missed the merge deadline of `view`, or void the round."""

    round: int
    view: int


@dataclass(frozen=True, kw_only=True)
class CertifyCall:
    """Record the round's certificate with a quorum of its committee's signatures."""

    certificate: Certificate
    signatures: tuple[tuple[int, bytes], ...]
    """(member index, 65-byte EIP-712 signature), ascending by member."""


@dataclass(frozen=True, kw_only=True)
class LateCall:
    """Say, after sealing has closed, what training cost; the update is in no sum."""

    round: int
    epsilon: int


@dataclass(frozen=True, kw_only=True)
class CarryCall:
    """Carry the seals that members signed, in one transaction."""

    seals: tuple[SealCall, ...]
    signatures: tuple[bytes, ...] = field(repr=False)
    """65-byte EIP-712 signatures, one a seal."""


@dataclass(frozen=True, kw_only=True)
class ProposeCall:
    """Propose a change and vote for it."""

    change: Change
    consent: bytes = field(default=b"", repr=False)
    """65-byte EIP-712 signature of the account on the change's card, if it has one."""


@dataclass(frozen=True, kw_only=True)
class VoteCall:
    """Vote on a proposal, once."""

    proposal: int
    support: bool


@dataclass(frozen=True, kw_only=True)
class AccuseCall:
    """Prove that a member signed two certificates of one round and view."""

    member: int
    first: tuple[Certificate, bytes]
    second: tuple[Certificate, bytes]


LedgerCall = (
    SealCall
    | AbstainCall
    | CloseCall
    | AdvanceCall
    | CertifyCall
    | LateCall
    | CarryCall
    | ProposeCall
    | VoteCall
    | AccuseCall
)


class Ledger(Protocol):
    """A member's connection to the ledger, signing as that member.

    Implementations raise `ChainUnreachable`, `WrongChain`, `NotAMember` or
    `TransactionRefused`; a call that returns is final.
    """

    @property
    def account(self) -> str:
        """Chain address that signs this connection's transactions."""
        ...

    def view(self) -> LedgerView:
        """Read one consistent view of the contract."""
        ...

    def proposals(self) -> int:
        """Read how many proposals were ever made; their ids are 1, 2, ..."""
        ...

    def proposal(self, number: int) -> Proposal | None:
        """Read one proposal, or None if there is none of that number."""
        ...

    def submit(self, call: LedgerCall) -> None:
        """Send `call` and wait until it is mined."""
        ...
