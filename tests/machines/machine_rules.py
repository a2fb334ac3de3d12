"""The machine: trips, losses, lies, crashes and waits in any order; an honest relay ends it."""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from machine_bends import LEFT_OUT, WAYS_TO_MERGE, bend, forged_opening
from machine_ending import Ending
from machine_faulty import Faulty
from machine_relay import Relay
from machine_site import Site
from machine_world import MOST, Parcel, World, altered, moved

from flwr_swarm.protocol.ledger import (
    AbstainCall,
    AdvanceCall,
    CertifyCall,
    CloseCall,
)
from flwr_swarm.protocol.quorum import tolerated_faults
from flwr_swarm.protocol.relay import officers, plan_merge
from flwr_swarm.protocol.types import Phase

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
REACHED: Counter[str] = Counter()
"""What all examples of this process led to."""

seats = st.integers(0, MOST - 1)
numbers = st.integers(0, 63)
steps = st.integers(0, 6)
SIZES = (4, 4, 4, 3, 5, 4, 4, 3, 4, 6, 7)
STRATEGIES = ("FedAvg", "FedAvg", "FedAdam", "FedAvgM")
FINE = ("delivered", 0)
DRAWN = frozenset({Phase.MERGING, Phase.CERTIFIED})


def fates(*ways: str) -> st.SearchStrategy[list[tuple[str, int]]]:
    """What happens to each message of a trip, in the order in which they arrive; often nothing."""
    trouble = st.tuples(st.sampled_from(ways), numbers)
    return st.lists(st.one_of(st.just(FINE), trouble), max_size=MOST)


class RoundMachine(RuleBasedStateMachine):
    """A swarm in the hands of a hostile network. Subclasses say what else goes wrong."""

    byzantine = True
    ends = True
    """Whether an honest relay must be able to go on from wherever an example stops."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None
        REACHED["examples"] += 1

    @initialize(
        size=st.sampled_from(SIZES),
        strategy=st.sampled_from(STRATEGIES),
        keystore=st.booleans(),
        max_misses=st.sampled_from([0, 0, 2]),
        faulty=st.integers(0, 2),
        ending=st.integers(0, 63),
        skew=st.sampled_from([0, 0, 120, -120]),
    )
    def found(
        self,
        size: int,
        strategy: str,
        keystore: bool,
        max_misses: int,
        faulty: int,
        ending: int,
        skew: int,
    ) -> None:
        self.world = World(size, strategy=strategy, max_misses=max_misses, seed=ending)
        self.ending = ending
        self.relay = Relay(self.world, self.world.first_model())
        tolerated = tolerated_faults(size)
        wrong = range(max(0, tolerated - faulty)) if self.byzantine else range(0)
        self.world.book.faulty = frozenset(wrong)
        self.sites: list[Site] = [
            Faulty(self.world, i, lambda: self.relay)
            if i in wrong
            else Site(self.world, i, keystore=keystore, skew=skew if i % 2 else 0)
            for i in range(size)
        ]

    # --- the wire ------------------------------------------------------------------------------

    def carry(self, parcel: Parcel, fate: tuple[str, int]) -> None:
        """One message to its member, whatever becomes of it, and back."""
        way, number = fate
        world = self.world
        world.past.append(parcel)
        if way == "lost":
            return
        if way == "late":
            world.wire.append(parcel)
            return
        if way == "bent":
            parcel = bend(world, self.relay, parcel, number)
        self.deliver(parcel, way, number)
        if way == "twice":
            self.deliver(parcel, FINE[0], number)

    def deliver(self, parcel: Parcel, way: str, number: int) -> None:
        site, world = self.sites[parcel.to], self.world
        if isinstance(site, Faulty):
            manner = -1 if way == FINE[0] else number
            for reply in site.misbehave(parcel, manner):
                self.relay.take(reply, site.index)
            return
        if not site.up:
            return
        if site.running is not None:
            world.wire.append(parcel)  # one message after the other
            return
        if way == "silent chain":
            site.node.silent = 1 + number % 2
        site.node.swallows = way == "unheard"
        stop = 1 + number % 7 if way in {"crash", "pause"} else None
        reply = site.start(parcel, stop)
        site.node.silent, site.node.swallows = 0, False
        if way == "crash" and site.running is not None:
            site.crash()
        self.back(site, reply, way)

    def back(self, site: Site, reply: Any, way: str) -> None:
        if way == "reply lost" or reply is None:
            return
        if way == "reply bent":
            reply = bent_reply(reply)
            self.world.reached["reply bent"] += 1
        self.relay.take(reply, site.index)

    def trip(
        self, parcels: list[Parcel], what: list[tuple[str, int]], to_all: int, order: int
    ) -> None:
        if to_all >= 0:
            parcels = [bend(self.world, self.relay, parcel, to_all) for parcel in parcels]
        random.Random(order).shuffle(parcels)  # noqa: S311
        for position, parcel in enumerate(parcels):
            self.carry(parcel, what[position] if position < len(what) else FINE)

    # --- moves ---------------------------------------------------------------------------------

    @rule(trips=st.integers(1, 3))
    def the_relay_goes_on(self, trips: int) -> None:
        """Nothing goes wrong for a while."""
        for _ in range(trips):
            self.trip(self.relay.act(), [], -1, 0)

    @precondition(lambda self: self.world.state.running)
    @rule(seconds=st.sampled_from([1, 40, 70, 0, 0]))
    def wait(self, seconds: int) -> None:
        """Some seconds, or until what the ledger waits for is overdue."""
        self.world.clock = (
            self.world.clock + seconds
            if seconds
            else max(self.world.clock, self.world.deadline + 1)
        )

    @precondition(lambda self: self.world.wire)
    @rule(which=numbers)
    def a_late_message_arrives(self, which: int) -> None:
        wire = self.world.wire
        self.deliver(wire.pop(which % len(wire)), *FINE)

    @precondition(lambda self: any(site.running for site in self.sites))
    @rule(crashes=st.booleans())
    def a_slow_site_goes_on(self, crashes: bool) -> None:
        site = next(site for site in self.sites if site.running)
        if crashes:
            site.crash()
        else:
            self.back(site, site.go_on(), FINE[0])

    def teardown(self) -> None:
        if self.world is None:
            return
        try:
            if self.ends and sys.exc_info()[0] is None:
                Ending(self.world, self.sites, self.ending).check(self.relay)
        finally:
            REACHED.update(self.world.reached)
            self.world.close()


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
        self.trip(self.relay.offers(number, "evaluate"), what, to_all, order)

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

    @rule(which=seats)
    def a_site_goes_down_or_comes_back(self, which: int) -> None:
        site = self.sites[which % len(self.sites)]
        if site.up:
            site.crash()
        site.up = not site.up

    @rule(which=seats)
    def a_site_loses_its_state_but_not_its_keystore(self, which: int) -> None:
        """As many as may be faulty: who forgot the sum cannot confirm the model."""
        site = self.sites[which % len(self.sites)]
        self.lost = getattr(self, "lost", set()) | {site.index}
        faulty = self.world.book.faulty
        if site.keystore and len(self.lost | faulty) <= self.world.f:
            site.forget()

    @rule()
    def the_relay_is_replaced(self) -> None:
        self.relay = Relay(self.world, self.world.first_model())
        self.world.wire.clear()
        self.world.reached["relay replaced"] += 1


class Crashing(Crashes, RoundMachine):
    """Sites, relay and chain nodes stop and come back between any two steps; clocks differ."""

    @rule(
        what=fates("lost", "crash", "crash", "pause", "silent chain", "unheard", "reply lost"),
        order=numbers,
    )
    def requests_go_out(self, what: list[tuple[str, int]], order: int) -> None:
        self.trip(self.relay.act(), what, -1, order)


class Anything(Crashes, Hostile):
    """A hostile relay, faulty members and crashes at once."""

    @rule(what=fates("crash", "crash", "pause", "bent", "unheard", "twice"), order=numbers)
    def requests_meet_crashes(self, what: list[tuple[str, int]], order: int) -> None:
        self.trip(self.relay.act(), what, -1, order)


class Forking(Hostile):
    """The chain loses the block with a certificate: beyond what is assumed, and still no share."""

    ends = False

    @precondition(lambda self: self.world.state.current.round.phase is Phase.MERGING)
    @rule(some=st.integers(0, 2**MOST - 1), without=numbers)
    def two_certificates_in_two_branches(self, some: int, without: int) -> None:
        """Some holders see the first; then the next leader's certificate names another set."""
        relay, world = self.relay, self.world
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


def bent_reply(reply: Any) -> Any:
    """A reply that was altered on its way."""
    for name in ("payload", "signature", "opening"):
        if hasattr(reply, name):
            return replace(reply, **{name: altered(getattr(reply, name))})
    return reply
