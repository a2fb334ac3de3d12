"""The plugin in a strange project's tests: its report, its JSON, and what it costs others."""

import json
import subprocess
import sys

from flwr_swarm.pytest_plugin import OPTION

TESTS = """
import numpy as np

def test_right(flwr_swarm_gates):
    from flwr_swarm_attacks.gates_noise import noise_variance_gate
    flwr_swarm_gates.check(noise_variance_gate(np.random.default_rng(1).normal(size=500)))

def test_wrong(flwr_swarm_gates):
    from flwr_swarm_attacks.gates_noise import noise_variance_gate
    flwr_swarm_gates.check(noise_variance_gate(np.full(500, 0.1), name="too quiet"))
"""

SWARM = """
def test_the_swarm(flwr_swarm_gates):
    flwr_swarm_gates.swarm(alpha=1e-11)
"""

IGNORANT = """
import sys

def test_nothing_heavy_was_imported():
    heavy = {"torch", "numpy", "scipy", "flwr", "opacus", "flwr_swarm_attacks"} & set(sys.modules)
    assert not heavy
    assert "flwr_swarm.pytest_plugin" in sys.modules
"""


def pytest_in(folder, text, *options):
    (folder / "test_it.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "flwr_swarm.pytest_plugin", *options]
    command += [
        "-p",
        "no:cacheprovider",
        "-p",
        "no:hypothesispytest",
        "-p",
        "no:xdist",
        "test_it.py",
    ]
    done = subprocess.run(
        command, check=False, cwd=folder, capture_output=True, text=True, timeout=240
    )
    return done.returncode, done.stdout + done.stderr


def test_gates_are_reported_and_a_tripped_one_fails_its_test(tmp_path):
    code, printed = pytest_in(tmp_path, TESTS, OPTION, "gates.json")
    assert code == 1, printed
    assert "1 failed, 1 passed" in printed
    assert "privacy gates" in printed
    assert "TRIPPED too quiet" in printed
    assert "GateTripped" in printed
    found = json.loads((tmp_path / "gates.json").read_text())
    assert [gate["tripped"] for gate in found] == [False, True]
    assert found[1]["test"] == "test_it.py::test_wrong"


def test_the_gates_on_the_product_run_in_anybodys_tests(tmp_path):
    code, printed = pytest_in(tmp_path, SWARM)
    assert code == 0, printed
    for gate in ("freshness", "key recovery", "crafted model", "recovered pictures"):
        assert f"{gate}: 0, limit" in printed


def test_it_costs_nothing_where_it_is_not_used(tmp_path):
    code, printed = pytest_in(tmp_path, IGNORANT)
    assert code == 0, printed
    assert "privacy gates" not in printed
