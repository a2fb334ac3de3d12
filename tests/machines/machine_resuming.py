"""Another relay: it knows the ledger and the first model, and asks the members for all else.

The order of its questions is that of `flwr_swarm/flower/resuming.py`. It believes no member: what
it takes has the hash that the ledger names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from machine_relay import Relay
from machine_world import Parcel, World

from flwr_swarm.encryption import ThresholdScheme
from flwr_swarm.flower.replay import replay as replay_step
from flwr_swarm.protocol import recall
from flwr_swarm.protocol import relay as course
from flwr_swarm.protocol.hashing import Arrays, model_hash
from flwr_swarm.protocol.member import certificate_digest, last_certified
from flwr_swarm.protocol.memory import Parent
from flwr_swarm.protocol.messages import HeldSum, ModelProof, RecallReply, RecallRequest, SealReply
from flwr_swarm.protocol.payload import aggregate_hash
from flwr_swarm.protocol.types import ZERO_HASH, LedgerView, Phase, Round

if TYPE_CHECKING:
    from machine_site import Site


class Successor(Relay):
    """Takes the swarm up from whatever state it is in, then goes on as any relay."""

    def __init__(self, world: World, sites: Sequence[Site]) -> None:
        super().__init__(world, world.first_model())
        self.sites = sites
        self.first: list[Parcel] = []
        """Its first trip, if a certified sum is to be opened."""
        self.complete = True
        """Whether there is a model to stand on; if not, it is to be started again."""
        self.failed = b""
        """Hash of the model offered without a proof: in vain, if it is to be offered again."""
        self.given_up = 0
        """The certified round whose sum nobody is asked to open again."""
        self.named = b""
        """Hash of the model that a later round names, if the certified sum does not open."""
        self._take_up(world.view())

    def act(self) -> list[Parcel]:
        """The trip that it owes a certified round, then its course."""
        if self.first:
            first, self.first = self.first, []
            return first
        return super().act()

    def follow(self, view: LedgerView) -> None:
        """As `flwr_swarm.relay.Relay.follow`: of a round that another relay ended it knows this."""
        certified = last_certified(view)
        if certified is None or certified.number in {self.proof.round, *self.found}:
            super().follow(view)
        else:
            self.proof = ModelProof(round=certified.number)

    def recalled(self, wanted: bytes) -> tuple[Arrays, Arrays] | None:
        """Model and state of this hash, from whoever has them."""
        number = self.world.view().current.number
        for site in self.sites:
            reply = self._ask(site, number, "model", wanted)
            offered = [] if reply is None or reply.model is None else [reply.model]
            if (found := recall.found_model(wanted, offered)) is not None:
                return found
        self.world.reached["a model that nobody has"] += 1
        return None

    def ground(self, view: LedgerView) -> None:
        """As `flwr_swarm.relay.Relay.ground`: openers are asked again, then it goes back."""
        super().ground(view)
        if self.named and not self.proof.openings:  # the sum did not open
            self._stands_on(self.named)
        self.named = b""
        certified, model = last_certified(view), model_hash(self.model, self.state)
        if certified is None or self.proof.openings:
            return
        if model == certified.parent and certified.number == self.given_up:
            return
        led = self.led_to(view, certified)
        if led is not None:
            self.model, self.state, self.proof = led.model, led.state, led.proof
            self.world.reached["turned to what the sum leads to"] += led.hash != model
            return
        if model == certified.parent:
            self.given_up = certified.number
            return
        before = recall.to_go_back_to(view, self.proof, model=model, failed=self.failed)
        self.failed = model
        found = None if before is None else self.recalled(before.parent)
        if found is not None:
            self.model, self.state = found
            self.given_up = certified.number
            self.world.reached["went back to the model before"] += 1

    # --- the course ----------------------------------------------------------------------------

    def _take_up(self, view: LedgerView) -> None:
        current = view.current
        self.world.reached[f"resumed: {current.phase.name.lower()}"] += 1
        if current.phase is Phase.MERGING:
            if not self._stands_on(current.parent):
                self.complete = False
                return
            for reply in self._given(current.number):
                self.take(reply, reply.member)
            return
        certified = recall.to_open(view)
        later = certified is None or current.number > certified.number
        wanted = recall.running_model(view) if later else None
        if certified is not None and self._reopen(view, certified):
            self.named = wanted or b""
            return
        if certified is not None:
            self.proof = ModelProof(round=certified.number)
        if wanted is not None and self._stands_on(wanted):
            return
        if certified is not None:
            self.complete = self._stands_on(certified.parent)

    def _stands_on(self, wanted: bytes) -> bool:
        """Whether the model of this hash could be had."""
        if model_hash(self.model, self.state) == wanted:
            return True
        found = self.recalled(wanted)
        if found is not None:
            self.model, self.state = found
        return found is not None

    def _reopen(self, view: LedgerView, certified: Round) -> bool:
        """The sum from what holders released before, or from a trip of its own."""
        certificate, number = certified.certificate, certified.number
        assert certificate is not None
        if not self._stands_on(certified.parent):
            return False
        held, opened = self._held(certified), None
        if held is not None:
            opened = recall.open_again(view, certified, held, self._openings(number))
            merged = course.Merged(certificate=certificate, signatures=(), merged=held.merged)
        if opened is not None:
            self.world.reached["opened again by another relay"] += 1
            self.layouts[number] = held.layout  # type: ignore[union-attr]
            self.found[number] = (merged, opened)
            return True
        then = replace(view, current=certified)
        seals = course.accepted_seals(then, self._given(number), self.world.terms)
        held = held or self._summed(view, certified, seals)
        if held is None or not seals.keys() >= set(certificate.included):
            self.world.reached["a certified sum that nobody can open"] += 1
            return False
        merged = course.Merged(certificate=certificate, signatures=(), merged=held.merged)
        then = replace(then, policy=replace(view.policy, threshold=held.threshold))
        self.layouts[number] = held.layout
        self.merged[number] = (then, merged)
        planned = course.plan_open(self.world.place, then, merged, seals)
        self.first = [Parcel(to=i, kind="open", request=r) for i, r in planned.items()]
        self.world.reached["opened late by another relay"] += 1
        return True

    def _summed(
        self, view: LedgerView, certified: Round, seals: dict[int, SealReply]
    ) -> HeldSum | None:
        certificate = certified.certificate
        assert certificate is not None
        if not seals.keys() >= set(certificate.included):
            return None
        merged = ThresholdScheme().merge([seals[i].payload for i in certificate.included])
        assert aggregate_hash(self.world.terms, merged) == certificate.aggregate_hash
        return HeldSum(
            terms=self.world.terms,
            threshold=view.policy.threshold,
            included=certificate.included,
            layout=seals[certificate.included[0]].layout,
            body=b"",
            merged=merged,
        )

    def led_to(self, view: LedgerView, certified: Round) -> recall.LedTo | None:
        held, before = self._held(certified), self.recalled(certified.parent)
        if held is None or before is None:
            return None
        number = certified.number
        opened = recall.open_again(view, certified, held, self._openings(number))
        if opened is None:
            return None
        parent = Parent(round=number, hash=certified.parent, model=before[0], state=before[1])
        return recall.led_to(parent, held, opened, to=self.world.terms, replay=replay_step)

    # --- questions -----------------------------------------------------------------------------

    def _ask(
        self, site: Site, number: int, want: str, model: bytes = ZERO_HASH
    ) -> RecallReply | None:
        """One question to one member; no answer from who is down, or speaks for another."""
        request = RecallRequest(
            place=self.world.place, round=number, want=frozenset({want}), model=model
        )
        reply = site.recall(request)
        return reply if reply is not None and reply.member == site.index else None

    def _all(self, number: int, want: str) -> list[Any]:
        asked = (self._ask(site, number, want) for site in self.sites)
        return [reply for reply in asked if reply is not None]

    def _given(self, number: int) -> list[SealReply]:
        replies = [reply.given for reply in self._all(number, "given")]
        return [reply for reply in replies if reply is not None]

    def _openings(self, number: int) -> dict[int, bytes]:
        replies = self._all(number, "opening")
        return {reply.member: reply.opening for reply in replies if reply.opening}

    def _held(self, certified: Round) -> HeldSum | None:
        replies = self._all(certified.number, "held")
        return recall.found_sum(certified, replies, self.world.state.policy)


def must_open(world: World, sites: Sequence[Site]) -> bytes | None:
    """The model that another relay must come to now: enough members have what it takes.

    A certified round that nobody went on from is not lost if t honest members released shares for
    it and one has the sum, or if all who are in it still have what they sealed.
    """
    view = world.view()
    certified = recall.to_open(view)
    if certified is None or certified.certificate is None:
        return None
    entry = world.book.certificates[certificate_digest(certified.certificate)]
    number, faulty = certified.number, world.book.faulty
    here = {s.index: s.disk.memory for s in sites if s.index not in faulty and s.up}
    if entry.model is None or not any(
        p is not None and p.hash == certified.parent
        for m in here.values()
        for p in (m.parent, *(h.parent for h in (m.pending, m.held) if h is not None))
    ):
        return None
    digest = certificate_digest(certified.certificate)
    may = [i for i, m in here.items() if m.opened.get(number, digest)[:32] == digest]
    released = [i for i, m in here.items() if m.opening is not None and m.opening[0] == number]
    summed = any(
        h is not None and (h.parent.round, h.included) == (number, certified.certificate.included)
        for m in here.values()
        for h in (m.pending, m.held)
    )
    given = {i for i, m in here.items() if m.given is not None and m.given.round == number}
    sealed = set(certified.certificate.included) <= given and len(may) >= view.policy.threshold
    again = summed and len(released) >= view.policy.threshold
    return entry.model if sealed or again else None
