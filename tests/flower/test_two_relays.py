"""A relay that was cut off while another one relayed goes on from what that one came to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message
from flwr.serverapp.strategy import FedAdam, FedAvg
from founded_support import Founded
from swarm_bench import inner, set_blob
from test_false_opener import phases
from test_resume import relay, run

from flwr_swarm._exceptions import EvidenceError
from flwr_swarm.flower.records import BLOBS
from flwr_swarm.protocol.types import Phase
from flwr_swarm.report.verify import verify, write_manifest

ADAM = {"eta": 0.1}


def cut_off(swarm: Founded, kind: type[FedAvg], *, until: int) -> None:
    """In round 2 the first relay is frozen, and another one relays `until` a round."""
    options = ADAM if kind is FedAdam else {}
    began: list[int] = []

    def meanwhile(member: int, message: Message) -> Message:
        if swarm.ledger(0).view().current.number == 2 and not began:
            began.append(member)
            run(swarm, relay(swarm, kind, **options), rounds=until)
        return message

    swarm.bench.to_member["seal"] = meanwhile
    run(swarm, swarm.bench.swarm, rounds=5)
    assert began


def lines(directory: Path) -> list[tuple[int, str]]:
    text = (directory / "rounds.jsonl").read_text(encoding="utf-8")
    told = map(json.loads, text.splitlines())
    return [(line["round"], line["status"]) for line in told if line["parent_hash"] is not None]


@pytest.mark.parametrize(("kind", "until"), [(FedAvg, 4), (FedAdam, 3), (FedAdam, 5)])
def test_a_relay_that_was_cut_off_goes_on_from_the_others_model(
    founded: Callable[..., Founded], kind: type[FedAvg], until: int
) -> None:
    """No round is trained in vain, and both runs' evidence is whole."""
    options = ADAM if kind is FedAdam else {}
    swarm = founded(4, strategy=inner(3, kind, **options))
    cut_off(swarm, kind, until=until)
    past = swarm.past()
    assert set(phases(swarm)) == {Phase.CERTIFIED}
    assert len({record.round.parent for record in past}) == len(past) > until
    proven, others = verify(swarm.bench.directory), verify(swarm.bench.directory / "again")
    assert proven.certified == len(past)
    assert others.certified == until - others.first + 1
    own = [number for number, status in lines(swarm.bench.directory) if status == "certified"]
    assert own == [1, *range(until, len(past) + 1)], "and the last one that the other opened"
    assert proven.models == len(own)
    assert proven.elsewhere == tuple(range(3, until + 1))
    assert others.elsewhere == ()


def test_what_nobody_can_prove_is_not_gone_on_from(founded: Callable[..., Founded]) -> None:
    """Two members keep back what they released for the other: the model before its last is left."""
    swarm = founded(4)

    def withheld(member: int, message: Message) -> Message:
        over = swarm.ledger(0).view().current.number >= 4
        if over and member < 2 and "opening" in message.content.array_records.get(BLOBS, {}):
            set_blob(message.content, "opening", b"none of yours")
        return message

    swarm.bench.to_relay["recall"] = withheld
    cut_off(swarm, FedAvg, until=4)
    past = swarm.past()
    certified = [r.round for r in past if r.round.phase is Phase.CERTIFIED]
    before, again = certified[3:5]
    assert (before.number, again.parent) == (4, before.parent)
    proven = verify(swarm.bench.directory)
    assert proven.elsewhere == (3, 4)
    assert proven.models == 1 + len(certified) - 4


def another_model(run_dir: Path) -> None:
    path = run_dir / "rounds" / "0004" / "before.npz"
    with np.load(path) as held:
        arrays = {name: held[name] for name in held.files}
    arrays["model/weight"] = arrays["model/weight"] + np.float32(0.25)
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def no_model(run_dir: Path) -> None:
    (run_dir / "rounds" / "0004" / "before.npz").unlink()


def no_sum(run_dir: Path) -> None:
    """Round 5 is told as if nobody had opened it."""
    for path in (run_dir / "rounds" / "0005").iterdir():
        path.unlink()
    path = run_dir / "rounds.jsonl"
    told = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in told:
        line["status"] = "unopened" if line["round"] == 5 else line["status"]
    text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in told)
    path.write_text(text, encoding="utf-8")


def test_evidence_with_others_rounds_in_it_cannot_be_bent(founded: Callable[..., Founded]) -> None:
    swarm = founded(4)
    cut_off(swarm, FedAvg, until=4)
    told = swarm.bench.directory
    assert verify(told).elsewhere == (3, 4)
    for number, bend in enumerate((another_model, no_model, no_sum)):
        bent = told.with_name(f"bent-{number}")
        shutil.copytree(told, bent)
        bend(bent)
        write_manifest(bent)
        with pytest.raises(EvidenceError, match=r"trained on model .*, but the evidence leads to"):
            verify(bent)
