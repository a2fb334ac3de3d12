"""The relay's course through one round after training: close, merge, open, view by view."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from .._exceptions import LedgerError, OpeningRejected, RoundVoid
from ..chain.client import ReadOnlyLedger
from ..chain.patience import PatientLedger
from ..chain.signing import recover_certifier
from ..protocol.messages import NudgeRequest, OpenReply, Place, SealReply
from ..protocol.relay import (
    Merged,
    Opened,
    accepted_seals,
    conclude,
    officers,
    plan_merge,
    plan_open,
    tally,
)
from ..protocol.terms import Terms
from ..protocol.types import LedgerView, Phase
from . import write
from .clock import clock_time
from .ended import Outcome, as_certified
from .naming import name_absent, name_disagreement, name_false, name_left_out
from .read import Fields
from .recalling import Recaller
from .reporting import report
from .roster import Roster
from .trips import Trips

log = logging.getLogger("flwr.swarm")

_SHORTEST_TRIP = 30.0
_NUDGE_SECONDS = 30.0
_NUDGE_AGAIN = 5.0
_TRIES = 3
_SLACK = 10.0
"""A chain of development runs ahead of its clock by a second a transaction."""
_LONGEST_SKEW = 300.0
"""How far this machine's clock and the chain's may be apart, in seconds."""


@dataclass(frozen=True, kw_only=True)
class RoundDriver:
    """Drives trips 2 and 3. Holds no key: members submit what the ledger needs."""

    place: Place
    terms: Terms
    ledger: PatientLedger[ReadOnlyLedger]
    trips: Trips
    roster: Roster = field(repr=False)

    def settle(self) -> LedgerView:
        """End what an earlier run left open, and return the ledger at rest or in sealing.

        A round that is sealing takes this run's seals. If somebody opened it with another model,
        members refuse and say so, which ends it at once and is the opener's miss; waiting for its
        deadline would be theirs.
        """
        view = self.ledger.view()
        while view.current.phase is Phase.MERGING or (
            view.current.phase is Phase.SEALING and view.now > view.current.seal_deadline
        ):
            deadline = self._deadline(view)
            log.info(
                "round %d is still %s; waiting until %s",
                view.current.number,
                view.current.phase.name.lower(),
                clock_time(deadline),
            )
            view = self._pass_deadline(view)
        return view

    def finish(self, number: int, replies: Iterable[SealReply]) -> Outcome:
        """From the seal replies of round `number` to its opened sum.

        Raises
        ------
        RoundVoid
            If the round ends without a model; the message says who or what was missing.
        """
        view = self._sealed(number)
        name_absent(view, number)
        seals: Mapping[int, SealReply] = accepted_seals(view, replies, self.terms)
        seconds = {"merge": 0.0, "open": 0.0}
        while view.current.phase is Phase.MERGING:
            if view.now > view.current.merge_deadline:  # whoever is asked would end this view first
                view = self._pass_deadline(view)
                continue
            started = time.perf_counter()
            seals = self._complete(view, seals)
            merged = self._merge(view, seals)
            seconds["merge"] += time.perf_counter() - started
            if merged is None:
                log.warning(
                    "round %d: leader %s and committee came to no certificate; next leader at %s",
                    number,
                    view.current.leader,
                    clock_time(view.current.merge_deadline),
                )
                view = self._pass_deadline(view)
                continue
            name_left_out(view, merged)
            started = time.perf_counter()
            opened = self.open(view, merged, seals)
            view = self.ledger.view()
            if view.current.phase is Phase.MERGING:
                view = self._pass_deadline(view)
                if view.current.certificate == merged.certificate:  # recorded late, by a slow site
                    opened = self.open(view, merged, seals)
            seconds["open"] += time.perf_counter() - started
            ended = as_certified(view, merged)
            if ended is not None:
                return Outcome(
                    view=ended, seals=seals, merged=merged, opened=opened, seconds=seconds
                )
        raise RoundVoid(
            f"round {number} is void in the ledger: {len(view.current.seals)} sealed, "
            f"{len(view.current.abstained)} abstained, {view.policy.min_included} are needed; "
            "training goes on from the last model"
        )

    def seconds_for(self, number: int, silent: Collection[int]) -> float | None:
        """How long silent members are still waited for; None if the ledger says nothing.

        They may seal until sealing is over, which is later than the relay's own limit if somebody
        sealed late. Then whoever sealed has an answer on its way, which may be long; nobody else
        has one.
        """
        try:
            view = self.ledger.ledger.view()
        except LedgerError:
            return None
        current = view.current
        if current.number < number:
            return None
        if current.phase is Phase.SEALING:
            return max(0.0, float(current.seal_deadline - view.now))
        sealed = {seal.member for seal in current.seals}
        if current.phase is not Phase.MERGING or sealed.isdisjoint(silent):
            return 0.0
        return max(0.0, current.merge_deadline - view.now - view.policy.merge_seconds / 2)

    # --- sealing ---------------------------------------------------------------------------

    def _sealed(self, number: int) -> LedgerView:
        """The ledger once sealing has closed."""
        view = self.ledger.view()
        if view.current.number < number:
            raise RoundVoid(
                f"nobody sealed in round {number}; the members' answers above say why, or where "
                "none came in time, the sites' own logs. Training goes on from the last model"
            )
        if view.current.phase is Phase.SEALING:
            expected = {m.index for m in view.seated if not m.suspended}
            missing = expected - {s.member for s in view.current.seals}
            log.info(
                "round %d: waiting for seals of members %s until %s",
                number,
                sorted(missing - set(view.current.abstained)),
                clock_time(view.current.seal_deadline),
            )
            view = self._pass_deadline(view)
        return view

    def _pass_deadline(self, view: LedgerView) -> LedgerView:
        """Wait for the current deadline, then have a member act on it. One step of the ledger.

        The deadline is the chain's, and so is the clock that counts: the ledger tells what time
        the next block would carry. Where a node tells the last block's time instead, this
        machine's clock goes on from there.
        """
        before = (view.current.number, view.current.phase, view.current.view)
        clock, deadline = self.trips.clock, self._deadline(view)
        ahead = view.now - clock.now()
        end = clock.now() + max(0.0, deadline - view.now) + _LONGEST_SKEW
        while clock.now() < end:
            left = deadline + 1 - max(view.now, clock.now() + ahead - _SLACK)
            if left <= 0:
                for member in self.roster.refresh():
                    if not self._nudge(view, member):
                        continue
                    view = self.ledger.view()
                    if (view.current.number, view.current.phase, view.current.view) != before:
                        return view
            clock.sleep(min(1.0, left + 0.5) if left > 0 else _NUDGE_AGAIN)
            view = self.ledger.view()
            ahead = max(ahead, view.now - clock.now())
            if (view.current.number, view.current.phase, view.current.view) != before:
                return view
        raise RoundVoid(
            f"round {view.current.number} stays {view.current.phase.name.lower()} after its "
            f"deadline ({clock_time(deadline)} of the chain's clock, which shows "
            f"{clock_time(view.now)}), because no member could end it; check the chain, the sites "
            "and their clocks"
        )

    def _nudge(self, view: LedgerView, member: int) -> bool:
        """Whether `member` looked at the ledger and ended what was due."""
        request = write.nudge_request(NudgeRequest(place=self.place, round=view.current.number))
        asked = {member: request}
        return bool(self.trips.send("nudge", asked, lambda f: f, seconds=_NUDGE_SECONDS))

    def _deadline(self, view: LedgerView) -> int:
        current = view.current
        return current.seal_deadline if current.phase is Phase.SEALING else current.merge_deadline

    # --- merging and opening -----------------------------------------------------------------

    def _remaining(self, view: LedgerView) -> float:
        return max(_SHORTEST_TRIP, float(view.current.merge_deadline - view.now))

    def _complete(
        self, view: LedgerView, seals: Mapping[int, SealReply]
    ) -> Mapping[int, SealReply]:
        """Sealed updates that got lost on their way, if there is no sum without them."""
        if len(seals) >= view.policy.min_included:
            return seals
        lost = {seal.member for seal in view.current.seals} - seals.keys()
        log.warning(
            "round %d: the sealed updates of members %s did not arrive, and a sum needs %d; asking "
            "for them again",
            view.current.number,
            sorted(lost),
            view.policy.min_included,
        )
        recaller = Recaller(
            place=self.place,
            trips=self.trips,
            roster=self.roster,
            seconds=self._remaining(view),
        )
        found = recaller.seals(view.current.number, lost)
        return {**seals, **accepted_seals(view, found, self.terms)}

    def _merge(self, view: LedgerView, seals: Mapping[int, SealReply]) -> Merged | None:
        self.roster.refresh()
        request = write.merge_request(plan_merge(self.place, view, seals))
        replies = self.trips.send(
            f"merge of round {view.current.number}",
            dict.fromkeys(officers(view.current), request),
            Fields.merge_reply,
            seconds=self._remaining(view),
            enough=lambda got: tally(view, got, self.terms, recover_certifier) is not None,
            tries=_TRIES,
        )
        merged = tally(view, replies, self.terms, recover_certifier)
        if merged is None:
            name_disagreement(view, replies, self.terms)
        # Officers were sent these seals only: a set with another was made up by a quorum of liars.
        return merged if merged and seals.keys() >= set(merged.certificate.included) else None

    def open(
        self, view: LedgerView, merged: Merged, seals: Mapping[int, SealReply]
    ) -> Opened | None:
        """Have the certificate recorded and the sum opened; None if it stays sealed."""
        self.roster.refresh()
        requests = plan_open(self.place, view, merged, seals)
        records = {holder: write.open_request(request) for holder, request in requests.items()}
        what = f"opening of round {view.current.number}"
        if self.terms.encryption == "none":
            # Nothing to open: the first member that answers records the certificate.
            for holder, request in records.items():
                seconds = self._remaining(view)
                if self.trips.send(what, {holder: request}, lambda f: f, seconds=seconds):
                    break
            return None
        found: list[Opened] = []

        def opens(got: Sequence[OpenReply]) -> bool:
            with suppress(OpeningRejected):
                found.append(conclude(view, merged, got, self.terms))
            return bool(found)

        replies = self.trips.send(
            what,
            records,
            Fields.open_reply,
            seconds=self._remaining(view),
            enough=opens,
            tries=_TRIES,
        )
        report(self.place, self.trips, self.ledger, view, seals, replies)
        try:
            opened = found[0] if found else conclude(view, merged, replies, self.terms)
        except OpeningRejected as error:
            log.warning("%s: %s", what, error)
            return None
        name_false(view.current.number, opened)
        return opened
