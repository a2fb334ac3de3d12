"""A finished run's evidence, and ways to change it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.app import Message
from flwr.serverapp.strategy import FedAdam
from swarm_bench import Bench, inner, values

from flwr_swarm.flower.replay import server_state
from flwr_swarm.protocol.hashing import model_hash


@dataclass
class Run:
    """A finished run's evidence: certified, void, unopened, unseen and again certified."""

    path: Path
    final: str
    leaders: tuple[int, ...]

    @contextmanager
    def kept(self) -> Iterator[Path]:
        """The evidence, put back afterwards."""
        backup = self.path.with_name("backup")
        shutil.copytree(self.path, backup)
        try:
            yield self.path
        finally:
            shutil.rmtree(self.path)
            backup.rename(self.path)


def silent(_: int, __: Message) -> None:
    return None


def finished_run(path: Path) -> Run:
    strategy = inner(3, FedAdam)
    leaders = []
    with Bench(path, nodes=3, strategy=strategy) as bench:

        def once(phase: str, bend: Any) -> None:
            bench.to_member[phase] = bend
            assert bench.round() is None
            bench.to_member.clear()

        def lead() -> None:
            leaders.append(bench.view().current.leader)

        bench.round()
        lead()
        once("seal", lambda member, message: message if member == 0 else None)  # void
        once("open", silent)  # certified by nobody: void after the last view
        once("seal", silent)  # the ledger never sees it
        bench.round()
        lead()
        bench.swarm._relay.complete_evidence(bench.model)
        final = model_hash(values(bench.model), server_state(strategy)).hex()
    return Run(path, final, tuple(leaders))


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "rounds.jsonl").read_text().splitlines()]


def write_lines(path: Path, lines: list[Any]) -> None:
    text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)
    (path / "rounds.jsonl").write_text(text)
