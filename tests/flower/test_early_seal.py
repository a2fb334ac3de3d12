"""A faulty member opens the next round while the last one's openings are still on their way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flwr.app import Message
from swarm_bench import Bench, same

from flwr_swarm.chain.client import ChainLedger
from flwr_swarm.flower.state import load_keys
from flwr_swarm.protocol.ledger import SealCall
from flwr_swarm.protocol.types import Phase

FAULTY = 3


def opens_the_next_round(swarm: Bench, parent: bytes) -> None:
    """The faulty member seals on a model of its own, as early as the ledger takes it."""
    place, view = swarm.swarm._relay.swarm.place, swarm.view()
    keys = load_keys(swarm.context(FAULTY))
    me = view.member_at(keys.account)
    ledger = ChainLedger(
        url=place.chain_url,
        contract=place.contract,
        key=keys.account_key,
        chain_id=place.chain_id,
    )
    ledger.submit(
        SealCall(
            round=view.current.number + 1,
            parent=parent,
            payload_hash=bytes([1]) * 32,
            shares_hash=bytes([2]) * 32,
            reveal=keys.secret(place.chain_id, place.contract, me.reveals),
            commitment=keys.commitment(place.chain_id, place.contract, me.reveals + 1),
            epsilon=me.epsilon,
            verified=False,
        )
    )


@pytest.mark.parametrize("answers", [1, 3])
def test_a_round_that_was_opened_is_not_lost_to_whoever_opens_the_next(
    bench: Callable[..., Bench], answers: int
) -> None:
    swarm = bench(nodes=4)
    first, seen = swarm.model, []

    def meanwhile(member: int, message: Message) -> Any:
        seen.append(member)
        if len(seen) == answers:
            opens_the_next_round(swarm, bytes([9]) * 32)
        return message

    swarm.to_relay["open"] = meanwhile
    assert swarm.round() is not None
    assert not same(swarm.model, first)
    assert swarm.view().current.number == 2
    assert swarm.view().current.phase is Phase.SEALING
    swarm.to_relay.clear()
    opened = swarm.model
    assert swarm.round() is None  # members refuse that model: the round is its opener's miss
    assert swarm.view().current.phase is Phase.VOID
    assert swarm.round() is not None
    assert not same(swarm.model, opened)
    assert swarm.view().current.number == 3
