"""The relay's honest course, one move at a time; it knows the ledger and what members answered."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from machine_world import Parcel, World

from flwr_swarm._exceptions import OpeningRejected, SwarmError
from flwr_swarm.chain.signing import recover_certifier
from flwr_swarm.flower.replay import build, server_state, step
from flwr_swarm.protocol import relay as course
from flwr_swarm.protocol.blame import evidence_from
from flwr_swarm.protocol.hashing import Arrays, model_hash
from flwr_swarm.protocol.member import last_certified
from flwr_swarm.protocol.memory import Parent
from flwr_swarm.protocol.messages import (
    MergeReply,
    ModelProof,
    NudgeRequest,
    OpenReply,
    SealReply,
    SealRequest,
)
from flwr_swarm.protocol.payload import decode_layout
from flwr_swarm.protocol.types import LedgerView, Phase

recover = lru_cache(maxsize=4096)(recover_certifier)


class Relay:
    """Asks, collects and steps as `SwarmStrategy` and its driver do.

    A new one stands where the last certificate left the swarm: on the model which that round
    trained on, since it has none of the round's openings.
    """

    def __init__(self, world: World, model: Arrays) -> None:
        self.world = world
        self.model: Arrays = model
        self.state: Arrays = {}
        self.proof = ModelProof()
        self.opened = 0
        """Newest round of which this relay got the model."""
        self.asked: set[tuple[Any, ...]] = set()
        self.seals: dict[tuple[int, int], SealReply] = {}
        self.merges: dict[tuple[int, int, int], MergeReply] = {}
        self.opens: dict[tuple[int, int], OpenReply] = {}
        self.merged: dict[int, tuple[LedgerView, course.Merged]] = {}
        self.found: dict[int, tuple[course.Merged, course.Opened]] = {}
        self.layouts: dict[int, bytes] = {}
        """Of sums whose payloads this relay does not have."""
        self._accepted: tuple[Any, dict[int, SealReply]] = (None, {})
        world.keep(model, {})

    # --- replies -----------------------------------------------------------------------------

    def take(self, reply: Any, sender: int) -> None:
        """What came back from `sender`; whoever speaks for somebody else is not heard."""
        if reply is None or reply.member != sender:
            return
        match reply:
            case SealReply():
                self.seals[reply.round, sender] = reply
            case MergeReply():
                statement = reply.certificate
                self.merges[statement.round, statement.view, sender] = reply
            case OpenReply():
                number = max(self.merged, default=0)
                self.opens[number, sender] = reply
                if reply.complaints:
                    self._report(number)
                self._conclude(number)

    # --- moves -------------------------------------------------------------------------------

    def act(self) -> list[Parcel]:
        """The next requests; none while it waits."""
        view = self.world.view()
        current = view.current
        if current.phase is Phase.MERGING:
            return self._merging(view)
        if current.phase is Phase.SEALING and self.world.clock > current.seal_deadline:
            return self.nudges()
        number = current.number + (current.phase is not Phase.SEALING)
        if ("seal", number) in self.asked:
            return []
        self.asked.add(("seal", number))
        self.follow(view)
        return self.offers(number)

    def nudges(self) -> list[Parcel]:
        request = NudgeRequest(place=self.world.place, round=self.world.state.current.round.number)
        return [Parcel(to=i, kind="nudge", request=request) for i in range(self.world.n)]

    def offers(self, number: int, kind: str = "seal") -> list[Parcel]:
        """The model, with its proof, for training or for evaluation."""
        request = SealRequest(place=self.world.place, round=number, proof=self.proof)
        self.world.keep(self.model, self.state)
        return [
            Parcel(to=i, kind=kind, request=request, model=self.model, state=self.state)
            for i in range(self.world.n)
        ]

    def evaluations(self) -> list[Parcel]:
        """The model that the last certificate leads to, for evaluation, once its sum is open."""
        view = self.world.view()
        certified = last_certified(view)
        if certified is None or certified.number not in self.found:
            return []
        self.follow(view)
        return self.offers(view.current.number, "evaluate")

    def _merging(self, view: LedgerView) -> list[Parcel]:
        current = view.current
        turn = (current.number, current.view)
        if self.world.clock > current.merge_deadline:
            return self.nudges()
        seals = self.accepted(view)
        if ("merge", *turn) not in self.asked:
            self.asked.add(("merge", *turn))
            request = course.plan_merge(self.world.place, view, seals)
            return [Parcel(to=i, kind="merge", request=request) for i in course.officers(current)]
        if ("open", *turn) in self.asked:
            return []
        merged = self.tally(view)
        if merged is None:
            return []
        self.asked.add(("open", *turn))
        self.merged[current.number] = (view, merged)
        planned = course.plan_open(self.world.place, view, merged, seals)
        return [Parcel(to=i, kind="open", request=r) for i, r in planned.items()]

    def accepted(self, view: LedgerView) -> dict[int, SealReply]:
        """This round's payloads that are as sealed."""
        here = [r for (number, _), r in self.seals.items() if number == view.current.number]
        key = (view.current.number, len(view.current.seals), tuple(map(id, here)))
        if self._accepted[0] != key:
            self._accepted = (key, course.accepted_seals(view, here, self.world.terms))
        return self._accepted[1]

    def tally(self, view: LedgerView) -> course.Merged | None:
        turn = (view.current.number, view.current.view)
        replies = [r for (n, v, _), r in self.merges.items() if (n, v) == turn]
        merged = course.tally(view, replies, self.world.terms, recover)
        known = self.accepted(view).keys()
        return merged if merged and known >= set(merged.certificate.included) else None

    def follow(self, view: LedgerView) -> None:
        """Step to the model that the last certificate leads to, if its sum was opened."""
        certified = last_certified(view)
        if certified is None or certified.number == self.proof.round:
            return
        if certified.parent != model_hash(self.model, self.state):
            found_model = self.recalled(certified.parent)
            if found_model is None:
                return
            self.model, self.state = found_model
        self.proof = ModelProof(round=certified.number)
        found = self.found.get(certified.number)
        if found is None or found[0].certificate != certified.certificate:
            return
        try:
            self._step(certified.number, *found)
        except SwarmError as error:
            self.world.reached[f"leads nowhere: {type(error).__name__}"] += 1

    def recalled(self, wanted: bytes) -> tuple[Arrays, Arrays] | None:
        """A model that this relay has or could have had, by its hash."""
        return self.world.archive[wanted]

    def _conclude(self, number: int) -> None:
        """Open the sum as soon as there are openings that agree."""
        if number in self.found or number not in self.merged:
            return
        view, merged = self.merged[number]
        openings = [reply for (n, _), reply in self.opens.items() if n == number]
        try:
            self.found[number] = (merged, course.conclude(view, merged, openings, self.world.terms))
        except OpeningRejected as error:
            self.world.reached[f"not opened: {type(error).__name__}"] += 1

    def _report(self, number: int) -> None:
        """Show everybody what the complaints prove; see `flwr_swarm/flower/reporting.py`."""
        view, certified = self.world.view(), last_certified(self.world.view())
        if certified is None or certified.number != number or view.current != certified:
            return
        openings = [reply for (n, _), reply in self.opens.items() if n == number]
        seals = {i: reply for (n, i), reply in self.seals.items() if n == number}
        self.world.book.blamed(evidence_from(view, seals, openings), openings, seals)

    def _step(self, number: int, merged: course.Merged, opened: course.Opened) -> None:
        world, included = self.world, merged.certificate.included
        hash_ = model_hash(self.model, self.state)
        parent = Parent(round=number, hash=hash_, model=self.model, state=self.state)
        strategy = build(world.terms)
        layout = self.layouts.get(number) or self.seals[number, included[0]].layout
        names, size = decode_layout(layout), len(included)
        taken = step(strategy, world.terms, number, parent, names, opened.lanes, size)
        self.model, self.state = taken.model, server_state(strategy)
        self.proof = ModelProof(round=number, openings=opened.openings)
        self.opened = number
        world.keep(self.model, self.state)
        world.reached["opened"] += 1
