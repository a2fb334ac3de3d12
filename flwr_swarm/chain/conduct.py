"""The contract's rules of conduct in Python: what misses and proven faults cost, and void rounds.

Suspension never takes a vote, so nobody gains a majority by making others miss; and misses
suspend at most f members, so an outage does not empty the swarm.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from flwr_swarm._exceptions import TransactionRefused, WireError
from flwr_swarm.protocol.ledger import AccuseCall
from flwr_swarm.protocol.types import ZERO_HASH, Certificate, Phase, Round

from .signing import recover_certifier
from .state import (
    TOO_FEW_SEALS,
    TOO_FEW_WITNESSES,
    VOID_REASONS,
    Event,
    Record,
    State,
)

_MOST: Final = 255
"""Misses in a row are counted no further."""


def suspend(state: State, member: int, *, by_vote: bool) -> tuple[State, list[Event]]:
    state = state.with_member(member, suspended=True)
    return state, [("MemberSuspended", {"member": member, "byVote": by_vote})]


def present(state: State, member: int) -> State:
    """The member was heard of: its absences in a row end."""
    return state.with_member(member, absences=0)


def absent(state: State, members: Iterable[int]) -> tuple[State, list[Event]]:
    """Each of `members` let a sealing deadline pass in silence."""
    events: list[Event] = []
    for index in sorted(members):
        member = state.members[index]
        absences = min(member.absences + 1, _MOST)
        state = state.with_member(index, misses=member.misses + 1, absences=absences)
        state, more = _suspend_if_due(state, index, absences)
        events += more
    return state, events


def stalled(state: State, index: int) -> tuple[State, list[Event]]:
    """A member led, or opened, and the round stood still."""
    member = state.members[index]
    stalls = min(member.stalls + 1, _MOST)
    state = state.with_member(index, misses=member.misses + 1, stalls=stalls)
    state = replace(state, benched=state.benched | {index})
    return _suspend_if_due(state, index, stalls)


def void(state: State, reason: int) -> tuple[State, list[Event]]:
    """End the newest round without a certificate; nothing is enacted here."""
    record = state.current
    round_ = record.round
    event: Event = ("RoundVoided", {"round": round_.number, "reason": reason})
    if round_.phase is not Phase.MERGING:  # a draw has used the bench already
        state = replace(state, benched=state.benched.union(round_.missed))
    voided = replace(
        record, round=replace(round_, phase=Phase.VOID), void_reason=VOID_REASONS[reason]
    )
    state = state.with_record(voided)
    if reason not in {TOO_FEW_SEALS, TOO_FEW_WITNESSES}:
        return state, [event]
    state, more = _blame_opener(state)
    return state, [event, *more]


def void_if_all_abstained(state: State) -> tuple[State, list[Event]]:
    """A coming round from which all who may seal have abstained would never open."""
    if state.running or not state.ahead or state.eligible - state.ahead:
        return state, []
    number = state.current.round.number + 1
    empty = Round(number=number, phase=Phase.VOID, abstained=tuple(sorted(state.ahead)))
    record = Record(round=empty, base=state.last_certified)
    state = replace(state, records=(*state.records, record), ahead=frozenset())
    return void(state, TOO_FEW_SEALS)


def accuse(state: State, call: AccuseCall) -> tuple[State, list[Event]]:
    (first, first_signature), (second, second_signature) = call.first, call.second
    if call.member not in state.taken:
        raise TransactionRefused("UnknownSeat", f"{call.member}")
    same_place = (first.round, first.view) == (second.round, second.view)
    if not same_place or _content(first) == _content(second):
        raise TransactionRefused("NotEquivocation")
    account = state.members[call.member].account
    for statement, signature in ((first, first_signature), (second, second_signature)):
        if certifier(state, statement, signature) != account:
            raise TransactionRefused("BadSignature", f"member {call.member}")
    case = (account.lower(), first.round, first.view)
    if case in state.accused:
        raise TransactionRefused("AlreadyAccused", f"member {call.member}, round {first.round}")

    state = replace(state, accused=state.accused | {case})
    state = state.with_member(call.member, faults=state.members[call.member].faults + 1)
    fault = {"round": first.round, "view_": first.view, "member": call.member}
    events: list[Event] = [("FaultProven", fault)]
    if call.member not in state.suspended:
        state, more = suspend(state, call.member, by_vote=False)
        events += more
    state, more = void_if_all_abstained(state)
    return state, events + more


def certifier(state: State, certificate: Certificate, signature: bytes) -> str | None:
    """Return the account that signed a statement, or None if the signature is malformed."""
    try:
        return recover_certifier(state.chain_id, state.contract, certificate, signature)
    except WireError:
        return None


def _content(certificate: Certificate) -> tuple[frozenset[int], bytes]:
    return frozenset(certificate.included), certificate.aggregate_hash


def _blame_opener(state: State) -> tuple[State, list[Event]]:
    """More opened than f others refused: an honest member among them saw another model."""
    record = state.current
    opener, refused = record.round.opener, len(record.round.abstained) - record.ahead
    if record.round.parent == ZERO_HASH or opener is None or refused <= state.faults:
        return state, []
    state, more = stalled(state, opener)
    return state, [("OpenerBlamed", {"round": record.round.number, "member": opener}), *more]


def _suspend_if_due(state: State, member: int, in_a_row: int) -> tuple[State, list[Event]]:
    most = state.policy.max_misses
    suspended = state.suspended
    if most == 0 or in_a_row < most or member in suspended or len(suspended) >= state.faults:
        return state, []
    return suspend(state, member, by_vote=False)
