"""What a person sees while a swarm runs: one line a round, as its evidence is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

ROUNDS = "rounds.jsonl"


class RoundTail:
    """Yields the rounds that were appended to a run's `rounds.jsonl` since the last look."""

    def __init__(self, run_dir: Path, on_round: Callable[[Mapping[str, Any]], None]) -> None:
        self._path = run_dir / ROUNDS
        self._on_round = on_round
        self._shown = 0

    def look(self) -> None:
        """Hand every new complete line to `on_round`. A line still being written waits."""
        if not self._path.exists():
            return
        lines = self._path.read_bytes().splitlines(keepends=True)
        for line in lines[self._shown :]:
            if not line.endswith(b"\n"):
                break
            self._shown += 1
            self._on_round(json.loads(line))


def read_rounds(run_dir: Path) -> list[dict[str, Any]]:
    """All rounds of a finished run, in order."""
    text = (run_dir / ROUNDS).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def round_line(entry: Mapping[str, Any]) -> str:
    """One round in one line of rich markup."""
    number = f"[bold]round {entry['round']:>2}[/]"
    if entry["status"] == "void":
        return f"{number}  [red]void[/]: {escape(str(entry.get('reason', 'no reason given')))}"
    certificate = entry["certificate"]
    epsilon = " ".join(f"{value:.2f}" for _, value in sorted(entry["epsilon"].items(), key=_member))
    loss = entry["loss"]
    parts = [
        f"leader [bold cyan]{entry['leader']}[/]",
        f"committee {_set(entry['committee'])}",
        f"included {_set(entry['included'])}",
        f"[green]certified[/] by {_set(certificate['signers'])}",
        f"ε {epsilon}" if any(entry["epsilon"].values()) else "ε –",
        f"loss {loss:.3f}" if loss is not None else "loss –",
        f"[dim]{sum(entry['seconds'].values()):.1f} s[/]",
    ]
    return f"{number}  " + "  ".join(parts)


def progress_bar(console: Console) -> Progress:
    """The bar for whatever takes long; it leaves no trace when it is done."""
    return Progress(
        TextColumn("  [dim]{task.description}[/]"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _member(item: tuple[str, float]) -> int:
    return int(item[0])


def _set(members: list[int]) -> str:
    return "{" + ",".join(str(member) for member in sorted(members)) + "}"
