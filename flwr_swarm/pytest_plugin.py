"""A pytest plugin: gates on privacy in any project's tests.

Installed with flwr-swarm; nothing is imported until a test asks for the fixture.

>>> def test_my_training_is_private(flwr_swarm_gates):
...     flwr_swarm_gates.project("path/to/my/flower/app")
>>> def test_the_swarm_keeps_its_keys_and_refuses_lies(flwr_swarm_gates):
...     flwr_swarm_gates.swarm()
>>> def test_my_attack_finds_nobody(flwr_swarm_gates):
...     flwr_swarm_gates.check(auc_gate(scores, member), tpr_gate(scores, member))
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from flwr_swarm_attacks.gate import GateResult

OPTION: Final = "--flwr-swarm-gates-json"
_RESULTS: Final = pytest.StashKey[list[tuple[str, "GateResult"]]]()


@dataclass(frozen=True, kw_only=True)
class Gates:
    """Runs gates in one test, and keeps what they found for the end of the session."""

    test: str
    results: list[tuple[str, GateResult]] = field(repr=False)

    def check(self, *results: GateResult) -> None:
        """Record all of `results`; fail the test if one tripped.

        Raises
        ------
        GateTripped
        """
        from flwr_swarm_attacks.gate import check_all  # noqa: PLC0415

        self.results.extend((self.test, result) for result in results)
        check_all(results)

    def project(self, folder: str | Path, **options: Any) -> None:
        """Check the DP gates on the Flower app in `folder`.

        Parameters
        ----------
        folder : path
        **options
            Of `flwr_swarm_attacks.gates_project.project_gates`.

        Raises
        ------
        GateTripped
        ConfigurationError
            If there is no app, or it trains without differential privacy.
        """
        from flwr_swarm_attacks.gates_project import project_gates  # noqa: PLC0415

        self.check(*project_gates(Path(folder), **options))

    def swarm(self, **options: Any) -> None:
        """Check the gates on flwr-swarm as it is installed: ciphertexts, keys, crafted models.

        Parameters
        ----------
        **options
            Of `flwr_swarm_attacks.gates_product.product_gates`.

        Raises
        ------
        GateTripped
        """
        from flwr_swarm_attacks.gates_product import product_gates  # noqa: PLC0415

        self.check(*product_gates(**options))


@pytest.fixture
def flwr_swarm_gates(request: pytest.FixtureRequest) -> Gates:
    """Gates on differential privacy, attacks and ciphertexts; see `flwr_swarm_attacks`."""
    return Gates(test=request.node.nodeid, results=request.config.stash[_RESULTS])


def pytest_addoption(parser: pytest.Parser) -> None:
    """One option, that no other plugin has."""
    parser.getgroup("flwr-swarm", "privacy gates of flwr-swarm").addoption(
        OPTION, metavar="PATH", help="write what the gates of this session found to a JSON file"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing found."""
    config.stash[_RESULTS] = []


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show each gate, and write them all where the option says."""
    found = config.stash[_RESULTS]
    path = config.getoption(OPTION)
    if path:
        records = [{"test": test, **result.to_json()} for test, result in found]
        Path(path).write_text(json.dumps(records, indent=2), encoding="utf-8")
    if not found:
        return
    terminalreporter.section("privacy gates")
    for _, gate in found:
        terminalreporter.line(
            f"{'TRIPPED' if gate.tripped else 'passed ':7} {gate.gate}: {gate.statistic:.4g}, "
            f"limit {gate.threshold:.4g}; finds {gate.against} with probability {gate.power:.3f}"
        )
