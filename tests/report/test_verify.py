"""Evidence: a true run verifies, and any change of its files is named."""

from __future__ import annotations

from pathlib import Path

import apps
import pytest
from evidence_support import Run, lines_of
from hypothesis import given, settings
from hypothesis import strategies as st
from swarm_bench import Bench, values

from flwr_swarm._exceptions import EvidenceError
from flwr_swarm.mod import SwarmMod
from flwr_swarm.protocol.hashing import model_hash
from flwr_swarm.report.verify import verify


def test_a_true_run_verifies(run: Run) -> None:
    verified = verify(run.path)
    assert verified.members == 3
    assert verified.certified == verified.models == 2
    assert verified.rounds == 4
    assert verified.leaders == run.leaders
    assert verified.final_hash == run.final
    assert verified.epsilon == 0
    statuses = [line["status"] for line in lines_of(run.path)]
    assert statuses == ["certified", "void", "void", "void", "certified"]


# --- without a new manifest --------------------------------------------------------------------


def files_of(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file())


@settings(max_examples=150)
@given(data=st.data())
def test_any_changed_byte_of_any_file_is_named(run: Run, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(files_of(run.path)))
    before = path.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    changed = bytearray(before)
    changed[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    try:
        with pytest.raises(EvidenceError) as caught:
            verify(run.path)
    finally:
        path.write_bytes(before)
    if path.name != "manifest.json":
        assert path.relative_to(run.path).as_posix() in str(caught.value)


def test_each_byte_of_the_manifests_head_counts(run: Run) -> None:
    path = run.path / "manifest.json"
    before = path.read_bytes()
    for at in range(60):
        for mask in (1, 2, 128):
            changed = bytearray(before)
            changed[at] ^= mask
            path.write_bytes(changed)
            with pytest.raises(EvidenceError):
                verify(run.path)
    for other in (b"", b"{}", b"[]", b'{"sha256":[]}', b'{"sha256":{}}', b"[" * 100_000):
        path.write_bytes(other)
        with pytest.raises(EvidenceError):
            verify(run.path)
    path.write_bytes(before)


def test_a_missing_or_an_added_file_is_named(run: Run) -> None:
    for file in files_of(run.path):
        name = file.relative_to(run.path).as_posix()
        with run.kept():
            file.unlink()
            with pytest.raises(EvidenceError, match=name.replace(".", r"\.")):
                verify(run.path)
    with run.kept():
        (run.path / "rounds" / "more.bin").write_bytes(b"")
        with pytest.raises(EvidenceError, match=r"rounds/more\.bin"):
            verify(run.path)


# --- other runs --------------------------------------------------------------------------------


def test_no_evidence_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=r"no manifest\.json; name the directory"):
        verify(tmp_path)
    with pytest.raises(EvidenceError):
        verify(tmp_path / "nowhere")


def test_a_run_that_was_cut_short_does_not_verify(tmp_path: Path) -> None:
    with Bench(tmp_path, nodes=3) as bench:
        bench.round()
    with pytest.raises(EvidenceError, match=r"no manifest\.json"):
        verify(tmp_path)


def test_a_plaintext_run_verifies_its_chain(tmp_path: Path) -> None:
    app = apps.make_app(SwarmMod(accept_plaintext=True))
    with Bench(tmp_path, nodes=3, app=app, encryption="none") as bench:
        bench.round()
        bench.swarm._relay.complete_evidence(bench.model)
        final = model_hash(values(bench.model), {}).hex()
    verified = verify(tmp_path)
    assert verified.certified == 1
    assert verified.models == 0
    assert verified.final_hash == final


def test_files_of_an_earlier_run_are_no_part_of_a_later_one(tmp_path: Path) -> None:
    for rounds in (2, 1):
        with Bench(tmp_path, nodes=3) as bench:
            for _ in range(rounds):
                bench.round()
            bench.swarm._relay.complete_evidence(bench.model)
        assert verify(tmp_path).certified == rounds
