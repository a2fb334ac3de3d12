"""What every machine has: a swarm, messages and what becomes of each, waits, and an end."""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from machine_bends import bend
from machine_ending import Ending
from machine_faulty import Faulty
from machine_relay import Relay
from machine_resuming import Successor
from machine_site import Site
from machine_world import MOST, Parcel, World, altered

from flwr_swarm.protocol.quorum import tolerated_faults
from flwr_swarm.protocol.types import Phase

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
REACHED: Counter[str] = Counter()
"""What all examples of a test led to, and how many `examples` came to their end."""

seats = st.integers(0, MOST - 1)
numbers = st.integers(0, 63)
steps = st.integers(0, 6)
SIZES = (4, 4, 4, 3, 4, 3, 5, 4, 4, 3, 4, 4, 3, 6, 7)
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
    resumes = False
    """Whether that relay is always another one."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None
        self.cut_off: Successor | None = None

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
        """Nothing goes wrong for a while; what was opened is evaluated."""
        for _ in range(trips):
            self.trip(self.relay.act(), [], -1, 0)
        self.trip(self.relay.evaluations(), [], -1, 0)

    @rule(heard=st.integers(0, MOST), order=numbers, overdue=st.booleans())
    def some_hear(self, heard: int, order: int, overdue: bool) -> None:
        """Not everybody gets what the relay sends next; perhaps nobody waits for the others."""
        parcels = self.relay.act()
        random.Random(order).shuffle(parcels)  # noqa: S311
        self.trip(parcels[:heard], [], -1, order)
        if overdue and self.world.state.running:
            self.world.clock = max(self.world.clock, self.world.deadline + 1)
            self.trip(self.relay.nudges(), [], -1, order)

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

    @rule()
    def another_relay_resumes(self) -> None:
        """It knows what the ledger says, and what those members tell it that are up."""
        if isinstance(self.relay, Successor):
            self.cut_off = self.relay
        self.relay = Successor(self.world, self.sites)
        self.world.wire.clear()

    @precondition(lambda self: self.cut_off is not None)
    @rule()
    def the_relay_before_comes_back(self) -> None:
        """It was cut off, and knows nothing of what happened meanwhile; the other one is now."""
        self.relay, self.cut_off = self.cut_off, self.relay
        self.world.wire.clear()
        self.world.reached["a relay came back"] += 1

    def teardown(self) -> None:
        if self.world is None:
            return
        finished = sys.exc_info()[0] is None
        try:
            if self.ends and finished:
                seed = self.ending | 16 if self.resumes else self.ending
                Ending(self.world, self.sites, seed).check(self.relay)
            REACHED["examples"] += finished  # Hypothesis gives up some on the way
        finally:
            REACHED.update(self.world.reached)
            self.world.close()


def bent_reply(reply: Any) -> Any:
    """A reply that was altered on its way."""
    for name in ("payload", "signature", "opening"):
        if hasattr(reply, name):
            return replace(reply, **{name: altered(getattr(reply, name))})
    return reply
