"""Which process does what for whom: found by the marks that a start leaves in its folders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import processes
from .surroundings import ROLE

KINDS: Final = {
    "flwr_swarm.deployment.run_superlink": "superlink",
    "flwr_swarm.deployment.run_supernode": "supernode",
    "flwr-serverapp": "serverapp",
    "flwr-clientapp": "clientapp",
    "flower-superexec": "superexec",
    "serve": "chain",
}
"""A word of its command line, and what the process is then."""


@dataclass(frozen=True, kw_only=True, order=True)
class Found:
    """One living process.

    Parameters
    ----------
    kind : str
        One of the values of `KINDS`.
    site : str
        Whose it is; empty for the chain.
    pid : int
    """

    kind: str
    site: str
    pid: int


def find(folder: Path) -> list[Found]:
    """All processes that were started in a folder, or in a folder of it.

    `up`, `site` and `relay` leave their marks there while they run, and when they are killed.
    """
    return sorted(found for mark in _marks(folder) for found in _of(mark))


def _marks(folder: Path) -> Iterator[str]:
    places = [folder, *(path for path in sorted(folder.iterdir()) if path.is_dir())]
    seen = set()
    for file in (file for place in places for file in place.glob("*.mark")):
        mark = file.read_text(encoding="ascii").strip()
        if mark and mark not in seen:
            seen.add(mark)
            yield mark


def _of(mark: str) -> Iterator[Found]:
    for process in processes.family(mark):
        words = {Path(word).name for word in processes.command_of(process.pid)}
        kind = next((kind for word, kind in KINDS.items() if word in words), None)
        if kind is not None:
            role = processes.variable_of(process.pid, ROLE) or ""
            yield Found(kind=kind, site=role.partition(":")[2], pid=process.pid)
