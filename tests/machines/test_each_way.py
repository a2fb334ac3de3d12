"""Each way to misbehave, to bend a message and to crash, by itself: two rounds, then the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from machine_bends import BENDS, bend
from machine_ending import Ending
from machine_faulty import Faulty
from machine_relay import Relay
from machine_site import Site
from machine_ways import MERGES, OPENS, SEALS
from machine_world import Parcel, World

SWARM = 4
WAYS = [
    (kind, number)
    for kind, ways in (("seal", SEALS), ("merge", MERGES), ("open", OPENS))
    for number in range(len(ways))
]
STEPS = {
    "seal": (
        "reading the ledger to seal",
        "saving the model",
        "charging its budget",
        "training",
        "saving its intent",
        "encrypting",
        "saving what it seals",
        "sealing",
    ),
    "merge": (
        "reading the ledger to merge",
        "merging",
        "promising to sign",
        "saving what it signs",
    ),
    "open": (
        "reading the ledger to open",
        "certifying",
        "adding its shares",
        "promising to open",
        "saving what it opens",
    ),
}
CRASHES = [(kind, at) for kind, steps in STEPS.items() for at in range(len(steps))]


class Run:
    """Two rounds in which one thing goes wrong whenever it can, and then the end."""

    def __init__(self, strategy: str = "FedAdam", *, faulty: bool = False) -> None:
        self.world = World(SWARM, strategy=strategy)
        self.relay = Relay(self.world, self.world.first_model())
        self.world.book.faulty = frozenset({0} if faulty else ())
        self.sites: list[Site] = [
            Faulty(self.world, i, lambda: self.relay)
            if faulty and i == 0
            else Site(self.world, i, keystore=i % 2 == 0)
            for i in range(SWARM)
        ]

    def go(self, deliver: Callable[[Parcel], list[Any]], *, last: int = 0) -> None:
        """`last` is the member that hears of everything after the others."""
        for _ in range(30):
            if self.world.state.last_certified >= 2:
                break
            parcels = sorted(self.relay.act(), key=lambda parcel: parcel.to == last)
            for parcel in parcels:
                for reply in deliver(parcel):
                    self.relay.take(reply, parcel.to)
            if not parcels and self.world.state.running:
                self.world.clock = self.world.deadline + 1
            elif not parcels:
                number = self.world.state.current.round.number + 1
                self.relay.asked.discard(("seal", number))
        Ending(self.world, self.sites, 1).check(self.relay)


@pytest.mark.parametrize(("kind", "number"), WAYS, ids=str)
@pytest.mark.parametrize("last", [0, 3])
def test_a_faulty_member_harms_nobody(kind: str, number: int, last: int) -> None:
    run = Run(faulty=True)
    liar = run.sites[0]
    assert isinstance(liar, Faulty)

    def deliver(parcel: Parcel) -> list[Any]:
        if parcel.to == 0 and parcel.kind == kind:
            return liar.misbehave(parcel, number)
        return [run.sites[parcel.to].start(parcel)]

    run.go(deliver, last=last)
    name = {"seal": SEALS, "merge": MERGES, "open": OPENS}[kind][number]
    assert run.world.reached[f"faulty: {name}"]


TRIED: set[str] = set()


@pytest.mark.parametrize("to_all", [True, False])
@pytest.mark.parametrize("number", range(9))
@pytest.mark.parametrize("kind", ["seal", "merge", "open"])
def test_a_bent_message_harms_nobody(kind: str, number: int, to_all: bool) -> None:
    run = Run()
    bent: list[int] = []

    def deliver(parcel: Parcel) -> list[Any]:
        if parcel.kind == kind and (to_all or parcel.to == 1) and len(bent) < SWARM:
            bent.append(parcel.to)
            parcel = bend(run.world, run.relay, parcel, number)
        return [run.sites[parcel.to].start(parcel)]

    run.go(deliver)
    TRIED.update(name for name in run.world.reached if name.startswith("bent: "))


def test_every_way_to_bend_a_message_was_tried() -> None:
    for kind in ("seal", "merge", "open"):
        for number in range(9):
            test_a_bent_message_harms_nobody(kind, number, True)
    assert TRIED >= BENDS


@pytest.mark.parametrize(("kind", "at"), CRASHES, ids=str)
@pytest.mark.parametrize("everyone", [False, True])
def test_a_crash_after_any_step_loses_no_promise(kind: str, at: int, everyone: bool) -> None:
    run = Run()
    crashed: set[int] = set()

    def deliver(parcel: Parcel) -> list[Any]:
        site = run.sites[parcel.to]
        if parcel.kind == kind and parcel.to not in crashed and (everyone or parcel.to == 1):
            crashed.add(parcel.to)
            reply = site.start(parcel, at + 1)
            if site.running is not None:
                site.crash()
                return []
            return [reply]
        return [site.start(parcel)]

    run.go(deliver)
    name = f"crash after {STEPS[kind][at]}"
    assert run.world.reached[name] or name == "crash after certifying"
