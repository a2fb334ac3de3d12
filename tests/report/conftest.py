"""One real run for the tests of a module; what warns on import comes before warnings matter."""

import sys
import warnings
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "flower"))  # the bench for real runs

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Flower's typer still uses a deprecated name of click's
    import swarm_bench
    from evidence_support import Run, finished_run

__all__ = ["swarm_bench"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished_run(tmp_path_factory.mktemp("evidence") / "run")
