"""Faulty holders of key shares: they cannot speak for others, nor stand in every trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from math import comb

import pytest
from flwr.app import Message
from swarm_bench import Bench, set_field

from flwr_swarm import encryption
from flwr_swarm.flower.read import Fields
from flwr_swarm.protocol.messages import SealReply
from flwr_swarm.protocol.relay import _subsets, accepted_seals
from flwr_swarm.protocol.types import Phase


def test_a_holder_cannot_displace_another_ones_opening(bench: Callable[..., Bench]) -> None:
    """At n = 4 and t = 3, two openings fewer would leave the sum closed."""
    swarm = bench(nodes=4)

    def claim_to_be_zero(member: int, message: Message) -> Message:
        if member == 3 and not message.has_error():
            set_field(message.content, "member", 0)
        return message

    swarm.to_relay["open"] = claim_to_be_zero
    assert swarm.round() is not None
    assert swarm.view().current.phase is Phase.CERTIFIED


@pytest.mark.parametrize(("members", "faulty"), [(12, {0}), (16, {0, 1}), (16, {0, 1, 2})])
def test_faulty_holders_of_low_indices_stand_not_in_every_trial(
    members: int, faulty: set[int]
) -> None:
    size = (members + (members - 1) // 3) // 2 + 1
    assert comb(members, size) > 256
    trials = list(_subsets(range(members), size, bytes(32)))
    assert all(len(set(trial)) == size and sorted(trial) == list(trial) for trial in trials)
    assert trials[0] == tuple(range(size))
    assert any(faulty.isdisjoint(trial) for trial in trials)


def test_few_choices_are_all_tried() -> None:
    assert set(_subsets(range(7), 5, b"seed")) == set(_subsets(range(7), 5, b"other"))
    assert len(set(_subsets(range(7), 5, b"seed"))) == comb(7, 5)


@pytest.mark.parametrize("wrong", [lambda e: e[:-1], lambda e: (*e, e[0]), lambda e: e[::-1]])
def test_a_seal_has_one_share_for_each_holder_in_their_order(
    bench: Callable[..., Bench], wrong: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]
) -> None:
    """Also if the member sealed them so: the shares would be missing at the opening."""
    swarm = bench(nodes=3)
    swarm.round()
    _, _, message = next(entry for entry in swarm.answered if entry[0] == "seal")
    honest = Fields(message.content).seal_reply()
    driver, view = swarm.swarm._relay.driver, swarm.view()
    assert driver is not None

    def accepted(reply: SealReply) -> bool:
        sealed = dataclasses.replace(
            view.current,
            seals=tuple(
                dataclasses.replace(seal, shares_hash=hash_of(reply))
                if seal.member == reply.member
                else seal
                for seal in view.current.seals
            ),
        )
        return bool(
            accepted_seals(dataclasses.replace(view, current=sealed), [reply], driver.terms)
        )

    assert accepted(honest)
    assert not accepted(dataclasses.replace(honest, envelopes=wrong(honest.envelopes)))


def hash_of(reply: SealReply) -> bytes:
    hashes = [encryption.envelope_hash(e) for e in reply.envelopes]
    return encryption.shares_hash(hashes, reply.proof)
