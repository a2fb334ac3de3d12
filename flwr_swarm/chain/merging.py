"""The contract's rules of offices in Python: draw, certify, advance, void."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flwr_swarm._exceptions import TransactionRefused, WireError
from flwr_swarm.protocol import election
from flwr_swarm.protocol.ledger import AdvanceCall, CertifyCall
from flwr_swarm.protocol.types import ZERO_HASH, Phase, Round

from .signing import recover_certifier
from .state import IDLE, NO_LEADER_LEFT, VOID_REASONS, Event, Record, State
from .translate import bits, unbits


def draw(state: State, now: int) -> tuple[State, list[Event]]:
    record = state.current
    accounts = [(state.members[m].account, secret) for m, secret in record.reveals]
    drawn = election.draw(
        number=record.round.number,
        mixed=election.mix(accounts),
        previous=state.beacon,
        sealers=(seal.member for seal in record.round.seals),
        led=state.led,
        max_committee=state.policy.max_committee,
        fixed_leader=state.policy.fixed_leader,
    )
    round_ = replace(
        record.round,
        phase=Phase.MERGING,
        beacon=drawn.beacon,
        succession=drawn.succession,
        committee=drawn.committee,
    )
    state = replace(state, led=drawn.led, beacon=drawn.beacon)
    event = {
        "round": round_.number,
        "beacon": drawn.beacon,
        "succession": bytes(drawn.succession),
        "committee": bytes(drawn.committee),
    }
    state, more = start_view(state.with_record(replace(record, round=round_)), 0, now)
    return state, [("Drawn", event), *more]


def certify(state: State, call: CertifyCall) -> tuple[State, list[Event]]:
    certificate = call.certificate
    record = _merging(state, certificate.round, certificate.view)
    round_ = record.round
    if certificate.aggregate_hash == ZERO_HASH:
        raise TransactionRefused("ZeroHash")
    unsealed = set(certificate.included).difference(seal.member for seal in round_.seals)
    if unsealed:
        raise TransactionRefused("NotSealed", f"members {sorted(unsealed)}")
    if len(set(certificate.included)) < state.policy.min_included:
        raise TransactionRefused("TooFewIncluded", f"{len(set(certificate.included))}")
    signers = unbits(bits(member for member, _ in call.signatures))
    _check_signers(state, round_, signers, call)

    done = replace(round_, phase=Phase.CERTIFIED, certificate=certificate)
    state = replace(
        state.with_record(replace(record, round=done, signers=signers)),
        last_certified=round_.number,
    )
    event = {
        "round": round_.number,
        "view_": round_.view,
        "included": bits(certificate.included),
        "aggregateHash": certificate.aggregate_hash,
        "signers": bits(signers),
    }
    return state, [("Certified", event)]


def advance(state: State, call: AdvanceCall, now: int) -> tuple[State, list[Event]]:
    record = _merging(state, call.round, call.view)
    round_ = record.round
    if now <= round_.merge_deadline:
        raise TransactionRefused("DeadlineNotReached", f"{round_.merge_deadline}")
    leader = round_.succession[call.view]
    missed = {"round": call.round, "view_": call.view, "leader": leader}
    state = state.with_record(replace(record, failed_leaders=(*record.failed_leaders, leader)))
    upcoming = call.view + 1
    if upcoming >= state.policy.max_views or upcoming >= len(round_.succession):
        state, more = void(state, NO_LEADER_LEFT)
    else:
        state, more = start_view(state, upcoming, now)
    return state, [("LeaderMissed", missed), *more]


def start_view(state: State, view: int, now: int) -> tuple[State, list[Event]]:
    record = state.current
    leader = record.round.succession[view]
    deadline = now + (state.policy.merge_seconds << view)
    round_ = replace(record.round, view=view, merge_deadline=deadline)
    state = replace(state, led=state.led | {leader}).with_record(replace(record, round=round_))
    event = {"round": round_.number, "view_": view, "leader": leader, "deadline": deadline}
    return state, [("ViewStarted", event)]


def void(state: State, reason: int) -> tuple[State, list[Event]]:
    record = state.current
    voided = replace(record.round, phase=Phase.VOID)
    event = {"round": voided.number, "reason": reason}
    record = replace(record, round=voided, void_reason=VOID_REASONS[reason])
    return state.with_record(record), [("RoundVoided", event)]


def _check_signers(state: State, round_: Round, signers: Sequence[int], call: CertifyCall) -> None:
    leader = round_.succession[round_.view]
    strangers = set(signers).difference(round_.committee, {leader})
    if strangers:
        raise TransactionRefused("NoOffice", f"members {sorted(strangers)}")
    if leader not in signers:
        raise TransactionRefused("LeaderNotSigned", f"leader {leader}")
    signed, required = (
        len(set(signers).intersection(round_.committee)),
        election.quorum(len(round_.committee)),
    )
    if signed < required:
        raise TransactionRefused("BelowQuorum", f"{signed} of {required}")
    if len(call.signatures) != len(signers):
        raise TransactionRefused("SignatureCount", f"{len(call.signatures)}, {len(signers)}")
    for member, (_, signature) in zip(signers, call.signatures, strict=True):
        try:
            account = recover_certifier(state.chain_id, state.contract, call.certificate, signature)
        except WireError:
            account = ""
        if account != state.members[member].account:
            raise TransactionRefused("BadSignature", f"member {member}")


def _merging(state: State, number: int, view: int) -> Record:
    round_ = state.current.round
    if number != round_.number:
        past = state.records[number - 1] if 0 < number <= len(state.records) else IDLE
        name = "AlreadyCertified" if past.round.phase is Phase.CERTIFIED else "WrongRound"
        raise TransactionRefused(name, f"{number}, current {round_.number}")
    names = {Phase.CERTIFIED: "AlreadyCertified", Phase.SEALING: "SealingOpen"}
    if round_.phase is not Phase.MERGING:
        raise TransactionRefused(names.get(round_.phase, "NotMerging"), f"round {number}")
    if view != round_.view:
        raise TransactionRefused("WrongView", f"{view}, current {round_.view}")
    return state.current
