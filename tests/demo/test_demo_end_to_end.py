"""The main job as a user runs it, on the bundled data: nothing in it is replaced."""

import json
import os
import subprocess
import sys

import pytest

from flwr_swarm.deployment import processes


@pytest.mark.timeout(1800)
def test_the_demo_runs_reports_verifies_and_leaves_nothing(tmp_path, monkeypatch):
    out, mark = tmp_path / "swarm-demo", "end-to-end-" + str(os.getpid())
    monkeypatch.setenv("FLWR_SWARM_TEST", mark)
    command = [sys.executable, "-m", "flwr_swarm.cli"]
    done = subprocess.run(
        [*command, "demo", "--dataset", "breast-cancer", "--quick", "--out", str(out)],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.setattr(processes, "MARK", "FLWR_SWARM_TEST")
    assert processes.family(mark) == set()

    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert [entry["status"] for entry in result["rounds"]] == ["certified"] * 3
    assert len({entry["leader"] for entry in result["rounds"]}) == 3  # the shuffle bag
    assert all(0 < spent <= 8 for spent in result["rounds"][-1]["epsilon"].values())
    for entry in result["rounds"]:
        assert entry["aggregate_hash"] in (out / "report.html").read_text(encoding="utf-8")
        assert f"round  {entry['round']}" in done.stdout
    for model in ("pooled", "federated", "swarm"):
        assert result["auroc"][model]["value"] > 0.85  # chance is 0.5; with noise 0.97 +- 0.006

    proof = subprocess.run(
        [*command, "verify", str(out)], capture_output=True, text=True, check=False
    )
    assert proof.returncode == 0, proof.stderr
    assert "3 of 3 rounds certified" in proof.stdout
    for name in ("result.json", "report.html", "run/final.npz"):
        _check_that_a_changed_byte_is_found(command, out, out / name)


def _check_that_a_changed_byte_is_found(command, out, path):
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[len(changed) // 2] ^= 1
    path.write_bytes(bytes(changed))
    proof = subprocess.run(
        [*command, "verify", str(out)], capture_output=True, text=True, check=False
    )
    assert proof.returncode == 1
    assert path.name in proof.stderr
    path.write_bytes(whole)
