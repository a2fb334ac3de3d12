"""The terms of a consortium are those of the app's own strategy, without a run."""

import textwrap

import pytest

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.demo.apps import examples_dir
from flwr_swarm.deployment.probe import Wanted


def app_with(folder, main):
    (folder / "odd").mkdir()
    (folder / "odd" / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "odd"\nversion = "1"\n[tool.flwr.app]\npublisher = "x"\n'
        '[tool.flwr.app.components]\nserverapp = "odd.server:app"\nclientapp = "odd.client:app"\n'
    )
    head = """
        from flwr.serverapp import ServerApp
        from flwr.serverapp.strategy import FedAdam, FedAvg, Krum
        from flwr_swarm import SwarmStrategy
        app = ServerApp()
        @app.main()
        def main(grid, context):
    """
    body = textwrap.indent(textwrap.dedent(main), "    ")
    (folder / "odd" / "server.py").write_text(textwrap.dedent(head).strip() + "\n" + body)
    return folder


def test_an_app_says_what_it_wants(tiny):
    wanted = Wanted.of(tiny, 4)
    assert (wanted.terms.max_weight, wanted.terms.strategy) == (1000.0, "FedAvg")
    assert wanted.terms.members == 16
    assert set(wanted.policy) == {"close_at=4", "seal_seconds=600", "merge_seconds=300"}


def test_the_example_wants_its_budget_and_its_largest_site():
    wanted = Wanted.of(examples_dir() / "support2_swarm", 5, {"epsilon-budget": 3.0})
    assert wanted.terms.max_weight == 4096.0
    assert "epsilon_cap=3.0" in wanted.policy
    assert "close_at=5" in wanted.policy


def test_another_strategy_brings_its_parameters(tmp_path):
    app = app_with(
        tmp_path, "SwarmStrategy(FedAdam(eta=0.03), clip=2.5, threshold=4).start(grid, None)\n"
    )
    wanted = Wanted.of(app, 5)
    assert (wanted.terms.strategy, wanted.terms.clip) == ("FedAdam", 2.5)
    assert wanted.terms.parameters["eta"] == 0.03
    assert "threshold=4" in wanted.policy


@pytest.mark.parametrize(
    ("main", "told"),
    [
        ("pass\n", "ended without SwarmStrategy.start"),
        ("list(grid.get_node_ids())\n", "grid.get_node_ids before SwarmStrategy.start"),
        ("raise OSError('no such model')\n", "no such model"),
        ("SwarmStrategy(Krum()).start(grid, None)\n", "Krum"),
    ],
)
def test_an_app_that_does_not_say_is_told_what_to_do(tmp_path, main, told):
    with pytest.raises(ConfigurationError, match="give --terms instead") as refused:
        Wanted.of(app_with(tmp_path, main), 4)
    assert told in str(refused.value)


def test_a_folder_without_an_app_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="give --terms instead"):
        Wanted.of(tmp_path, 4)
