"""The ledger as the protocol sees it: one look, and the calls that a member can make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .types import Certificate, LedgerView


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


LedgerCall = SealCall | AbstainCall | CloseCall | AdvanceCall | CertifyCall


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

    def submit(self, call: LedgerCall) -> None:
        """Send `call` and wait until it is mined."""
        ...
