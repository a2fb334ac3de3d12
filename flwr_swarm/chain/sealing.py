"""The contract's rules of sealing in Python: seal, carry, abstain, close, late."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from flwr_swarm._exceptions import TransactionRefused, WireError
from flwr_swarm.protocol import election
from flwr_swarm.protocol.ledger import AbstainCall, CarryCall, CloseCall, LateCall, SealCall
from flwr_swarm.protocol.types import ZERO_HASH, Phase, Round, Seal

from .codec import error_selector
from .conduct import absent, present, stalled, void_if_all_abstained
from .governance import cap
from .merging import draw, end
from .signing import recover_sealer
from .state import TOO_FEW_SEALS, TOO_FEW_WITNESSES, Event, Record, State
from .translate import bits

UNNAMED: Final = frozenset({bytes(4), bytes.fromhex("4e487b71")})
"""Reasons that the rules never give: no gas was left, or a panic for want of it."""


def seal(
    state: State, who: int, call: SealCall, now: int, *, carried: bool = False
) -> tuple[State, list[Event]]:
    _check_not_suspended(state, who)
    if ZERO_HASH in {call.parent, call.payload_hash, call.shares_hash, call.commitment}:
        raise TransactionRefused("ZeroHash")
    events: list[Event] = []
    if _starts_next(state, call.round):
        state, events = _open(state, who, call, now)
    record = _sealing(state, call.round, now)
    round_ = record.round
    if call.parent != round_.parent:
        raise TransactionRefused("ParentMismatch", f"{call.parent.hex()} {round_.parent.hex()}")
    _check_free(round_, who)
    state = _reveal(state, who, call)
    state = present(_spend(state, who, call.epsilon), who)

    seal = Seal(
        member=who,
        parent=call.parent,
        payload_hash=call.payload_hash,
        shares_hash=call.shares_hash,
        epsilon=call.epsilon,
        verified=call.verified,
    )
    seals = tuple(sorted((*round_.seals, seal), key=lambda s: s.member))
    record = replace(
        record,
        round=replace(round_, seals=seals, relayed=round_.relayed or carried),
        reveals=(*record.reveals, (who, call.reveal)),
    )
    state = state.with_record(record)
    sealed = {
        "round": call.round,
        "member": who,
        "payloadHash": call.payload_hash,
        "sharesHash": call.shares_hash,
        "epsilon": call.epsilon,
        "verified": call.verified,
    }
    events.append(("Sealed", sealed))
    if carried:
        events.append(("SealRelayed", {"round": call.round, "member": who}))
    state, more = _settle(state, now)
    return state, [*events, *more]


def carry(
    state: State, call: CarryCall, now: int, *, spent: Collection[tuple[int, bytes]] = ()
) -> tuple[State, list[Event]]:
    """Take seals that members signed, each by itself.

    Parameters
    ----------
    spent : collection of (int, bytes)
        Positions that the chain says were skipped for a reason in `UNNAMED`: whoever carries
        seals decides how much gas each has, and gas is not among the rules.
    """
    if not state.policy.relaying:
        raise TransactionRefused("RelayingOff")
    if len(call.seals) != len(call.signatures):
        raise TransactionRefused("SignatureCount", f"{len(call.signatures)}, {len(call.seals)}")
    events: list[Event] = []
    short = {position: reason for position, reason in spent if reason in UNNAMED}
    for position, (item, signature) in enumerate(zip(call.seals, call.signatures, strict=True)):
        reason = short.get(position)
        if reason is None:
            try:
                state, more = seal(state, _sealer(state, item, signature), item, now, carried=True)
                events += more
                continue
            except TransactionRefused as error:
                reason = error_selector(error.reason)
        events.append(("SealSkipped", {"position": position, "reason": reason}))
    return state, events


def abstain(state: State, who: int, call: AbstainCall, now: int) -> tuple[State, list[Event]]:
    _check_not_suspended(state, who)
    events: list[Event] = [("Abstained", {"round": call.round, "member": who})]
    if _starts_next(state, call.round):
        if who in state.ahead:
            raise TransactionRefused("AlreadyAbstained", f"round {call.round}, member {who}")
        state = present(replace(state, ahead=state.ahead | {who}), who)
        state, more = void_if_all_abstained(state)
        return state, events + more
    record = _sealing(state, call.round, now)
    _check_free(record.round, who)
    abstained = tuple(sorted((*record.round.abstained, who)))
    state = state.with_record(replace(record, round=replace(record.round, abstained=abstained)))
    state, more = _settle(present(state, who), now)
    return state, events + more


def late(state: State, who: int, call: LateCall, now: int) -> tuple[State, list[Event]]:
    _check_not_suspended(state, who)
    record = state.current
    round_ = record.round
    if call.round != round_.number or round_.phase is Phase.IDLE:
        raise TransactionRefused("WrongRound", f"{call.round}, current {round_.number}")
    if round_.phase is Phase.SEALING and now <= round_.seal_deadline:
        raise TransactionRefused("SealingOpen", f"round {call.round}")
    _check_free(round_, who)
    if who in round_.late:
        raise TransactionRefused("AlreadyLate", f"round {call.round}, member {who}")
    state = _spend(state, who, call.epsilon)
    round_ = replace(round_, late=tuple(sorted((*round_.late, who))))
    event = {"round": call.round, "member": who, "epsilon": call.epsilon}
    return state.with_record(replace(record, round=round_)), [("SealedLate", event)]


def close(state: State, call: CloseCall, now: int) -> tuple[State, list[Event]]:
    record = state.current
    round_ = record.round
    if call.round != round_.number:
        raise TransactionRefused("WrongRound", f"{call.round}, current {round_.number}")
    if round_.phase is not Phase.SEALING:
        raise TransactionRefused("SealingClosed", f"round {call.round}")
    if now <= round_.seal_deadline:
        raise TransactionRefused("DeadlineNotReached", f"{round_.seal_deadline}")
    missing = _waiting(state)
    record = replace(record, missed=tuple(sorted(missing)))
    events: list[Event] = [("MembersMissed", {"round": call.round, "missing": bits(missing)})]
    reason, opener = _unready(state), round_.opener
    spoken = len(round_.seals) + len(round_.abstained)
    if reason is not None and spoken <= state.faults and opener is not None:
        # Perhaps no honest member was ever told of this round: it is the opener's own.
        events.append(("OpenerBlamed", {"round": call.round, "member": opener}))
        state, consequences = stalled(state, opener)
        events += consequences
    elif state.policy.close_at >= len(state.eligible):  # so each of them was asked
        record = replace(record, round=replace(round_, missed=record.missed))
        state, consequences = absent(state, missing)
        events += consequences
    state = state.with_record(record)
    state, more = draw(state, now) if reason is None else end(state, reason)
    return state, events + more


def _check_not_suspended(state: State, who: int) -> None:
    if state.members[who].suspended:
        raise TransactionRefused("MemberIsSuspended", f"member {who}")


def _sealer(state: State, call: SealCall, signature: bytes) -> int:
    try:
        account = recover_sealer(state.chain_id, state.contract, call, signature)
    except WireError:
        account = ""
    seated = (m.index for m in state.members if not m.vacant and m.account == account)
    who = next(seated, None)
    if who is None:
        raise TransactionRefused("BadSeal")
    return who


def _reveal(state: State, who: int, call: SealCall) -> State:
    member = state.members[who]
    expected = election.commitment(state.chain_id, state.contract, member.account, call.reveal)
    if expected != member.commitment:
        raise TransactionRefused("WrongReveal", f"member {who}, reveals {member.reveals}")
    return state.with_member(who, commitment=call.commitment, reveals=member.reveals + 1)


def _spend(state: State, who: int, epsilon: int) -> State:
    recorded, limit = state.members[who].epsilon, cap(state)
    if epsilon < recorded:
        raise TransactionRefused("EpsilonDecreased", f"{epsilon} < {recorded}")
    if epsilon > limit:
        raise TransactionRefused("BudgetExceeded", f"{epsilon} > {limit}")
    return state.with_member(who, epsilon=epsilon)


def _open(state: State, who: int, call: SealCall, now: int) -> tuple[State, list[Event]]:
    deadline = now + state.policy.seal_seconds
    round_ = Round(
        number=call.round,
        phase=Phase.SEALING,
        parent=call.parent,
        seal_deadline=deadline,
        abstained=tuple(sorted(state.ahead)),
        opener=who,
    )
    record = Record(
        round=round_, policy=state.policy, base=state.last_certified, ahead=len(state.ahead)
    )
    event = {"round": call.round, "parent": call.parent, "deadline": deadline}
    opened = replace(state, records=(*state.records, record), ahead=frozenset())
    return opened, [("SealingOpened", event)]


def _starts_next(state: State, number: int) -> bool:
    return number == state.current.round.number + 1 and not state.running


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


def _waiting(state: State) -> frozenset[int]:
    round_ = state.current.round
    return state.eligible.difference((s.member for s in round_.seals), round_.abstained)


def _unready(state: State) -> int | None:
    """Why the round cannot be drawn, or None if it can."""
    record = state.current
    if len(record.round.seals) < state.policy.min_included:
        return TOO_FEW_SEALS
    committee = state.records[record.base - 1].round.committee if record.base else ()
    # Whose seat went to somebody else since then has not seen the sum.
    holders = {m for m in state.taken & {*committee} if state.members[m].since <= record.base}
    witnessed = sum(seal.verified and seal.member in holders for seal in record.round.seals)
    return None if witnessed >= min(len(holders), state.policy.witnesses) else TOO_FEW_WITNESSES


def _settle(state: State, now: int) -> tuple[State, list[Event]]:
    round_ = state.current.round
    spoken = len(round_.seals) + len(round_.abstained)
    waiting = _waiting(state)
    if waiting and (round_.relayed or spoken < state.policy.close_at):
        return state, []
    reason = _unready(state)
    if reason is None:
        return draw(state, now)
    return (state, []) if waiting else end(state, reason)
