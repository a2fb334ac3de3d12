"""The contract's rules of sealing in Python: seal, abstain, close."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from flwr_swarm._exceptions import TransactionRefused
from flwr_swarm.protocol import election
from flwr_swarm.protocol.ledger import AbstainCall, CloseCall, SealCall
from flwr_swarm.protocol.types import ZERO_HASH, Member, Phase, Round, Seal

from .merging import draw, void
from .state import TOO_FEW_SEALS, TOO_FEW_WITNESSES, Event, Record, State
from .translate import bits

_OVER: Final = frozenset({Phase.IDLE, Phase.CERTIFIED, Phase.VOID})


def seal(state: State, who: int, call: SealCall, now: int) -> tuple[State, list[Event]]:
    if ZERO_HASH in {call.parent, call.payload_hash, call.shares_hash, call.commitment}:
        raise TransactionRefused("ZeroHash")
    events: list[Event] = []
    if _starts_next(state, call.round):
        state, events = _open(state, call, now)
    record = _sealing(state, call.round, now)
    round_ = record.round
    if call.parent != round_.parent:
        raise TransactionRefused("ParentMismatch", f"{call.parent.hex()} {round_.parent.hex()}")
    _check_free(round_, who)
    member = _charged(state, who, call)
    if any(seal.payload_hash == call.payload_hash for seal in round_.seals):
        raise TransactionRefused("DuplicatePayload", call.payload_hash.hex())

    seal = Seal(
        member=who,
        parent=call.parent,
        payload_hash=call.payload_hash,
        shares_hash=call.shares_hash,
        epsilon=call.epsilon,
        verified=call.verified,
    )
    seals = tuple(sorted((*round_.seals, seal), key=lambda s: s.member))
    members = tuple(member if m.index == who else m for m in state.members)
    record = replace(
        record,
        round=replace(round_, seals=seals),
        reveals=(*record.reveals, (who, call.reveal)),
    )
    state = replace(state, members=members).with_record(record)
    sealed = {
        "round": call.round,
        "member": who,
        "payloadHash": call.payload_hash,
        "sharesHash": call.shares_hash,
        "epsilon": call.epsilon,
        "verified": call.verified,
    }
    state, more = _settle(state, now)
    return state, [*events, ("Sealed", sealed), *more]


def abstain(state: State, who: int, call: AbstainCall, now: int) -> tuple[State, list[Event]]:
    events: list[Event] = [("Abstained", {"round": call.round, "member": who})]
    if _starts_next(state, call.round):
        if who in state.ahead:
            raise TransactionRefused("AlreadyAbstained", f"round {call.round}, member {who}")
        state = replace(state, ahead=state.ahead | {who})
        if len(state.ahead) < len(state.members):
            return state, events
        empty = Round(number=call.round, phase=Phase.VOID, abstained=tuple(sorted(state.ahead)))
        record = Record(round=empty, base=state.last_certified)
        state = replace(state, records=(*state.records, record), ahead=frozenset())
        state, more = void(state, TOO_FEW_SEALS)
        return state, events + more
    record = _sealing(state, call.round, now)
    _check_free(record.round, who)
    abstained = tuple(sorted((*record.round.abstained, who)))
    state = state.with_record(replace(record, round=replace(record.round, abstained=abstained)))
    state, more = _settle(state, now)
    return state, events + more


def close(state: State, call: CloseCall, now: int) -> tuple[State, list[Event]]:
    record = state.current
    round_ = record.round
    if call.round != round_.number:
        raise TransactionRefused("WrongRound", f"{call.round}, current {round_.number}")
    if round_.phase is not Phase.SEALING:
        raise TransactionRefused("SealingClosed", f"round {call.round}")
    if now <= round_.seal_deadline:
        raise TransactionRefused("DeadlineNotReached", f"{round_.seal_deadline}")
    spoken = {seal.member for seal in round_.seals}.union(round_.abstained)
    missed = tuple(m.index for m in state.members if m.index not in spoken)
    state = state.with_record(replace(record, missed=missed))
    reason = _unready(state)
    state, more = draw(state, now) if reason is None else void(state, reason)
    return state, [("MembersMissed", {"round": call.round, "missing": bits(missed)}), *more]


def _charged(state: State, who: int, call: SealCall) -> Member:
    member, cap = state.members[who], state.policy.epsilon_cap
    expected = election.commitment(state.chain_id, state.contract, member.account, call.reveal)
    if expected != member.commitment:
        raise TransactionRefused("WrongReveal", f"member {who}, reveals {member.reveals}")
    if call.epsilon < member.epsilon:
        raise TransactionRefused("EpsilonDecreased", f"{call.epsilon} < {member.epsilon}")
    if call.epsilon > cap:
        raise TransactionRefused("BudgetExceeded", f"{call.epsilon} > {cap}")
    return replace(
        member, commitment=call.commitment, reveals=member.reveals + 1, epsilon=call.epsilon
    )


def _open(state: State, call: SealCall, now: int) -> tuple[State, list[Event]]:
    deadline = now + state.policy.seal_seconds
    round_ = Round(
        number=call.round,
        phase=Phase.SEALING,
        parent=call.parent,
        seal_deadline=deadline,
        abstained=tuple(sorted(state.ahead)),
    )
    record = Record(round=round_, base=state.last_certified)
    event = {"round": call.round, "parent": call.parent, "deadline": deadline}
    opened = replace(state, records=(*state.records, record), ahead=frozenset())
    return opened, [("SealingOpened", event)]


def _starts_next(state: State, number: int) -> bool:
    return number == state.current.round.number + 1 and state.current.round.phase in _OVER


def _sealing(state: State, number: int, now: int) -> Record:
    round_ = state.current.round
    if number != round_.number:
        raise TransactionRefused("WrongRound", f"{number}, current {round_.number}")
    if round_.phase is not Phase.SEALING or now > round_.seal_deadline:
        raise TransactionRefused("SealingClosed", f"round {number}")
    return state.current


def _check_free(round_: Round, who: int) -> None:
    if round_.seal_of(who) is not None:
        raise TransactionRefused("AlreadySealed", f"round {round_.number}, member {who}")
    if who in round_.abstained:
        raise TransactionRefused("AlreadyAbstained", f"round {round_.number}, member {who}")


def _unready(state: State) -> int | None:
    """Why the round cannot be drawn, or None if it can."""
    record = state.current
    if len(record.round.seals) < state.policy.min_included:
        return TOO_FEW_SEALS
    committee = state.records[record.base - 1].round.committee if record.base else ()
    witnessed = sum(seal.verified and seal.member in committee for seal in record.round.seals)
    enough = witnessed >= min(len(committee), state.policy.witnesses)
    return None if enough else TOO_FEW_WITNESSES


def _settle(state: State, now: int) -> tuple[State, list[Event]]:
    round_ = state.current.round
    spoken = len(round_.seals) + len(round_.abstained)
    if spoken < state.policy.close_at:
        return state, []
    reason = _unready(state)
    if reason is None:
        return draw(state, now)
    return void(state, reason) if spoken == len(state.members) else (state, [])
