"""Who signs a sum can confirm the model after it: enough honest members always can."""

from __future__ import annotations

import pytest
from machine_ending import Ending
from machine_faulty import Faulty
from machine_relay import Relay
from machine_site import Site
from machine_world import World

from flwr_swarm.flower.founding import Founding
from flwr_swarm.flower.replay import Spec
from flwr_swarm.protocol.election import quorum
from flwr_swarm.protocol.quorum import tolerated_faults
from flwr_swarm.protocol.types import Phase

FOUNDING = Founding(
    encryption="threshold",
    clip=10.0,
    max_weight=100.0,
    threshold=None,
    min_included=None,
    fixed_leader=None,
    epsilon_cap=None,
    seal_seconds=60,
    merge_seconds=60,
)


@pytest.mark.parametrize("members", range(3, 17))
def test_honest_signers_are_as_many_as_the_witnesses_that_a_round_needs(members: int) -> None:
    terms = FOUNDING.terms(members, "num-examples", Spec(name="FedAvg", parameters={}))
    policy = FOUNDING.policy(members, members, terms)
    faults = tolerated_faults(min(members, policy.max_committee))
    for committee in range(min(policy.min_included, 7), min(members, 7) + 1):
        signers = max(quorum(committee), min(policy.quorum, committee))
        assert signers - faults >= min(policy.witnesses, committee)


def test_two_faulty_signers_who_fall_silent_do_not_stop_the_swarm() -> None:
    """Of seven members five sealed, and the relay asked two honest and two faulty to sign."""
    world = World(7)
    relay = Relay(world, world.first_model())
    sites = [
        Faulty(world, i, lambda: relay) if i < 2 else Site(world, i, keystore=False)
        for i in range(7)
    ]
    world.book.faulty = frozenset({0, 1})
    for parcel in relay.act()[:5]:
        relay.take(sites[parcel.to].start(parcel), parcel.to)
    world.clock = world.deadline + 1
    sites[2].start(relay.act()[2])
    current = world.state.current.round
    assert current.phase is Phase.MERGING
    assert set(current.committee) == set(range(5))
    asked = {0, 1, current.leader}
    asked |= set(sorted(set(current.committee) - asked)[: 4 - len(asked)])
    for parcel in relay.act():
        if parcel.to in asked:
            relay.take(sites[parcel.to].start(parcel), parcel.to)
    for parcel in relay.act():
        relay.take(sites[parcel.to].start(parcel), parcel.to)
    Ending(world, sites, 0).check(relay)
