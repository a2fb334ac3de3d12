"""A bad dealer on chain: the relay shows the evidence, each site verifies it and votes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from flwr.app import Context

from .._exceptions import ConfigurationError, LedgerError, ProtocolError, TransactionRefused
from ..chain.patience import Readable
from ..protocol.blame import complainer, evidence_from, made_at, opened_at, vote_on
from ..protocol.ledger import ProposeCall
from ..protocol.messages import Evidence, OpenReply, Place, ReportRequest, SealReply
from ..protocol.types import LedgerView, Proposal
from . import write
from .site import Site
from .trips import Trips

log = logging.getLogger("flwr.swarm")

VOTES_OPTION: Final = "swarm-votes"
_VOTES: Final = ("automatic", "manual")
_MOST_PROPOSALS: Final = 1024
_TRIP_SECONDS: Final = 30.0
_SEARCH_SECONDS: Final = 90.0
"""How long the relay looks for a site that proposes; then it lets the matter rest."""


# --- a site ------------------------------------------------------------------------------------


def answer_report(site: Site, request: ReportRequest) -> None:
    """Vote to suspend a dealer whose bad dealing is proven, unless this site votes by hand.

    Raises
    ------
    ProtocolError
        If the evidence proves nothing; no vote was cast.
    ConfigurationError
        If the site's `swarm-votes` is neither "automatic" nor "manual".
    """
    view, evidence = site.ledger.view(), request.evidence
    _, _, me = site.member.accept(request.place, view, settling=True)
    holder = complainer(view, evidence)
    if holder is None:
        raise ProtocolError(
            f"the report of round {evidence.round} about member {evidence.dealer} proves nothing "
            f"in round {view.current.number} of the ledger; no vote was cast"
        )
    what = (evidence.round, evidence.dealer, holder)
    if _votes_by_hand(site.context):
        log.warning(
            "round %d: member %d dealt badly, as member %d proves; this site votes by hand "
            "(`flwr-swarm member vote --suspend`)",
            *what,
        )
        return
    call = vote_on(view, evidence, proposals_since(site.ledger, view, evidence), me.index)
    if call is None:
        return
    log.warning("round %d: member %d dealt badly, as member %d proves; voting against it", *what)
    try:
        site.ledger.submit(call)
    except TransactionRefused as error:
        # Another vote may have decided it, or another change waits for the end of a round.
        log.info("the vote about member %d was not needed: %s", evidence.dealer, error.reason)


def _votes_by_hand(context: Context) -> bool:
    value = str(context.node_config.get(VOTES_OPTION, _VOTES[0]))
    if value not in _VOTES:
        raise ConfigurationError(
            f"{VOTES_OPTION} in the site's node config must be one of {', '.join(_VOTES)}, got "
            f"{value!r}"
        )
    return value == _VOTES[1]


def proposals_since(ledger: Readable, view: LedgerView, evidence: Evidence) -> tuple[Proposal, ...]:
    """The proposals of this epoch, and those made since the round of the evidence opened."""
    since = opened_at(view, evidence.round)
    found: list[Proposal] = []
    for number in range(ledger.proposals(), 0, -1):
        proposal = ledger.proposal(number)
        if proposal is None or len(found) == _MOST_PROPOSALS:
            break
        if proposal.epoch < view.epoch and made_at(proposal, view) < since:
            break
        found.append(proposal)
    return tuple(found)


# --- the relay -----------------------------------------------------------------------------------


def report(
    place: Place,
    trips: Trips,
    ledger: Readable,
    view: LedgerView,
    seals: Mapping[int, SealReply],
    replies: Iterable[OpenReply],
) -> None:
    """Name each dealer that the replies of trip 3 prove bad, and show the members the evidence.

    Never fails: a round that could be opened is not lost to a report that could not be made.

    Parameters
    ----------
    place, trips, ledger
    view : LedgerView
        As the round's shares were dealt under it.
    seals, replies
        What was dealt, and what the holders answered.
    """
    for evidence in evidence_from(view, seals, replies):
        log.warning(
            "round %d: member %d dealt shares that do not open; proven by member %s's complaint",
            evidence.round,
            evidence.dealer,
            complainer(view, evidence),
        )
        try:
            _show(place, trips, ledger, evidence)
        except LedgerError as error:
            log.warning("member %d could not be reported: %s", evidence.dealer, error)


def _show(place: Place, trips: Trips, ledger: Readable, evidence: Evidence) -> None:
    """One member after the other, until one has proposed; then all others at once."""
    request = write.report_request(ReportRequest(place=place, evidence=evidence))
    what = f"report about member {evidence.dealer}"
    waiting = [member for member in sorted(trips.nodes) if member != evidence.dealer]
    end = trips.clock.now() + _SEARCH_SECONDS
    while waiting and trips.clock.now() < end and _nobody_proposed(ledger, evidence):
        member = waiting.pop(0)
        trips.send(what, {member: request}, lambda reply: reply, seconds=_TRIP_SECONDS)
    if waiting:
        asked = dict.fromkeys(waiting, request)
        trips.send(what, asked, lambda reply: reply, seconds=_TRIP_SECONDS)
    after = ledger.view().members[evidence.dealer]
    log.warning(
        "member %d is %s",
        evidence.dealer,
        "suspended until the members vote it back" if after.suspended else "not suspended yet",
    )


def _nobody_proposed(ledger: Readable, evidence: Evidence) -> bool:
    view = ledger.view()
    known = proposals_since(ledger, view, evidence)
    return isinstance(vote_on(view, evidence, known, me=-1), ProposeCall)
