"""What a demo runs with: rounds, noise, shadows. One frozen value, made from the command line."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flwr_swarm._exceptions import ConfigurationError

from .apps import SWARM, examples_dir
from .data import DATASETS

# Where the bundled set needs other numbers: with 39 rows at the smallest site, a batch is a large
# share of all rows, and more noise is needed for the same epsilon.
_OVERRIDES: Final[dict[str, dict[str, Any]]] = {
    "support2": {},
    "breast-cancer": {
        "batch-size": 8,
        "hidden": 16,
        "learning-rate": 0.3,
        "noise-multiplier": 1.5,
        "rounds": 6,
    },
}
_QUICK: Final[dict[str, Any]] = {"rounds": 3}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Parameters of one demo.

    Parameters
    ----------
    dataset : str
    out : Path
        Folder for the results.
    quick : bool
        Fewer rounds and shadows, and no swarm run without DP.
    shadows : int
        Shadow models per attack.
    config : dict
        The run config of every Flower run.
    """

    dataset: str
    out: Path
    quick: bool
    shadows: int
    config: dict[str, Any]


def settings(
    *, dataset: str, out: Path, rounds: int | None, quick: bool, seed: int | None = None
) -> Settings:
    """Settings from what the user chose; the rest comes from the example's own `pyproject.toml`.

    Raises
    ------
    ConfigurationError
        For an unknown data set, or fewer than one round.
    """
    if dataset not in DATASETS:
        raise ConfigurationError(
            f"dataset must be one of {', '.join(DATASETS)}, got {dataset!r}; choose one of them"
        )
    if rounds is not None and rounds < 1:
        raise ConfigurationError(f"rounds must be >= 1, got {rounds}; leave it out for the default")
    project = tomllib.loads((examples_dir() / SWARM / "pyproject.toml").read_text(encoding="utf-8"))
    config = {
        **project["tool"]["flwr"]["app"]["config"],
        **_OVERRIDES[dataset],
        **(_QUICK if quick else {}),
        "dataset": dataset,
    }
    if rounds is not None:
        config["rounds"] = rounds
    if seed is not None:
        config["seed"] = seed
    return Settings(
        dataset=dataset, out=out, quick=quick, shadows=16 if quick else 64, config=config
    )
