"""Made-up evidence, with a manifest that fits it, is refused with an EvidenceError."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from swarm_bench import Bench

from flwr_swarm._exceptions import EvidenceError
from flwr_swarm.report.evidence import write_manifest
from flwr_swarm.report.verify import verify


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("run")
    with Bench(directory, nodes=3) as swarm:
        swarm.round()
        swarm.round()
        swarm.swarm._relay.complete_evidence(swarm.model)
    return directory


def lines_of(directory: Path) -> list[dict[str, object]]:
    text = (directory / "rounds.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def tell(directory: Path, lines: list[dict[str, object]]) -> None:
    text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)
    (directory / "rounds.jsonl").write_text(text, encoding="utf-8")


def told_twice(directory: Path) -> None:
    first, second = lines_of(directory)
    tell(directory, [first, {**second, "included": [0]}, second])


def told_of_nothing(directory: Path) -> None:
    first, second = lines_of(directory)
    tell(directory, [first, {**first, "parent_hash": None, "leader": 2}, second])


def told_unopened(directory: Path) -> None:
    first, second = lines_of(directory)
    tell(directory, [first, {**second, "status": "unopened"}])


def last_round_dropped(directory: Path) -> None:
    shutil.rmtree(directory / "rounds" / "0002")


def no_archive(directory: Path) -> None:
    (directory / "final.npz").write_bytes(b"PK\x03\x04 no archive")


def empty_archive(directory: Path) -> None:
    (directory / "initial.npz").write_bytes(b"")


def rounds_of_another_kind(directory: Path) -> None:
    (directory / "rounds.jsonl").write_text("[]\n", encoding="utf-8")


def swarm_of_another_kind(directory: Path) -> None:
    (directory / "swarm.json").write_bytes(b"[]")


def chain_of_another_kind(directory: Path) -> None:
    (directory / "chain.json").write_bytes(b"{}")


FORGERIES = [
    told_twice,
    told_of_nothing,
    told_unopened,
    last_round_dropped,
    no_archive,
    empty_archive,
    rounds_of_another_kind,
    swarm_of_another_kind,
    chain_of_another_kind,
]


@pytest.mark.parametrize("forge", FORGERIES)
def test_forged_evidence_is_refused(
    run: Path, tmp_path: Path, forge: Callable[[Path], None]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    assert verify(copy).models == 2
    forge(copy)
    write_manifest(copy)
    with pytest.raises(EvidenceError):
        verify(copy)


@pytest.mark.parametrize("manifest", [b"[]", b"{}", b'{"sha256":[]}', b"\xff"])
def test_an_odd_manifest_is_refused(run: Path, tmp_path: Path, manifest: bytes) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "manifest.json").write_bytes(manifest)
    with pytest.raises(EvidenceError):
        verify(copy)


def test_a_round_that_nobody_sealed_has_no_seals_of_another(
    bench: Callable[..., Bench],
) -> None:
    swarm = bench(nodes=3)
    swarm.round()
    swarm.to_member["seal"] = lambda member, message: None
    assert swarm.round() is None
    swarm.to_member.clear()
    assert swarm.round() is not None
    swarm.swarm._relay.complete_evidence(swarm.model)
    first, missed, second = lines_of(swarm.directory)
    assert (missed["status"], missed["sealed"], missed["abstained"]) == ("void", [], [])
    assert missed["round"] == second["round"] == 2
    assert first["sealed"] == [0, 1, 2]
    assert verify(swarm.directory).models == 2


def test_a_run_in_the_directory_of_an_older_one_can_be_verified(tmp_path: Path) -> None:
    for rounds in (2, 1):
        with Bench(tmp_path, nodes=3) as swarm:
            for _ in range(rounds):
                swarm.round()
            swarm.swarm._relay.complete_evidence(swarm.model)
    assert verify(tmp_path).models == 1
