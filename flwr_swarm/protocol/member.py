"""A member: its keys, its memory, and the swarm it joined. The steps of a round build on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .._exceptions import NotAMember, ProtocolError, StaleRound, WrongChain
from ..encryption import RoundContext
from .hashing import Arrays, tagged_hash
from .ledger import AdvanceCall, CloseCall, LedgerCall
from .memory import Memory, Parent
from .messages import Place
from .payload import Layout
from .quorum import check_protects
from .stopped import check_going_on, is_stopped
from .terms import Terms, check_capacity
from .types import Certificate, LedgerView, Member, Phase, Round

Random = Callable[[int], bytes]
Replay = Callable[[Terms, int, Parent, Layout, NDArray[np.uint64], int], tuple[Arrays, Arrays]]
"""(terms, round, parent, layout, opened lane sums, updates in them) -> next (model, state)."""


class Identity(Protocol):
    """A member's keys, as the protocol uses them. Nothing here returns an account key."""

    @property
    def account(self) -> str:
        """Chain address."""
        ...

    @property
    def encryption_key(self) -> bytes:
        """32-byte X25519 public key."""
        ...

    def share_keys(self) -> tuple[bytes, ...]:
        """32-byte X25519 private keys that open key shares, newest first, never empty."""
        ...

    def secret(self, chain_id: int, contract: str, index: int) -> bytes:
        """The member's `index`-th election secret of one contract."""
        ...

    def commitment(self, chain_id: int, contract: str, index: int) -> bytes:
        """Commitment to that secret."""
        ...

    def sign(self, chain_id: int, contract: str, certificate: Certificate) -> bytes:
        """65-byte EIP-712 signature of a certificate."""
        ...


@dataclass(frozen=True, kw_only=True)
class SwarmMember:
    """One member's protocol logic. Holds keys and memory, never a socket or a clock.

    Parameters
    ----------
    identity : Identity
    memory : Memory
        As the last step returned it.
    replay : Replay
        Recomputes a global model; the same function at every member and at the relay.
    accept_plaintext : bool
        Whether this site agreed to swarms without encryption.
    """

    identity: Identity = field(repr=False)
    memory: Memory
    replay: Replay = field(repr=False)
    accept_plaintext: bool = False

    def accept(
        self, place: Place, view: LedgerView, *, settling: bool = False
    ) -> tuple[Memory, Terms, Member]:
        """Check that this is the swarm the site joined, or pin it at first contact.

        Parameters
        ----------
        place : Place
        view : LedgerView
        settling : bool
            Only what the ledger has certified is to be opened. A certificate enacts the change
            that waited for it, and the round it ends was sealed by the rules before: the terms
            that this site accepted last then need not be those of the new policy. What a study
            certified before its members stopped it is opened by its terms too.

        Raises
        ------
        WrongChain
            If chain, contract or terms are not the pinned ones, or not the ledger's.
        StudyStopped
            If the members voted to stop the study.
        NotAMember
            If the ledger does not list this account with this encryption key.
        ConfigurationError
            If the policy or the terms would not protect this site's updates.
        """
        pinned = self.memory.place
        if (place.chain_id, place.contract) != (view.chain_id, view.contract):
            raise WrongChain(
                f"the message names contract {place.contract} on chain {place.chain_id}, the "
                f"ledger is {view.contract} on chain {view.chain_id}; nothing was done"
            )
        if pinned is not None and (pinned.chain_id, pinned.contract) != (
            place.chain_id,
            place.contract,
        ):
            raise WrongChain(
                f"this site joined contract {pinned.contract} on chain {pinned.chain_id}; the "
                f"relay now names {place.contract} on chain {place.chain_id}. If the consortium "
                "really moved, start the site with a fresh state"
            )
        terms = Terms.from_json(place.terms)
        settled = settling and pinned is not None and pinned.terms == place.terms
        if not settling:
            check_going_on(view, terms)
        if not (settled or is_stopped(view, terms)) and terms.hash() != view.policy.terms:
            raise WrongChain(
                "the relay's terms are not those that the contract pins; ask the consortium for "
                f"the terms with hash {view.policy.terms.hex()}"
            )
        if terms.encryption == "none" and not self.accept_plaintext:
            raise ProtocolError(
                'the relay asks for updates in plaintext (encryption="none"), which this site has '
                "not agreed to; set FLWR_SWARM_ACCEPT_PLAINTEXT=1 at the site to agree"
            )
        if terms.encryption == "threshold" and not settled:
            check_protects(view.policy, len(view.seated))
            check_capacity(terms, view.policy, len(view.seated))
        me = view.member_at(self.identity.account)
        if me is None or me.encryption_key != self.identity.encryption_key:
            raise NotAMember(
                f"account {self.identity.account} with this encryption key is not a member of "
                f"contract {view.contract}; ask the consortium to admit it"
            )
        return replace(self.memory, place=place), terms, me


def last_certified(view: LedgerView) -> Round | None:
    """The newest certified round."""
    return view.current if view.current.phase is Phase.CERTIFIED else view.final


def round_context(view: LedgerView, number: int, parent: bytes) -> RoundContext:
    """What everything encrypted in a round is bound to."""
    return RoundContext(chain_id=view.chain_id, contract=view.contract, round=number, anchor=parent)


def holder_keys(view: LedgerView) -> list[bytes | None]:
    """Public keys to which shares are sealed, by seat; None for a vacant one."""
    return [None if member.vacant else member.encryption_key for member in view.members]


def certificate_digest(certificate: Certificate) -> bytes:
    """One hash per distinct certificate, for memory."""
    included = bytes(certificate.included)
    numbers = certificate.round.to_bytes(8, "big") + certificate.view.to_bytes(1, "big")
    return tagged_hash("certificate", numbers, included, certificate.aggregate_hash)


def due_calls(view: LedgerView, now: int) -> tuple[LedgerCall, ...]:
    """What the deadlines allow any member to end: sealing, or a leader's turn."""
    current = view.current
    if current.phase is Phase.SEALING and now > current.seal_deadline:
        return (CloseCall(round=current.number),)
    if current.phase is Phase.MERGING and now > current.merge_deadline:
        return (AdvanceCall(round=current.number, view=current.view),)
    return ()


def in_round(view: LedgerView, number: int, phase: Phase) -> Round:
    """The current round, if it is round `number` in `phase`; `StaleRound` otherwise."""
    current = view.current
    if current.number != number or current.phase is not phase:
        raise StaleRound(
            f"the message is about round {number} ({phase.name.lower()}), the ledger is in round "
            f"{current.number} ({current.phase.name.lower()})"
        )
    return current
