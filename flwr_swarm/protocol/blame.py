"""Who dealt badly: evidence, its proof from the ledger alone, and the vote that follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .. import encryption
from .._exceptions import WireError
from ..encryption import Dealt, wire
from ..encryption.complaint import upheld
from ..encryption.dealing_wire import read_complaint
from ..encryption.parameters import KEYS
from .ledger import ProposeCall, VoteCall
from .member import round_context
from .messages import Evidence, OpenReply, SealReply
from .types import Change, Kind, LedgerView, Proposal, Round, Status


def evidence_from(
    view: LedgerView, seals: Mapping[int, SealReply], replies: Iterable[OpenReply]
) -> tuple[Evidence, ...]:
    """Proven evidence against each bad dealer, one piece a dealer, from the replies of trip 3.

    Complaints that prove nothing are dropped.
    """
    found: dict[int, Evidence] = {}
    for reply in sorted(replies, key=lambda reply: reply.member):
        for complaint in reply.complaints:
            try:
                dealer = read_complaint(complaint, KEYS).dealer
            except WireError:
                continue
            dealing = seals.get(dealer)
            if dealing is None or dealer in found:
                continue
            evidence = _evidence(view.current.number, complaint, dealer, reply.member, dealing)
            if evidence is not None and complainer(view, evidence) is not None:
                found[dealer] = evidence
    return tuple(found[dealer] for dealer in sorted(found))


def _evidence(
    number: int, complaint: bytes, dealer: int, holder: int, dealing: SealReply
) -> Evidence | None:
    """The complaint with the one envelope that it is about."""
    for envelope in dealing.envelopes:
        if wire.read_envelope(envelope, KEYS).receiver == holder:
            return Evidence(
                round=number,
                dealer=dealer,
                complaint=complaint,
                envelope=envelope,
                envelope_hashes=tuple(encryption.envelope_hash(e) for e in dealing.envelopes),
                proof=dealing.proof,
            )
    return None


def complainer(view: LedgerView, evidence: Evidence) -> int | None:
    """The holder whose complaint is proven, or None if the evidence proves nothing.

    Everything that counts is on the ledger: the round, the dealer's seal, which fixes envelopes
    and proof, and the holder's key. If a change of keys was enacted since, a complaint about an
    envelope to the old key proves nothing, as nobody could say whose key that was.
    """
    current = _round(view, evidence.round)
    seal = None if current is None else current.seal_of(evidence.dealer)
    if current is None or seal is None or not _sat(view, evidence.dealer, evidence.round):
        return None
    try:
        shares = encryption.shares_hash(evidence.envelope_hashes, evidence.proof)
        holder = wire.read_envelope(evidence.envelope, KEYS).receiver
    except WireError:
        return None
    if shares != seal.shares_hash or not _sat(view, holder, evidence.round):
        return None
    said = upheld(
        evidence.complaint,
        Dealt(envelope=evidence.envelope, hashes=evidence.envelope_hashes, proof=evidence.proof),
        context=round_context(view, current.number, current.parent),
        pinned=view.members[holder].encryption_key,
        parameters=KEYS,
    )
    return said.holder if said is not None and said.dealer == evidence.dealer else None


def opened_at(view: LedgerView, number: int) -> int:
    """The time before which nobody could propose anything because of round `number`."""
    current = _round(view, number)
    return view.now if current is None else current.seal_deadline - view.policy.seal_seconds


def vote_on(
    view: LedgerView, evidence: Evidence, proposals: Iterable[Proposal], me: int
) -> ProposeCall | VoteCall | None:
    """What member `me` does about proven evidence: propose, vote, or nothing.

    Nothing, if the members have decided about the dealer since the round: evidence that is shown
    again must not undo a reinstatement. A proposal that would change anything else on the way,
    like a rule of the policy, gets no vote.

    Parameters
    ----------
    view : LedgerView
    evidence : Evidence
        Proven by `complainer`.
    proposals : iterable of Proposal
        All of this epoch, and all that were made since the round opened.
    me : int
    """
    seat = evidence.dealer
    change = Change(kind=Kind.SUSPEND, policy=view.policy, seat=seat)
    if seat == me or view.members[seat].suspended or view.pending:
        return None
    known = tuple(proposals)
    since = opened_at(view, evidence.round)
    if any(_decides(p, change) and made_at(p, view) >= since for p in known):
        return None
    standing = [
        p
        for p in known
        if (p.status, p.epoch, p.change) == (Status.OPEN, view.epoch, change)
        and view.now <= p.closes
    ]
    if not standing:
        return ProposeCall(change=change)
    best = min(standing, key=lambda p: (-len(p.supporters), p.id))
    if me in {*best.supporters, *best.opponents}:
        return None
    return VoteCall(proposal=best.id, support=True)


def made_at(proposal: Proposal, view: LedgerView) -> int:
    """When a proposal was made, while the time for votes has not been changed."""
    return proposal.closes - view.policy.vote_seconds


def _decides(proposal: Proposal, change: Change) -> bool:
    """Whether the members have said what they want with the seat of `change`."""
    if proposal.status is Status.REJECTED:
        return proposal.change == change
    about = proposal.change.seat == change.seat
    kinds = {Kind.SUSPEND, Kind.REINSTATE}
    return about and proposal.status is Status.ENACTED and proposal.change.kind in kinds


def _round(view: LedgerView, number: int) -> Round | None:
    """The round, if the view still has it."""
    known = (view.current, view.final)
    return next((r for r in known if r is not None and r.number == number), None)


def _sat(view: LedgerView, seat: int, number: int) -> bool:
    """Whether who has the seat now had it in round `number`."""
    if not 0 <= seat < len(view.members):
        return False
    member = view.members[seat]
    return not member.vacant and member.since <= number
