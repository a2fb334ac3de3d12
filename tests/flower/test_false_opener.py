"""A member opens a round on a model of its choice, and the relay dies: another goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import apps
import pytest
from flwr.app import Message
from flwr.serverapp.strategy import FedAdam, FedAvg
from founded_support import Founded
from swarm_bench import inner, shifted, values
from test_resume import Killed, relay, run

from flwr_swarm.flower.read import Fields
from flwr_swarm.flower.records import MODEL
from flwr_swarm.protocol.hashing import model_hash
from flwr_swarm.protocol.types import Phase
from flwr_swarm.report.verify import verify

LIAR = 0


def phases(swarm: Founded) -> list[Phase]:
    return [record.round.phase for record in swarm.past()]


def rounds(swarm: Founded) -> list[dict[str, Any]]:
    path = swarm.bench.directory / "again" / "rounds.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def opened_and_gone(swarm: Founded) -> bytes:
    """Round 1 is opened, and the relay dies before round 2 reaches anybody; round 1's parent."""

    def dies(member: int, message: Message) -> Message | None:
        if swarm.ledger(0).view().current.phase is Phase.CERTIFIED:
            raise Killed
        return message

    swarm.bench.to_member["seal"] = dies
    with pytest.raises(Killed):
        run(swarm, swarm.bench.swarm)
    swarm.bench.to_member.clear()
    return bytes(swarm.ledger(0).view().current.parent)


@pytest.mark.parametrize("overdue", [False, True], ids=["sealing", "overdue"])
@pytest.mark.parametrize("which", ["made up", "the one before"])
@pytest.mark.parametrize("kind", [FedAvg, FedAdam])
def test_another_relay_goes_on_from_the_certified_sum(
    founded: Callable[..., Founded], kind: type[FedAvg], which: str, overdue: bool
) -> None:
    """No round is lost but the one that was opened falsely, and the evidence holds together."""
    options = {"eta": 0.1} if kind is FedAdam else {}
    swarm = founded(4, strategy=inner(3, kind, **options))
    before = opened_and_gone(swarm)
    parent = before if which == "the one before" else b"j" * 32
    swarm.seal_on_a_made_up_model(LIAR, number=2, parent=parent)
    if overdue:
        swarm.time.reach(swarm.ledger(0).view().current.seal_deadline + 5)
    result = run(swarm, relay(swarm, kind, **options), rounds=4)
    after = [Phase.CERTIFIED] * (3 if overdue else 2)  # what is overdue costs the run no round
    assert phases(swarm) == [Phase.CERTIFIED, Phase.VOID, *after]
    past = swarm.past()
    first, false, second, *_ = (record.round.parent for record in past)
    assert (first, false) == (before, parent)
    assert second not in {before, parent}, "training went on from what round 1 came to"
    proven = verify(swarm.bench.directory / "again")
    assert proven.first == 1
    assert proven.certified == proven.models == 1 + len(after)
    told = [line["status"] for line in rounds(swarm)]
    assert told == ["certified", "void"] + ["certified"] * len(after)
    assert result.arrays is not None


def test_a_relay_that_believed_the_opener_turns_to_what_the_sum_leads_to(
    founded: Callable[..., Founded], caplog: pytest.LogCaptureFixture
) -> None:
    """It came while openers were away; the liar said that it knew the model, and gave one."""
    caplog.set_level("WARNING", "flwr.swarm")
    swarm = founded(4)
    opened_and_gone(swarm)
    crafted = shifted(apps.initial_model())
    parent = model_hash(values(crafted), {})
    swarm.seal_on_a_made_up_model(LIAR, number=2, parent=parent)

    def away(member: int, message: Message) -> Message | None:
        later = swarm.ledger(0).view().current.phase is not Phase.SEALING
        return message if later or member in {LIAR, 3} else None

    def lie(member: int, message: Message) -> Message:
        asked = Fields(swarm.bench.messages("recall", LIAR)[-1].content).recall_request()
        if member == LIAR and "model" in asked.want:
            message.content[MODEL] = crafted
        return message

    swarm.bench.to_member["recall"] = away
    swarm.bench.to_relay["recall"] = lie
    run(swarm, relay(swarm), rounds=4)
    assert "is not the one that the sum of round 1 leads to" in caplog.text
    assert phases(swarm) == [Phase.CERTIFIED, Phase.VOID, *[Phase.CERTIFIED] * 3]
    past = swarm.past()
    assert len({record.round.parent for record in past}) == 5
    proven = verify(swarm.bench.directory / "again")
    assert (proven.first, proven.certified, proven.models) == (2, 3, 3)
