"""The two example projects, as folders that `flwr run` can take."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

from flwr_swarm._exceptions import ConfigurationError

STOCK: Final = "support2"
SWARM: Final = "support2_swarm"
PLAINTEXT: Final = "support2_plaintext"
_PACKAGE: Final = "support2_app"

# What turns the swarm into the baseline in which leader and relay read every update.
_FEDAVG: Final = 'FedAvg(min_available_nodes=int(config["sites"]))'
_PLAIN_SWAPS: Final = (
    (
        "from flwr.serverapp.strategy import FedAvg\n",
        "from flwr_swarm.demo.recorder import RecordedFedAvg\n",
    ),
    (f"SwarmStrategy({_FEDAVG}, ", f'SwarmStrategy(Recorded{_FEDAVG}, encryption="none", '),
)


def examples_dir() -> Path:
    """The folder of example projects: beside the package in a clone, else shipped with it.

    Raises
    ------
    ConfigurationError
        If this installation has none.
    """
    shipped = importlib.util.find_spec("flwr_swarm_examples")
    candidates = (
        [Path(place) for place in (shipped.submodule_search_locations or [])] if (shipped) else []
    )
    candidates.append(Path(__file__).resolve().parents[2] / "examples")
    for folder in candidates:
        if (folder / SWARM / "pyproject.toml").is_file():
            return folder
    raise ConfigurationError(
        f"no example project in {', '.join(map(str, candidates))}; run the demo from a clone of "
        "the repository, installed with pip install -e '.[demo]'"
    )


def stage(name: str, folder: Path) -> Path:
    """Copy an example project into `folder`, so that a run leaves no trace in its source.

    Parameters
    ----------
    name : {"support2", "support2_swarm", "support2_plaintext"}
        The last is `support2_swarm` with encryption off and every update recorded.
    folder : Path

    Returns
    -------
    Path
        The copy.
    """
    source = examples_dir() / (SWARM if name == PLAINTEXT else name)
    target = folder / name
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    if name == PLAINTEXT:
        path = target / _PACKAGE / "server_app.py"
        text = path.read_text(encoding="utf-8")
        for old, new in _PLAIN_SWAPS:
            if text.count(old) != 1:
                raise ConfigurationError(
                    f"the example {source} was changed: {old.strip()!r} is not in it once; "
                    "restore it from the repository"
                )
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
    return target


def task_module() -> ModuleType:
    """The stock example's `task.py`: its model and training loop, for the baselines."""
    name = "flwr_swarm_demo_task"
    if name not in sys.modules:
        path = examples_dir() / STOCK / _PACKAGE / "task.py"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ConfigurationError(f"{path} cannot be imported; restore it from the repository")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
