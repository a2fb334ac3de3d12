"""What the machines reach by luck only happens here for certain, and harms nobody."""

from __future__ import annotations

from typing import Any

import pytest
from machine_bends import LEFT_OUT, WAYS_TO_MERGE, bend, forged_opening
from machine_ending import Ending
from machine_faulty import Faulty
from machine_ways import SEALS
from machine_world import Parcel
from test_each_way import SWARM, Run
from test_resumed_anywhere import asked, interrupted

ANOTHER_STATE, ALTERED = 1, 2 + WAYS_TO_MERGE
"""Their numbers among the ways to bend a model and a merge; the second time, a readable one."""


def ends(run: Run) -> None:
    Ending(run.world, run.sites, 1).check(run.relay)


def with_liar(how: str, *, last: int) -> Run:
    """Member 0 seals falsely each time; `last` hears of everything after the others."""
    run = Run(faulty=True)
    liar = run.sites[0]
    assert isinstance(liar, Faulty)

    def deliver(parcel: Parcel) -> list[Any]:
        if parcel.to == 0 and parcel.kind == "seal":
            return liar.misbehave(parcel, SEALS.index(how))
        return [run.sites[parcel.to].start(parcel)]

    run.go(deliver, last=last)
    return run


def test_a_crooked_dealer_is_blamed() -> None:
    run = with_liar("inconsistent shares", last=0)
    assert run.world.reached["complained"]
    assert run.world.reached["a dealer blamed"]


def test_who_opens_a_round_on_a_model_of_its_own_is_blamed() -> None:
    run = with_liar("another model", last=3)
    assert run.world.reached["OpenerBlamed"]
    assert run.world.reached["RoundVoided"]


@pytest.mark.parametrize(("trips", "refusal"), [(2, "StaleRound"), (3, "NotCertified")])
def test_nobody_releases_shares_for_what_is_not_certified(trips: int, refusal: str) -> None:
    """Before there is a certificate, or when it names another set."""
    run = interrupted(trips, SWARM, False)
    for to in range(SWARM):
        parcel = forged_opening(run.world, run.relay, to, 1)
        assert parcel is not None
        assert run.sites[to].start(parcel) is None
    assert run.world.reached[refusal] == SWARM
    ends(run)


def test_nobody_trains_beside_an_impossible_state() -> None:
    """No strategy could step from it. Nobody recomputes the first: it is refused for what it is."""
    run = Run()
    for parcel in run.relay.offers(1):
        bent = bend(run.world, run.relay, parcel, ANOTHER_STATE)
        run.relay.take(run.sites[parcel.to].start(bent), parcel.to)
    assert run.world.reached["ModelRefused"] == SWARM, "somebody trains beside such a state"
    run.go(lambda parcel: [run.sites[parcel.to].start(parcel)])


def test_nobody_signs_two_sums_of_one_view() -> None:
    run = interrupted(1, SWARM, False)
    parcels = run.relay.act()
    asked(run, parcels)
    for parcel in parcels:
        assert run.sites[parcel.to].start(bend(run.world, run.relay, parcel, LEFT_OUT)) is None
    assert run.world.reached["ProtocolError"] == len(parcels)
    ends(run)


def test_nobody_adds_up_what_was_not_sealed() -> None:
    """Not even if every officer is given the same altered ciphertext."""
    run = interrupted(1, SWARM, False)
    asked(run, [bend(run.world, run.relay, p, ALTERED) for p in run.relay.act()])
    asked(run, run.relay.act())
    certificate = run.world.state.current.round.certificate
    assert certificate is not None
    assert len(certificate.included) == SWARM - 1
    ends(run)


def test_a_round_of_too_few_is_void_and_the_next_goes_on() -> None:
    run = interrupted(1, 2, False)
    run.world.clock = run.world.deadline + 1
    asked(run, run.relay.act())
    assert run.world.reached["RoundVoided"]
    ends(run)


def test_who_lost_its_state_but_not_its_keystore_goes_on() -> None:
    """As many as may be faulty, in each phase."""
    for trips in range(6):
        run = interrupted(trips, 2, False)
        run.sites[0].forget()
        assert run.world.reached["state lost"] == 1
        ends(run)


def test_nobody_opens_a_second_set_after_the_chain_lost_the_first() -> None:
    """Beyond what is assumed of a chain: the round stays closed, and no share leaves twice."""
    run = interrupted(3, SWARM, False)
    run.world.lose_the_certificate()
    run.world.clock = run.world.deadline + 1
    asked(run, run.relay.nudges())
    merges = [bend(run.world, run.relay, parcel, LEFT_OUT) for parcel in run.relay.act()]
    asked(run, merges)
    asked(run, run.relay.act())
    assert run.world.reached["AlreadyOpened"]
