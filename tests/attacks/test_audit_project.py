"""A user's own project under audit: as it is, with bugs of its own, and what cannot be audited."""

import sys
from textwrap import dedent

import pytest
from flwr_swarm_attacks.audit_project import opened
from flwr_swarm_attacks.gates_project import project_gates

from flwr_swarm import privacy
from flwr_swarm._exceptions import ConfigurationError

PYPROJECT = """
[project]
name = "tiny"
version = "1.0.0"
[tool.flwr.app]
publisher = "tests"
[tool.flwr.app.components]
serverapp = "tiny_app.server:app"
clientapp = "tiny_app.client:app"
[tool.flwr.app.config]
epochs = 1
noise = 2.0
nested.lr = 0.1
"""

CLIENT = """
import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch.utils.data import DataLoader, TensorDataset

from flwr_swarm import swarm_mod
from flwr_swarm.privacy import make_private

app = ClientApp(mods=[swarm_mod])

@app.train()
def train(msg, context):
    config = context.run_config
    torch.manual_seed(int(context.node_config["partition-id"]) + 1)
    data = TensorDataset(torch.randn(40, 3), torch.randint(0, 2, (40,)))
    model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
    model.load_state_dict(msg.content["arrays"].to_torch_state_dict())
    optimizer = torch.optim.Adam(model.parameters(), lr=config["nested.lr"])
    loader = DataLoader(data, 8, shuffle=True)
    model, optimizer, loader = make_private(
        context, model, optimizer, loader, epochs=config["epochs"],
        noise_multiplier=config["noise"], budget=1.0, max_grad_norm=0.7, delta=1e-5,
    )
    for _ in range(config["epochs"]):
        for x, y in loader:
            BUG
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    metrics = MetricRecord({"num-examples": 40})
    arrays = ArrayRecord(model.state_dict())
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=msg)
"""

SERVER = """
import torch
from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr_swarm import SwarmStrategy

app = ServerApp()

@app.main()
def main(grid, context):
    model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
    strategy = SwarmStrategy(FedAvg(min_available_nodes=3))
    strategy.start(grid=grid, initial_arrays=ArrayRecord(model.state_dict()), num_rounds=2)
"""


@pytest.fixture
def project(tmp_path):
    def write(bug="pass", client=CLIENT, server=SERVER):
        (tmp_path / "pyproject.toml").write_text(PYPROJECT)
        package = tmp_path / "tiny_app"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "client.py").write_text(dedent(client.replace("BUG", bug)))
        (package / "server.py").write_text(dedent(server))
        return tmp_path

    return write


def tripped(folder, **options):
    """False alarms have probability 1e-10 in all; batches left out are missed with 1e-14."""
    results = project_gates(folder, canaries=600, rounds=8, alpha=1e-11, **options)
    return {result.gate.split(",")[0] for result in results if result.tripped}


def test_a_project_that_trains_as_it_should_passes(project):
    """Its Adam, its model, its budget that the audit must not run into."""
    folder, before = project(), privacy.make_private
    assert tripped(folder) == set()
    assert privacy.make_private is before
    assert "make_private" not in vars(privacy)
    assert not any(name.startswith("tiny_app") for name in sys.modules)
    assert str(folder) not in sys.path


@pytest.mark.parametrize(
    ("bug", "gate"),
    [
        ("if len(x) == 0: continue", "noise variance with empty batches"),
        ("optimizer._random.normal = lambda shape: torch.zeros(shape).double()", "noise variance"),
    ],
    ids=["skips empty batches", "takes the noise away"],
)
def test_bugs_in_a_projects_own_loop_are_found(project, bug, gate):
    assert gate in tripped(project(bug))


def test_the_run_config_can_be_overridden(project):
    folder = project()
    with opened(folder, overrides={"epochs": 2}) as loaded:
        assert loaded.config == {"epochs": 2, "noise": 2.0, "nested.lr": 0.1}
        assert loaded.sites == 3
    with (
        pytest.raises(ConfigurationError, match="'epoch'"),
        opened(folder, overrides={"epoch": 2}),
    ):
        pass


def test_training_without_dp_is_nothing_to_audit(project):
    with pytest.raises(ConfigurationError, match="no differential privacy"):
        tripped(project(), overrides={"noise": 0.0})


def test_what_is_no_project_is_refused(project, tmp_path):
    with pytest.raises(ConfigurationError, match=r"pyproject\.toml"):
        project_gates(tmp_path / "nothing")
    idle = SERVER.replace("strategy.start(", "dict(")
    with pytest.raises(ConfigurationError, match="without starting a strategy"):
        project_gates(project(server=idle))
