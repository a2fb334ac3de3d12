"""The machines: a hostile relay, faulty members, crashes, all of them at once, and forks."""

from __future__ import annotations

import random

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from machine_base import DRAWN, FINE, RoundMachine, fates, numbers, seats
from machine_bends import LEFT_OUT, WAYS_TO_MERGE, forged_opening
from machine_faulty import Faulty
from machine_site import Site
from machine_ways import SEALS
from machine_world import MOST, Parcel, World, moved

from flwr_swarm.protocol.ledger import AbstainCall, AdvanceCall, CertifyCall, CloseCall
from flwr_swarm.protocol.relay import officers, plan_merge
from flwr_swarm.protocol.types import Phase


class Hostile(RoundMachine):
    """The relay and the network are hostile; faulty members help them."""

    @rule(
        what=fates("lost", "late", "twice", "bent", "bent", "reply lost", "reply bent"),
        to_all=st.sampled_from([-1, -1, -1, 0, 1, 2, 3, 4, 6, 7, 14]),
        order=numbers,
    )
    def requests_go_out(self, what: list[tuple[str, int]], to_all: int, order: int) -> None:
        self.trip(self.relay.act(), what, to_all, order)

    @precondition(lambda self: not self.world.state.records)
    @rule(number=st.integers(0, 3), order=numbers)
    def the_first_model(self, number: int, order: int) -> None:
        """Nobody can recompute it; everybody is offered the same."""
        self.trip(self.relay.offers(1), [], number, order)

    @precondition(lambda self: self.world.state.current.round.phase is Phase.MERGING)
    @rule(number=numbers, honest=st.booleans(), power_fails=st.booleans())
    def officers_merge(self, number: int, honest: bool, power_fails: bool) -> None:
        """All get the same ciphertexts, whatever was asked before; perhaps all crash then."""
        self.trip(self.merge_requests(), [], -1 if honest else number, 0)
        for site in self.sites if power_fails else ():
            site.crash()

    def merge_requests(self) -> list[Parcel]:
        view = self.world.view()
        request = plan_merge(self.world.place, view, self.relay.accepted(view))
        return [Parcel(to=i, kind="merge", request=request) for i in officers(view.current)]

    @precondition(lambda self: self.world.state.last_certified)
    @rule(what=fates("lost", "bent", "bent"), order=numbers, to_all=st.integers(-3, 8))
    def evaluation(self, what: list[tuple[str, int]], order: int, to_all: int) -> None:
        number = self.world.state.current.round.number
        offers = self.relay.evaluations() or self.relay.offers(number, "evaluate")
        self.trip(offers, what, to_all, order)

    @precondition(lambda self: self.world.past)
    @rule(which=numbers, to=seats)
    def an_old_message_again(self, which: int, to: int) -> None:
        past = self.world.past
        self.deliver(moved(past[-1 - which % len(past)], to % self.world.n), *FINE)

    @precondition(lambda self: self.world.state.current.round.phase in DRAWN)
    @rule(number=numbers, order=numbers)
    def shares_are_asked_for(self, number: int, order: int) -> None:
        """For a set that nobody certified, from everybody."""
        forged = (forged_opening(self.world, self.relay, i, number) for i in range(self.world.n))
        self.trip([parcel for parcel in forged if parcel is not None], [], -1, order)


class Byzantine(RoundMachine):
    """The relay is honest; members lie in every trip and on the ledger."""

    @rule(manner=numbers, early=st.booleans(), order=numbers)
    def requests_go_out(self, manner: int, early: bool, order: int) -> None:
        """Faulty members answer in some manner, before the others or in between."""
        parcels = self.relay.act()
        random.Random(order).shuffle(parcels)  # noqa: S311
        faulty = self.world.book.faulty
        for parcel in sorted(parcels, key=lambda p: (p.to in faulty) != early):
            way = "falsely" if parcel.to in faulty else FINE[0]
            self.carry(parcel, (way, manner + parcel.to))

    @precondition(lambda self: self.world.book.faulty)
    @rule()
    def faulty_members_copy(self) -> None:
        """They seal last, and what somebody sealed before them."""
        parcels = self.relay.act()
        faulty = self.world.book.faulty
        for parcel in sorted(parcels, key=lambda p: p.to in faulty):
            way = "falsely" if parcel.to in faulty and parcel.kind == "seal" else FINE[0]
            self.carry(parcel, (way, SEALS.index("a copied ciphertext")))

    @precondition(lambda self: self.world.book.faulty)
    @rule(which=seats, what=st.integers(0, 4), manner=numbers)
    def a_member_calls_the_ledger(self, which: int, what: int, manner: int) -> None:
        """Too early, too late, or with what others signed."""
        faulty = [site for site in self.sites if isinstance(site, Faulty)]
        site, current = faulty[which % len(faulty)], self.world.state.current.round
        if what == 0:
            site.call(CloseCall(round=current.number))
        elif what == 1:
            site.call(AdvanceCall(round=current.number, view=current.view))
        elif what == 2:
            site.call(AbstainCall(round=current.number + manner % 2))
        elif what == 3:
            for parcel in self.relay.offers(current.number + 1):
                if parcel.to == site.index:
                    site.misbehave(parcel, manner)
        else:
            self._certifies(site, manner)

    def _certifies(self, site: Faulty, manner: int) -> None:
        current = self.world.state.current.round
        seen = [r for (n, *_), r in sorted(self.relay.merges.items()) if n == current.number]
        if seen and current.phase is Phase.MERGING:
            chosen = seen[manner % len(seen)].certificate
            agreed = {r.member: r.signature for r in seen if r.certificate == chosen}
            site.call(CertifyCall(certificate=chosen, signatures=tuple(sorted(agreed.items()))))


class Crashes:
    """Sites and relay stop and come back; a mixin of rules."""

    world: World
    sites: list[Site]
    lost: frozenset[int] = frozenset()
    """Who lost its state."""

    @rule(which=seats)
    def a_site_goes_down_or_comes_back(self, which: int) -> None:
        site = self.sites[which % len(self.sites)]
        if site.up:
            site.crash()
        site.up = not site.up

    @rule(which=seats)
    def a_site_loses_its_state_but_not_its_keystore(self, which: int) -> None:
        """As many as may be faulty: who forgot the sum cannot confirm the model."""
        gone = self.lost | self.world.book.faulty
        may = [s for s in self.sites if s.keystore and len(gone | {s.index}) <= self.world.f]
        if may:
            site = may[which % len(may)]
            self.lost |= {site.index}
            site.forget()


class Crashing(Crashes, RoundMachine):
    """Sites, relay and chain nodes stop and come back between any two steps; clocks differ."""

    @rule(
        what=fates(
            "lost", "crash", "crash", "pause", *["silent chain"] * 3, "unheard", "reply lost"
        ),
        order=numbers,
    )
    def requests_go_out(self, what: list[tuple[str, int]], order: int) -> None:
        self.trip(self.relay.act(), what, -1, order)


class Anything(Crashes, Hostile):
    """A hostile relay, faulty members and crashes at once."""

    @rule(what=fates("crash", "crash", "pause", "bent", "unheard", "twice"), order=numbers)
    def requests_meet_crashes(self, what: list[tuple[str, int]], order: int) -> None:
        self.trip(self.relay.act(), what, -1, order)


class Resuming(RoundMachine):
    """Rounds go by, then another relay comes, and faulty members lie to it."""

    resumes = True

    @rule(trips=st.integers(4, 8))
    def rounds_go_by(self, trips: int) -> None:
        """So that the model is another than the first, which every relay has."""
        self.the_relay_goes_on(trips)


class Forking(Hostile):
    """The chain loses the block with a certificate: beyond what is assumed, and still no share."""

    ends = False

    @rule(some=st.integers(0, 2**MOST - 1), without=numbers)
    def two_certificates_in_two_branches(self, some: int, without: int) -> None:
        """Some holders see the first; then the next leader's certificate names another set."""
        relay, world = self.relay, self.world
        if world.state.current.round.phase is not Phase.MERGING:
            self.trip(relay.act(), [], -1, 0)
        if world.state.current.round.phase is not Phase.MERGING:
            return
        self.trip(self.merge_requests(), [], -1, 0)
        asked = relay.act() or relay.act()
        self.trip([p for p in asked if p.kind == "open" and some >> p.to & 1], [], -1, 0)
        if world.state.current.round.phase is not Phase.CERTIFIED:
            return
        world.lose_the_certificate()
        world.clock = world.deadline + 1
        self.trip(relay.nudges(), [], -1, 0)
        if world.state.current.round.phase is Phase.MERGING:
            self.trip(self.merge_requests(), [], LEFT_OUT + WAYS_TO_MERGE * without, 0)
            relay.asked.add(
                ("merge", world.state.current.round.number, world.state.current.round.view)
            )
            self.trip(relay.act(), [], -1, 0)

    @precondition(lambda self: self.world.before_certificate is not None)
    @precondition(lambda self: self.world.state.current.round.phase is Phase.CERTIFIED)
    @rule(advances=st.booleans())
    def the_certificate_is_lost(self, advances: bool) -> None:
        self.world.lose_the_certificate()
        if advances:
            self.world.clock = self.world.deadline + 1
            self.trip(self.relay.nudges(), [], -1, 0)
