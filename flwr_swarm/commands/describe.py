"""What the chain holds, in words and as plain data: members, rounds, proposals, changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from ..protocol.types import (
    EPSILON_UNIT,
    ZERO_HASH,
    Change,
    Kind,
    LedgerView,
    Member,
    Phase,
    Proposal,
    Status,
)
from .applications import card_json
from .policies import differences, policy_json
from .study import turn

NO_END: Final = "-"
_PHASES: Final = {
    Phase.IDLE: "none yet",
    Phase.SEALING: "sealing",
    Phase.MERGING: "merging",
    Phase.CERTIFIED: "certified",
    Phase.VOID: "void",
}


def required_votes(members: int) -> int:
    """Votes that enact a change: more than two thirds of the members."""
    return 2 * members // 3 + 1


def when(seconds: int) -> str:
    """A time of the chain, for people."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return f"second {seconds}"


def standing(member: Member) -> str:
    """One word on a member."""
    return "suspended" if member.suspended else "active"


def member_row(member: Member) -> tuple[object, ...]:
    """A member as a row of `MEMBER_COLUMNS`."""
    return (
        member.index,
        member.account,
        f"{member.epsilon / EPSILON_UNIT:.2f}",
        member.misses,
        member.faults,
        member.since,
        member.weight_class or NO_END,
        standing(member),
    )


MEMBER_COLUMNS: Final = (
    ">seat",
    "account",
    ">epsilon",
    ">misses",
    ">faults",
    ">since",
    ">size",
    "standing",
)


def member_json(member: Member, endpoint: str) -> dict[str, Any]:
    """A member as plain data; epsilon in micro-epsilon."""
    return {
        "seat": member.index,
        "account": member.account,
        "encryption_key": "0x" + member.encryption_key.hex(),
        "tls_hash": "0x" + member.tls_hash.hex(),
        "endpoint": endpoint,
        "epsilon": member.epsilon,
        "weight_class": member.weight_class,
        "misses": member.misses,
        "faults": member.faults,
        "absences": member.absences,
        "stalls": member.stalls,
        "since": member.since,
        "suspended": member.suspended,
    }


def round_words(view: LedgerView) -> str:
    """The newest round in one line."""
    current = view.current
    if current.phase is Phase.IDLE:
        return _PHASES[Phase.IDLE]
    text = f"{current.number}, {_PHASES[current.phase]}"
    if current.phase is Phase.SEALING:
        text += f": {len(current.seals)} sealed, {len(current.abstained)} abstained, until "
        text += when(current.seal_deadline)
    elif current.phase is Phase.MERGING:
        text += f": leader {current.leader}, view {current.view}, until "
        text += when(current.merge_deadline)
    elif current.certificate is not None:
        text += f": {len(current.certificate.included)} updates in the sum"
    return text


def round_json(view: LedgerView) -> dict[str, Any]:
    """The newest round as plain data."""
    current = view.current
    return {
        "number": current.number,
        "phase": current.phase.name.lower(),
        "sealed": [seal.member for seal in current.seals],
        "abstained": list(current.abstained),
        "late": list(current.late),
        "leader": current.leader,
        "view": current.view,
        "committee": list(current.committee),
        "seal_deadline": current.seal_deadline,
        "merge_deadline": current.merge_deadline,
        "included": list(current.certificate.included) if current.certificate else [],
    }


def title(change: Change, view: LedgerView) -> str:
    """What a change does to the swarm of the view, in a few words."""
    match change.kind:
        case Kind.ADMIT:
            return f"admit {change.card.account if change.card else 'nobody'}"
        case Kind.ROTATE:
            return f"change the keys of seat {change.seat}"
        case Kind.POLICY:
            turns = turn(view.policy, change.policy)
            return "change the policy" if turns is None else turns.title
        case _:
            return f"{change.kind.name.lower()} seat {change.seat}"


def effects(change: Change, view: LedgerView, endpoints: Sequence[str]) -> list[tuple[str, str]]:
    """What enacting a change would alter, as (name, words)."""
    found: list[tuple[str, str]] = [("change", title(change, view))]
    seat = change.seat
    member = view.members[seat] if seat is not None and seat < len(view.members) else None
    if member is not None:
        found.append(("member", f"{member.account}, {standing(member)}"))
    if change.card is not None:
        card = change.card
        if member is None or member.account != card.account:
            found.append(("account", card.account))
        found.append(("encryption key", card.encryption_key.hex()))
        if card.tls_hash != ZERO_HASH:
            found.append(("TLS certificate", f"SHA-256 {card.tls_hash.hex()}"))
        old = endpoints[seat] if seat is not None and seat < len(endpoints) else ""
        if card.endpoint != old:
            found.append(("node", card.endpoint or "none"))
        if card.epsilon:
            found.append(("epsilon before", f"{card.epsilon / EPSILON_UNIT:g}"))
    turns = turn(view.policy, change.policy)
    if turns is not None:
        found.append(("study", turns.words))
    for name, before, after in differences(view.policy, change.policy):
        found.append((f"policy {name}", f"{before} -> {after}"))
    if change.kind is Kind.REMOVE and view.current.phase in {Phase.SEALING, Phase.MERGING}:
        found.append(("running round", f"round {view.current.number} becomes void at once"))
    elif view.current.phase in {Phase.SEALING, Phase.MERGING}:
        found.append(("takes effect", f"when round {view.current.number} ends"))
    return found


def proposal_state(proposal: Proposal, view: LedgerView) -> str:
    """Where a proposal stands, seen from the view's epoch and time."""
    if proposal.status is Status.OPEN:
        if proposal.epoch != view.epoch:
            return "stale"
        if view.now > proposal.closes:
            return "expired"
    return proposal.status.name.lower()


def proposal_json(proposal: Proposal, view: LedgerView, *, members: int) -> dict[str, Any]:
    """A proposal as plain data; `members` voted, or can."""
    change = proposal.change
    return {
        "id": proposal.id,
        "status": proposal_state(proposal, view),
        "epoch": proposal.epoch,
        "proposer": proposal.proposer,
        "closes": proposal.closes,
        "supporters": list(proposal.supporters),
        "opponents": list(proposal.opponents),
        "required": required_votes(members),
        "change": {
            "kind": change.kind.name.lower(),
            "seat": change.seat,
            "card": card_json(change.card) if change.card else None,
            "expires": change.expires,
            "policy": policy_json(change.policy),
        },
    }
