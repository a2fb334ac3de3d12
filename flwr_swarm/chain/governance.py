"""The contract's rules of governance in Python: propose, vote, and what an enacted change does."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from flwr_swarm._exceptions import TransactionRefused, WireError
from flwr_swarm.protocol.ledger import ProposeCall, VoteCall
from flwr_swarm.protocol.types import Card, Change, Kind, Proposal, Status

from .conduct import suspend, void, void_if_all_abstained
from .founding import (
    BLANK,
    MAX_MEMBERS,
    check_card,
    check_endpoint,
    check_policy,
    lowest_vacant,
    seat,
    vacate,
)
from .signing import recover_consent
from .state import MEMBER_REMOVED, Event, State
from .translate import NO_SEAT, change_bytes, policy_fields


def propose(state: State, who: int, call: ProposeCall, now: int) -> tuple[State, list[Event]]:
    _check_not_pending(state)
    change = call.change
    check_endpoint(change.card or BLANK)
    seats = _seats_after(state, change)
    check_policy(change.policy, seats)
    _check_cap(state, seats, change.policy.epsilon_cap)
    if change.kind in {Kind.ADMIT, Kind.ROTATE}:
        _check_consent(state, change, call.consent, now)

    state, events = _withdraw(state, who, now)
    proposal = Proposal(
        id=len(state.proposals) + 1,
        epoch=state.epoch,
        proposer=who,
        status=Status.OPEN,
        closes=now + state.policy.vote_seconds,
        supporters=(),
        opponents=(),
        change=change,
    )
    state = state.with_proposal(proposal)
    proposed = {
        "id": proposal.id,
        "epoch": proposal.epoch,
        "proposer": who,
        "change": change_bytes(change),
        "closes": proposal.closes,
    }
    state, more = _count(state, proposal, who, support=True)
    return state, [*events, ("Proposed", proposed), *more]


def vote(state: State, who: int, call: VoteCall, now: int) -> tuple[State, list[Event]]:
    _check_not_pending(state)
    if not 1 <= call.proposal <= len(state.proposals):
        raise TransactionRefused("UnknownProposal", f"{call.proposal}")
    proposal = state.proposals[call.proposal - 1]
    if proposal.epoch != state.epoch:
        raise TransactionRefused("StaleProposal", f"{proposal.id}, epoch {proposal.epoch}")
    if proposal.status is not Status.OPEN:
        raise TransactionRefused("ProposalClosed", f"{proposal.id}")
    if now > proposal.closes:
        raise TransactionRefused("ProposalExpired", f"{proposal.id}")
    if who in {*proposal.supporters, *proposal.opponents}:
        raise TransactionRefused("AlreadyVoted", f"{proposal.id}, member {who}")
    return _count(state, proposal, who, support=call.support)


def enact_pending(state: State) -> tuple[State, list[Event]]:
    """Enact the change that waited for the end of the round, if there is one."""
    if state.pending == 0 or state.running:
        return state, []
    proposal = state.proposals[state.pending - 1]
    return _enact(replace(state, pending=0), proposal)


def cap(state: State) -> int:
    """Return the epsilon that no member may exceed: a pending lower cap rules already."""
    pending = state.proposals[state.pending - 1].change.policy if state.pending else state.policy
    return min(state.policy.epsilon_cap, pending.epsilon_cap)


def required(n: int) -> int:
    """Return the votes that a change needs among `n` members: floor(2n / 3) + 1."""
    return 2 * n // 3 + 1


def _check_not_pending(state: State) -> None:
    if state.pending:
        raise TransactionRefused("ChangePending", f"{state.pending}")


def _seats_after(state: State, change: Change) -> frozenset[int]:
    taken, index = state.taken, change.seat
    if change.kind in {Kind.ADMIT, Kind.POLICY}:
        if index is not None:
            raise TransactionRefused("UnknownSeat", f"{index}")
        if change.kind is Kind.POLICY:
            return taken
        if len(taken) == MAX_MEMBERS:
            raise TransactionRefused("MemberCountOutOfRange", f"members={MAX_MEMBERS + 1}")
        return taken | {lowest_vacant(state)}
    if index not in taken:
        raise TransactionRefused("UnknownSeat", f"{NO_SEAT if index is None else index}")
    if change.kind is Kind.SUSPEND and index in state.suspended:
        raise TransactionRefused("AlreadySuspended", f"{index}")
    if change.kind is Kind.REINSTATE and index not in state.suspended:
        raise TransactionRefused("NotSuspended", f"{index}")
    return taken - {index} if change.kind is Kind.REMOVE else taken


def _check_cap(state: State, seats: Collection[int], limit: int) -> None:
    for index in sorted(seats):
        spent = state.members[index].epsilon if index < len(state.members) else 0
        if spent > limit:
            raise TransactionRefused("CapBelowSpent", f"cap={limit}, spent={spent}")


def _check_consent(state: State, change: Change, consent: bytes, now: int) -> None:
    card, limit = change.card or BLANK, change.policy.epsilon_cap
    index = NO_SEAT if change.seat is None else change.seat
    check_card(state, card, index, rotates=change.kind is Kind.ROTATE)
    if change.kind is Kind.ADMIT and card.epsilon > limit:
        raise TransactionRefused("BudgetExceeded", f"{card.epsilon} > {limit}")
    if now > change.expires:
        raise TransactionRefused("ConsentExpired", f"{change.expires}")
    try:
        signer = recover_consent(
            state.chain_id,
            state.contract,
            seat=change.seat,
            card=card,
            expires=change.expires,
            signature=consent,
        )
    except WireError:
        signer = ""
    if signer.lower() != card.account.lower():
        raise TransactionRefused("BadConsent", f"account={card.account}")


def _withdraw(state: State, who: int, now: int) -> tuple[State, list[Event]]:
    """A member has one open proposal at a time."""
    former = next((p for p in reversed(state.proposals) if p.proposer == who), None)
    if former is None or former.epoch != state.epoch:
        return state, []
    if former.status is not Status.OPEN or now > former.closes:
        return state, []
    state = state.with_proposal(replace(former, status=Status.WITHDRAWN))
    return state, [("ProposalWithdrawn", {"id": former.id})]


def _count(
    state: State, proposal: Proposal, who: int, *, support: bool
) -> tuple[State, list[Event]]:
    side = "supporters" if support else "opponents"
    votes: dict[str, Any] = {side: tuple(sorted((*getattr(proposal, side), who)))}
    proposal = replace(proposal, **votes)
    state = state.with_proposal(proposal)
    events: list[Event] = [("Voted", {"id": proposal.id, "member": who, "support": support})]
    n = len(state.taken)
    if len(proposal.supporters) >= required(n):
        state, more = _pass(state, proposal)
        return state, events + more
    if n - len(proposal.opponents) < required(n):
        state = state.with_proposal(replace(proposal, status=Status.REJECTED))
        events.append(("ProposalRejected", {"id": proposal.id}))
    return state, events


def _pass(state: State, proposal: Proposal) -> tuple[State, list[Event]]:
    change = proposal.change
    removed = {change.seat} if change.kind is Kind.REMOVE else set()
    # Members may have spent since the proposal was made.
    _check_cap(state, state.taken.difference(removed), change.policy.epsilon_cap)
    events: list[Event] = [("ProposalPassed", {"id": proposal.id})]
    if removed and state.running:
        state, more = void(state, MEMBER_REMOVED)
        events += more
    if state.running:
        waiting = replace(proposal, status=Status.PENDING)
        return replace(state.with_proposal(waiting), pending=proposal.id), events
    state, more = _enact(state, proposal)
    return state, events + more


def _enact(state: State, proposal: Proposal) -> tuple[State, list[Event]]:
    state, events = _effect(state, proposal.change)
    state = replace(state, policy=proposal.change.policy, epoch=state.epoch + 1)
    state = state.with_proposal(replace(proposal, status=Status.ENACTED))
    state, more = void_if_all_abstained(state)
    return state, [*events, ("Enacted", {"id": proposal.id, "epoch": state.epoch}), *more]


def _effect(state: State, change: Change) -> tuple[State, list[Event]]:
    if change.kind is Kind.POLICY:
        return state, [("PolicyChanged", {"policy": policy_fields(change.policy)})]
    card = change.card or BLANK
    index = lowest_vacant(state) if change.seat is None else change.seat
    match change.kind:
        case Kind.ADMIT:
            since = state.current.round.number + 1
            fields = {"member": index, "account": card.account, "since": since}
            return seat(state, index, card, since=since), [("MemberAdmitted", fields)]
        case Kind.REMOVE:
            leaves = state.members[index]
            fields = {"member": index, "account": leaves.account, "epsilon": leaves.epsilon}
            return vacate(state, index), [("MemberRemoved", fields)]
        case Kind.SUSPEND:
            return suspend(state, index, by_vote=True)
        case Kind.REINSTATE:
            state = state.with_member(index, suspended=False, absences=0, stalls=0)
            return state, [("MemberReinstated", {"member": index})]
        case _:
            rotated = {"member": index, "account": card.account}
            return _rotate(state, index, card), [("KeysRotated", rotated)]


def _rotate(state: State, index: int, card: Card) -> State:
    former = state.members[index].account
    if former.lower() != card.account.lower():
        state = replace(state, retired=state.retired | {former.lower()})
        state = state.with_member(
            index, account=card.account, commitment=card.commitment, reveals=0
        )
    state = state.with_member(
        index,
        encryption_key=card.encryption_key,
        tls_hash=card.tls_hash,
        weight_class=card.weight_class,
    )
    endpoints = (*state.endpoints[:index], card.endpoint, *state.endpoints[index + 1 :])
    return replace(state, endpoints=endpoints)
