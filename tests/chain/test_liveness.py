"""A swarm goes on: no order of calls leaves its members without a way to the next round."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attack_support import four, vote
from chain_support import Swarm

from flwr_swarm._exceptions import TransactionRefused
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.protocol.ledger import AbstainCall, CloseCall, LedgerCall
from flwr_swarm.protocol.types import Kind


def accuses_itself(swarm: Swarm) -> None:
    swarm.ledgers[3].submit(swarm.accusation(3, 3, 7))


def is_removed(swarm: Swarm) -> None:
    swarm.enact(swarm.change(Kind.REMOVE, 3), 0, 1)
    swarm.ledgers[2].submit(vote(1))


def is_suspended(swarm: Swarm) -> None:
    swarm.enact(swarm.change(Kind.SUSPEND, 3))


@pytest.mark.parametrize("leaves", [accuses_itself, is_removed, is_suspended])
def test_when_the_only_one_who_has_not_abstained_ahead_leaves(
    chain: EmbeddedChain, leaves: Callable[[Swarm], None]
) -> None:
    swarm = four(chain)
    for i in (0, 1, 2):
        swarm.abstain(i, 1)
    leaves(swarm)
    number = swarm.view.current.number + 1
    ways: list[tuple[int, LedgerCall]] = [
        *((i, swarm.seal_call(i, number)) for i in (0, 1, 2)),
        *((i, AbstainCall(round=number)) for i in (0, 1, 2)),
        (0, CloseCall(round=number)),
        (0, CloseCall(round=number - 1)),
    ]
    assert any(taken(swarm, i, call) for i, call in ways)


def taken(swarm: Swarm, i: int, call: LedgerCall) -> bool:
    try:
        swarm.ledgers[i].submit(call)
    except TransactionRefused:
        return False
    return True
