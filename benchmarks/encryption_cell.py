"""One size and number of members: contestants in turn, each sum opened and checked."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .encryption_task import ENCODE, ENCRYPT, MERGE, OPEN, Clock, Contestant, Task, Upload

CLIENT = "client"
"""ENCODE and ENCRYPT together: what a member computes before its upload."""
MERGE_AND_OPEN = "merge and open"
_TOTALS = {CLIENT: (ENCODE, ENCRYPT), MERGE_AND_OPEN: (MERGE, OPEN)}


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How often a cell is repeated.

    Parameters
    ----------
    clients, merges : int
        Timed uploads, and timed sums with their opening.
    """

    clients: int
    merges: int


def measure(
    task: Task,
    contestants: Sequence[Contestant],
    effort: Effort,
    *,
    unmerged: Mapping[str, str],
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """A row for each contestant, as plain values.

    `unmerged` says of contestants, by name, why their payloads are not added up here.
    """
    clocks = [Clock() for _ in contestants]
    uploads: list[dict[int, Upload]] = [{} for _ in contestants]
    opened: list[Any] = [None for _ in contestants]
    errors = [0.0 for _ in contestants]
    for contestant in contestants:
        contestant.begin(task)
    for turn in range(effort.clients):
        for place in _in_turn(contestants, turn):
            member = turn % task.members
            upload = contestants[place].client(member, clocks[place])
            uploads[place][member] = upload
    for contestant, found in zip(contestants, uploads, strict=True):
        if contestant.name not in unmerged:
            _complete(contestant, task, found)
    for turn in range(effort.merges):
        for place in _in_turn(contestants, turn):
            if contestants[place].name in unmerged:
                continue
            sent = [uploads[place][member] for member in range(task.members)]
            result = contestants[place].finish(sent, clocks[place])
            errors[place] = max(errors[place], task.error(result.mean))
            opened[place] = (result.allowed, result.merged_bytes)
    rows = []
    for place, contestant in enumerate(contestants):
        allowed, merged_bytes = opened[place] or (None, None)
        row = {
            "size": task.size,
            "members": task.members,
            "contestant": contestant.name,
            "engine": contestant.engine,
            "profile": contestant.profile,
            "ms": spans(clocks[place]),
            "payload_bytes": len(uploads[place][0].payload),
            "beside_bytes": uploads[place][0].beside,
            "merged_bytes": merged_bytes,
            "error": errors[place] if opened[place] else None,
            "allowed_error": allowed,
            "not_merged": unmerged.get(contestant.name),
        }
        say(_words(row))
        rows.append(row)
    return rows


def spans(clock: Clock) -> dict[str, dict[str, Any]]:
    """Of each part and each total: median, least and most milliseconds, CPU and wall."""
    parts = dict(clock.parts)
    for total, addends in _TOTALS.items():
        present = [parts[name] for name in addends if name in clock.parts]
        if present:
            parts[total] = [
                (sum(one[0] for one in each), sum(one[1] for one in each))
                for each in zip(*present, strict=True)
            ]
    return {
        name: {
            "times": len(spent),
            "cpu": _span([cpu for cpu, _ in spent]),
            "wall": _span([wall for _, wall in spent]),
        }
        for name, spent in parts.items()
    }


def cpu(row: Mapping[str, Any], part: str) -> float | None:
    """Median CPU of a part of a row, in milliseconds; None if it was not measured."""
    found = row["ms"].get(part)
    return None if found is None else float(found["cpu"][0])


def _span(seconds: Sequence[float]) -> list[float]:
    """Median, least, most, in milliseconds."""
    three = statistics.median(seconds), min(seconds), max(seconds)
    return [round(1000 * one, 4) for one in three]


def _in_turn(contestants: Sequence[Contestant], turn: int) -> list[int]:
    """All of them, another one first each time."""
    count = len(contestants)
    return [(turn + place) % count for place in range(count)]


def _complete(contestant: Contestant, task: Task, uploads: dict[int, Upload]) -> None:
    """Make what was not timed, or repeat it where that is the same to the contestant."""
    for member in range(task.members):
        if member in uploads:
            continue
        if contestant.repeatable and task.kind(member) in uploads:
            uploads[member] = uploads[task.kind(member)]
        else:
            uploads[member] = contestant.client(member, Clock())


def _words(row: Mapping[str, Any]) -> str:
    spent = ", ".join(
        f"{part} {ms:.1f}"
        for part in (CLIENT, MERGE_AND_OPEN)
        if (ms := cpu(row, part)) is not None
    )
    what = f"{row['contestant']} ({row['engine']}, {row['profile']})"
    return f"  {what}: {spent} ms, {row['payload_bytes'] / row['size']:.2f} bytes a parameter"
