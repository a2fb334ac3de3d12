"""`flwr-swarm audit` on the example project: gates, controls, exit codes."""

from pathlib import Path

import pytest
from flwr_swarm_attacks import gates_product, gates_project
from flwr_swarm_attacks.planted import BUGS

EXAMPLE = Path(__file__).parents[2] / "examples" / "support2_swarm"
RARE = 1e-11
"""Of a false alarm in each of some twenty gates, since a test must not fail by luck."""
SMALL = ("--run-config", "dataset='breast-cancer'", "--run-config", "hidden=8", "--rounds", 3)


def test_the_example_passes_and_every_control_works(desk):
    found = desk.json("audit", EXAMPLE, *SMALL, "--alpha", RARE)
    assert not any(gate["tripped"] for gate in found["gates"])
    assert sum(gate["false_alarm"] for gate in found["gates"]) <= 1e-9
    lies = {f"{gates_product.FEDAVG}: {gate}" for gate in ("crafted model", "recovered pictures")}
    assert set(found["controls"]) == {*BUGS, *gates_product.FAULTS, *lies}
    assert len(found["gates"]) == 14
    assert all(found["controls"].values())
    assert found["quiet"]


def test_a_tripped_gate_is_exit_code_1(desk, monkeypatch):
    """Planted where the project cannot see it: in what its `make_private` is."""
    plain = gates_project.observe

    def bugged(*args, **options):
        return plain(*args, **options | {"make_private": BUGS["half the noise"]})

    monkeypatch.setattr(gates_project, "observe", bugged)
    monkeypatch.setattr(gates_project, "BUGS", {"half the noise": BUGS["half the noise"]})
    result = desk.run("audit", EXAMPLE, *SMALL, "--canaries", 200, code=1)
    assert "TRIPPED" in result.stdout
    assert "gates tripped" in result.stderr


def test_training_without_dp_has_nothing_to_audit(desk):
    refused = desk.refused("audit", EXAMPLE, *SMALL, "--run-config", "noise-multiplier=0.0")
    assert refused["error"] == "ConfigurationError"


@pytest.mark.parametrize("wrong", [Path("nowhere"), Path(__file__).parent])
def test_no_app_no_audit(desk, wrong):
    assert "pyproject" in desk.refused("audit", wrong)["message"]
