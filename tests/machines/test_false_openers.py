"""A round that a faulty member opens on a model of its choice misleads no relay that comes new."""

from __future__ import annotations

import pytest
from machine_ending import Ending
from machine_faulty import Faulty
from machine_relay import Relay
from machine_resuming import Successor
from machine_ways import RECALLS, SEALS
from planted import Patch
from test_each_way import Run
from test_resumed_anywhere import asked

from flwr_swarm.protocol import recall
from flwr_swarm.protocol.member import last_certified
from flwr_swarm.protocol.types import LedgerView, Phase, Round

WAYS = ("another model", "the model before")
OPENED, CERTIFIED = 6, 5
"""Trips after which the second round is opened, or certified and unheard of by its holders."""


def misled(way: str, *, trips: int = OPENED, void: bool = False, told: int = 1) -> Run:
    """Member 0 opens the third round on what `way` says, and the relay is gone.

    Asked by another relay, it answers in the manner of number `told`.
    """
    run = Run(faulty=True)
    liar = run.sites[0]
    assert isinstance(liar, Faulty)
    run.world.seed = told
    for _ in range(trips):
        asked(run, run.relay.act())
    if trips < OPENED:  # one member hears of the certificate, and nobody of the shares
        asked(run, run.relay.act()[3:])
    (offer,) = (parcel for parcel in run.relay.offers(3) if parcel.to == 0)
    liar.misbehave(offer, SEALS.index(way))
    current = run.world.state.current.round
    assert (current.number, current.phase) == (3, Phase.SEALING)
    if void:
        run.world.clock = run.world.deadline + 1
        asked(run, run.relay.nudges())
        assert run.world.state.current.round.phase is Phase.VOID
    return run


@pytest.mark.parametrize("manner", range(5))
@pytest.mark.parametrize("void", [False, True])
@pytest.mark.parametrize("trips", [OPENED, CERTIFIED])
@pytest.mark.parametrize("way", WAYS)
def test_another_relay_goes_on_from_what_was_certified(
    way: str, trips: int, void: bool, manner: int
) -> None:
    """Whatever the opener does afterwards, and tells the relay.

    What it dealt in the second round it can keep back, so only an opened sum is never lost.
    """
    for told, _ in enumerate(RECALLS):
        run = misled(way, trips=trips, void=void, told=told)
        end = Ending(run.world, run.sites, manner)
        run.relay = end.resumed()
        assert run.world.reached["no certified round lost"] == (trips == OPENED)
        end.check(run.relay)


def named(view: LedgerView) -> Round | None:
    """As it was: whoever opened the last round was believed to know the model."""
    certified = last_certified(view)
    later = certified is not None and view.current.number > certified.number
    return None if later else certified


def with_whatever_openings(relay: Successor, view: LedgerView) -> None:
    """What is named is offered with what was released, and nobody looks where that leads."""
    Relay.ground(relay, view)
    certified = last_certified(view)
    led = None if certified is None else relay.led_to(view, certified)
    relay.proof = relay.proof if led is None else led.proof


@pytest.mark.parametrize("void", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_a_relay_that_believes_the_opener_is_found(
    way: str, void: bool, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(recall, "to_open", named)
    monkeypatch.setattr(Successor, "ground", with_whatever_openings)
    run = misled(way, void=void, told=RECALLS.index("another model"))
    run.relay = Successor(run.world, run.sites)
    with pytest.raises(AssertionError, match="none was opened"):
        Ending(run.world, run.sites, 2).check(run.relay)
