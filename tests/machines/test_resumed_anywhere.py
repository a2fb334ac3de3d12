"""Another relay takes over after each trip, heard by all or by some, crashed or not: it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from machine_ending import Ending
from machine_world import Parcel
from planted import RECALLS, Patch
from test_each_way import SWARM, Run

from flwr_swarm.protocol import recall
from flwr_swarm.protocol.memory import Memory
from flwr_swarm.protocol.types import Phase

TRIPS = range(7)
"""Two rounds of three trips."""


def asked(run: Run, parcels: list[Parcel]) -> None:
    for parcel in parcels:
        run.relay.take(run.sites[parcel.to].start(parcel), parcel.to)


def taken_over(run: Run) -> str:
    """In which phase another relay came; it opens what can be opened and goes on."""
    phase = run.world.state.current.round.phase.name.lower()
    run.relay = Ending(run.world, run.sites, 1).resumed()

    def deliver(parcel: Parcel) -> list[Any]:
        return [run.sites[parcel.to].start(parcel)]

    run.go(deliver)
    assert run.world.reached[f"resumed: {phase}"]
    return phase


def interrupted(trips: int, heard: int, crash: bool) -> Run:
    """A run whose relay is gone after `trips`; the last was heard by some only."""
    run = Run()
    for trip in range(trips):
        parcels = run.relay.act()
        asked(run, parcels[:heard] if trip == trips - 1 else parcels)
    for site in run.sites if crash else ():
        site.crash()
    return run


@pytest.mark.parametrize("crash", [False, True])
def test_another_relay_goes_on_after_any_trip(crash: bool) -> None:
    runs = [interrupted(*case, crash) for case in product(TRIPS, (2, SWARM))]
    phases = {taken_over(run) for run in runs}
    assert phases == {"idle", "sealing", "merging", "certified"}
    reached = set().union(*(run.world.reached for run in runs))
    assert reached >= {
        "no certified round lost",
        "opened again by another relay",
        "opened late by another relay",
        "sealed again",
    }


def test_another_relay_goes_on_after_a_void_round() -> None:
    run = interrupted(4, 2, False)  # of the second round, two seals
    run.world.clock = run.world.deadline + 1
    asked(run, run.relay.act())
    assert taken_over(run) == "void"


def test_another_relay_goes_on_after_the_first_round_was_void() -> None:
    run = interrupted(1, 2, False)
    run.world.clock = run.world.deadline + 1
    asked(run, run.relay.act())
    assert taken_over(run) == "void"


@pytest.mark.parametrize("plant", RECALLS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_of_recall_is_found(
    plant: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        test_another_relay_goes_on_after_any_trip(False)


def test_a_model_that_cannot_be_proven_again_is_not_refused_by_who_agreed_to_it() -> None:
    """Round 2 was opened, two sealed its model in vain, and t openings are no longer to be had."""
    run = interrupted(6, SWARM, False)
    asked(run, run.relay.act()[::2])
    run.world.clock = run.world.deadline + 1
    asked(run, run.relay.act())
    assert run.world.state.current.round.phase is Phase.VOID
    run.sites[3].disk.memory = Memory()  # it comes back under its keystore's keys
    run.sites[1].disk.memory = replace(run.sites[1].disk.memory, opening=None, given=None)
    run.relay = Ending(run.world, run.sites, 1).resumed()
    assert not run.relay.proof.openings
    Ending(run.world, run.sites, 1).check(run.relay)
    assert run.world.reached["agreed to again"]


def unprovable(*, trips: int) -> Run:
    """Round 1 was opened while member 1 was away; its relay is gone `trips` trips later.

    Member 0 is faulty: it opened too, and tells the next relay nothing. The openings that are left
    are one short of the threshold, and nobody has the shares that were dealt to member 1.
    """
    run = Run(faulty=True)
    asked(run, run.relay.act())
    asked(run, run.relay.act())
    for _ in range(1 + trips):
        asked(run, [parcel for parcel in run.relay.act() if parcel.to != 1])
    assert run.relay.found, "round 1 was opened"
    return run


@pytest.mark.parametrize("trips", range(3))
@pytest.mark.parametrize("manner", [15, 17])
def test_a_model_that_nobody_can_prove_does_not_stop_the_swarm(trips: int, manner: int) -> None:
    """The faulty member falls silent (15), or seals and signs nothing (17): all others are needed.

    Who was away refuses the model that it cannot check. All take the one before.
    """
    run = unprovable(trips=trips)
    run.relay = Ending(run.world, run.sites, manner).resumed()
    Ending(run.world, run.sites, manner).check(run.relay)
    assert run.world.reached["went back to the model before"] == (trips > 0)


@pytest.mark.parametrize("manner", [15, 17])
def test_a_relay_that_never_goes_back_is_found(manner: int, monkeypatch: Patch) -> None:
    monkeypatch.setattr(recall, "to_go_back_to", lambda *_, **__: None)
    with pytest.raises(AssertionError, match="none was opened"):
        test_a_model_that_nobody_can_prove_does_not_stop_the_swarm(1, manner)
