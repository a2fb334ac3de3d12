"""New terms are enacted with a round's certificate; training goes on from that round by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flwr.app import Message
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM
from founded_support import CAPACITY, Founded, policy_for
from swarm_bench import inner
from test_resume import Killed, kill_at, run

from flwr_swarm import SwarmStrategy
from flwr_swarm.flower.read import Fields
from flwr_swarm.protocol.types import Change, Kind, Phase
from flwr_swarm.report.verify import verify

WAYS: dict[str, tuple[FedAvg, dict[str, Any]]] = {
    "clip": (inner(3), {"clip": 3.0}),
    "precision": (inner(3), {"precision": 12}),
    "another strategy": (inner(3, FedAvgM, server_momentum=0.9), {}),
}


def by_new_terms(swarm: Founded, strategy: FedAvg, **options: Any) -> SwarmStrategy:
    """The relay that a consortium starts after its vote."""
    return SwarmStrategy(
        strategy,
        max_weight=100.0,
        consortium=swarm.consortium,
        members=3,
        clock=swarm.time.clock(),
        evidence=swarm.bench.directory / "again",
        **options,
    )


def voted_in_round_2(swarm: Founded, strategy: SwarmStrategy) -> None:
    """The members agree on the terms of `strategy` while they merge the second round."""
    new = policy_for(4, terms=strategy.terms(CAPACITY).hash())

    def changed(member: int, message: Message) -> Message:
        if member == 0 and swarm.ledger(0).view().current.number == 2:
            swarm.decide(Change(kind=Kind.POLICY, policy=new), 0, 1, 2)
        return message

    swarm.bench.to_member["merge"] = changed


def voted_and_gone(swarm: Founded, strategy: SwarmStrategy, *, after: int) -> None:
    """And the relay dies when `after` members have opened that round."""
    voted_in_round_2(swarm, strategy)
    kill_at(swarm, "open", 2, after=after)
    with pytest.raises(Killed):
        run(swarm, swarm.bench.swarm)
    swarm.bench.to_member.clear()
    swarm.bench.to_relay.clear()


@pytest.mark.parametrize("opened", [0, 3], ids=["unopened", "opened"])
@pytest.mark.parametrize(
    ("before", "way"),
    [(FedAvg, "precision"), (FedAdam, "clip"), (FedAdam, "another strategy")],
)
def test_another_relay_goes_on_by_the_new_terms(
    founded: Callable[..., Founded], before: type[FedAvg], way: str, opened: int
) -> None:
    """From the model that the old terms led to; a strategy that comes new starts without state."""
    kind, options = WAYS[way]
    swarm = founded(4, strategy=inner(3, before))
    strategy = kind if way == "another strategy" else inner(3, before)
    new = by_new_terms(swarm, strategy, **options)
    voted_and_gone(swarm, new, after=opened)
    run(swarm, new, rounds=4)
    past = swarm.past()
    assert swarm.ledger(0).view().policy.terms == new.terms(CAPACITY).hash()
    assert [record.round.phase for record in past] == [Phase.CERTIFIED] * 4
    assert len({record.round.parent for record in past}) == 4, "no round was in vain"
    proven = verify(swarm.bench.directory / "again")
    assert (proven.first, proven.certified, proven.models) == (3, 2, 2)


@pytest.mark.parametrize("way", WAYS)
def test_a_sum_that_cannot_be_opened_does_not_stop_the_new_terms(
    founded: Callable[..., Founded], way: str
) -> None:
    """The relay goes on from what the last round trained on, which its officers know."""
    kind, options = WAYS[way]
    swarm = founded(4, strategy=inner(3, FedAdam))
    strategy = kind if way == "another strategy" else inner(3, FedAdam)
    new = by_new_terms(swarm, strategy, **options)
    voted_and_gone(swarm, new, after=0)
    swarm.bench.to_member["open"] = lambda _, message: None if of_round_2(message) else message
    run(swarm, new, rounds=4)
    assert [record.round.phase for record in swarm.past()] == [Phase.CERTIFIED] * 4
    assert verify(swarm.bench.directory / "again").models == 2


def of_round_2(message: Message) -> bool:
    return Fields(message.content).open_request().certificate.round == 2


def test_the_relay_of_the_old_terms_ends_by_itself(
    founded: Callable[..., Founded], caplog: pytest.LogCaptureFixture
) -> None:
    """With the last model that they led to, and evidence that holds together."""
    caplog.set_level("INFO", "flwr.swarm")
    swarm = founded(4)
    voted_in_round_2(swarm, by_new_terms(swarm, inner(3), clip=3.0))
    result = run(swarm, swarm.bench.swarm, rounds=9)
    assert "the members agreed on other terms" in caplog.text
    assert sorted(result.train_metrics_clientapp) == [1, 2]
    proven = verify(swarm.bench.directory)
    assert (proven.certified, proven.models) == (2, 2)


def test_encryption_can_be_voted_for_after_plaintext_rounds(
    founded: Callable[..., Founded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can prove what came of the last plaintext round: all know the model before it."""
    monkeypatch.setenv("FLWR_SWARM_ACCEPT_PLAINTEXT", "1")
    swarm = founded(4, encryption="none")
    new = by_new_terms(swarm, inner(3))
    voted_and_gone(swarm, new, after=0)
    run(swarm, new, rounds=6)
    past = swarm.past()
    assert [record.round.phase for record in past] == [Phase.CERTIFIED] * 6
    assert past[1].round.parent == past[2].round.parent
    proven = verify(swarm.bench.directory / "again")
    assert (proven.first, proven.certified, proven.models) == (3, 4, 4)
