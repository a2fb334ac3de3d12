"""A model that no relay can prove: training goes on from the one before, and the run verifies."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flwr.app import Message
from flwr.serverapp.strategy import FedAdam, FedAvg
from founded_support import Founded
from swarm_bench import inner, set_blob, values
from test_resume import Killed, kill_at, relay, run

from flwr_swarm.flower import turning
from flwr_swarm.flower.records import BLOBS
from flwr_swarm.protocol.hashing import model_hash
from flwr_swarm.protocol.member import last_certified
from flwr_swarm.protocol.types import Phase
from flwr_swarm.report.verify import verify

FAULTY, AWAY = 0, 1
"""One released its shares and keeps them back since; the other missed the round's opening."""


def without(member: int) -> Callable[[int, Message], Message | None]:
    return lambda to, message: None if to == member else message


def withheld(member: int, message: Message) -> Message:
    if member == FAULTY and "opening" in message.content.array_records.get(BLOBS, {}):
        set_blob(message.content, "opening", b"none of yours")
    return message


def unprovable(swarm: Founded) -> bytes:
    """Round 1 is opened, round 2 sealed on its model, and the relay gone; round 1's parent."""
    bench = swarm.bench

    def from_round_2(member: int, message: Message) -> Message | None:
        late = swarm.ledger(0).view().current.number >= 1 and bool(bench.messages("open"))
        return None if late and member == AWAY else message

    bench.to_member |= {"open": without(AWAY), "seal": from_round_2}
    kill_at(swarm, "seal", 2, after=2)
    with pytest.raises(Killed):
        run(swarm, bench.swarm)
    bench.to_member.clear()
    bench.to_relay.clear()
    bench.to_member |= {"merge": without(FAULTY), "open": without(FAULTY)}
    bench.to_relay["recall"] = withheld
    current = swarm.ledger(0).view().current
    assert (current.number, current.phase, len(current.seals)) == (2, Phase.SEALING, 3)
    return bytes(swarm.ledger(0).view().final.parent)


@pytest.mark.parametrize(("kind", "voided"), [(FedAvg, 0), (FedAdam, 0), (FedAdam, 3)])
def test_training_goes_on_from_the_model_before(
    founded: Callable[..., Founded],
    kind: type[FedAvg],
    voided: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With the strategy's own state, which members recompute too; also if that round is void."""
    caplog.set_level("WARNING", "flwr.swarm")
    options = {"eta": 0.1} if kind is FedAdam else {}
    swarm = founded(4, strategy=inner(3, kind, **options))
    before = unprovable(swarm)

    def merging(member: int, message: Message) -> Message | None:
        lost = swarm.ledger(0).view().current.number == voided
        return None if lost or member == FAULTY else message

    swarm.bench.to_member["merge"] = merging
    result = run(swarm, relay(swarm, kind, **options), rounds=5)
    assert "training goes on from the model before" in caplog.text
    past = swarm.past()
    phases = [record.round.phase for record in past]
    certified, void = [Phase.CERTIFIED], [Phase.VOID]
    assert phases == certified + (void * 2 + certified * 2 if voided else void + certified * 3)
    parents = [record.round.parent for record in past]
    assert before == parents[0] == parents[2] != parents[1]
    assert (parents[3] == before) == (voided == 3)
    assert len(set(parents[3:]) - {before, parents[1]}) == (1 if voided else 2)
    assert verify(swarm.bench.directory / "again").certified == phases[1:].count(Phase.CERTIFIED)
    assert result.arrays


def test_a_relay_that_does_not_go_back_stands_still(
    founded: Callable[..., Founded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turning, "to_go_back_to", lambda *_, **__: None)
    swarm = founded(4)
    unprovable(swarm)
    run(swarm, relay(swarm), rounds=4)
    last = last_certified(swarm.ledger(0).view())
    assert last is not None
    assert last.number == 1


def test_a_run_that_ends_there_ends_on_the_model_before(founded: Callable[..., Founded]) -> None:
    swarm = founded(4)
    before = unprovable(swarm)
    swarm.bench.to_member["merge"] = lambda *_: None
    result = run(swarm, relay(swarm), rounds=3)
    assert model_hash(values(result.arrays), {}) == before
    assert verify(swarm.bench.directory / "again").certified == 0
