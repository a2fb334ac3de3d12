"""The contract's rules of offices in Python: draw, certify, advance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flwr_swarm._exceptions import TransactionRefused
from flwr_swarm.protocol import election
from flwr_swarm.protocol.ledger import AdvanceCall, CertifyCall
from flwr_swarm.protocol.types import ZERO_HASH, Phase, Round

from .conduct import certifier, stalled, void
from .governance import enact_pending
from .state import IDLE, NO_LEADER_LEFT, Event, Record, State
from .translate import bits, unbits


def draw(state: State, now: int) -> tuple[State, list[Event]]:
    record = state.current
    accounts = [(state.members[m].account, secret) for m, secret in record.reveals]
    leaders, pool = _officers(state)
    drawn = election.draw(
        number=record.round.number,
        mixed=election.mix(accounts),
        previous=state.beacon,
        sealers=leaders,
        pool=pool,
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
    state = replace(
        state, led=drawn.led, beacon=drawn.beacon, benched=frozenset(record.round.missed)
    )
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
    state = state.with_member(round_.succession[round_.view], stalls=0)
    event = {
        "round": round_.number,
        "view_": round_.view,
        "included": bits(certificate.included),
        "aggregateHash": certificate.aggregate_hash,
        "signers": bits(signers),
    }
    state, more = enact_pending(state)
    return state, [("Certified", event), *more]


def advance(state: State, call: AdvanceCall, now: int) -> tuple[State, list[Event]]:
    record = _merging(state, call.round, call.view)
    round_ = record.round
    if now <= round_.merge_deadline:
        raise TransactionRefused("DeadlineNotReached", f"{round_.merge_deadline}")
    leader = round_.succession[call.view]
    missed: Event = (
        "LeaderMissed",
        {"round": call.round, "view_": call.view, "leader": leader},
    )
    state = state.with_record(replace(record, failed_leaders=(*record.failed_leaders, leader)))
    state, consequences = stalled(state, leader)
    upcoming = call.view + 1
    if upcoming >= state.policy.max_views or upcoming >= len(round_.succession):
        state, more = end(state, NO_LEADER_LEFT)
    else:
        state, more = start_view(state, upcoming, now)
    return state, [missed, *consequences, *more]


def start_view(state: State, view: int, now: int) -> tuple[State, list[Event]]:
    record = state.current
    leader = record.round.succession[view]
    deadline = now + (state.policy.merge_seconds << view)
    round_ = replace(record.round, view=view, merge_deadline=deadline)
    state = replace(state, led=state.led | {leader}).with_record(replace(record, round=round_))
    event = {"round": round_.number, "view_": view, "leader": leader, "deadline": deadline}
    return state, [("ViewStarted", event)]


def end(state: State, reason: int) -> tuple[State, list[Event]]:
    """Void the newest round; a change that was passed during it begins to rule."""
    state, events = void(state, reason)
    state, more = enact_pending(state)
    return state, events + more


def _officers(state: State) -> tuple[frozenset[int], frozenset[int]]:
    """Who may lead, and who may sit on the committee.

    A recent miss costs the turn of leading only, and only while at most f missed: whoever makes
    others miss must not choose who checks a merge.
    """
    sealers = frozenset(seal.member for seal in state.current.round.seals)
    bound = min(state.policy.max_committee, state.policy.min_included)
    pool = sealers - state.suspended
    if len(pool) < bound:
        pool = sealers
    leaders = pool - state.benched
    if len(leaders) < bound or len(pool & state.benched) > state.faults:
        leaders = pool
    return leaders, pool


def _check_signers(state: State, round_: Round, signers: Sequence[int], call: CertifyCall) -> None:
    leader = round_.succession[round_.view]
    strangers = set(signers).difference(round_.committee, {leader})
    if strangers:
        raise TransactionRefused("NoOffice", f"members {sorted(strangers)}")
    if leader not in signers:
        raise TransactionRefused("LeaderNotSigned", f"leader {leader}")
    size = len(round_.committee)
    signed = len(set(signers).intersection(round_.committee))
    required = max(election.quorum(size), min(state.policy.quorum, size))
    if signed < required:
        raise TransactionRefused("BelowQuorum", f"{signed} of {required}")
    if len(call.signatures) != len(signers):
        raise TransactionRefused("SignatureCount", f"{len(call.signatures)}, {len(signers)}")
    for member, (_, signature) in zip(signers, call.signatures, strict=True):
        if certifier(state, call.certificate, signature) != state.members[member].account:
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
