"""The records as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

HEADS = ("scenario", "trip", "fault", "outcome", "lost", "kept", "model right", "s", "passed")


def table(records: Sequence[dict[str, Any]]) -> str:
    """Markdown, a row for each scenario."""
    lines = ["| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
    for record in records:
        seconds = record["seconds_to_recover"]
        cells = (
            record["name"],
            record["trip"],
            record["fault"],
            record["outcome"],
            f"{record['rounds_lost']} of {record['rounds_asked']}",
            _yes(record["final_kept"]),
            _yes(record["model_right"]),
            "–" if seconds is None else f"{seconds:.0f}",
            "yes" if record["passed"] else f"**no**: {record['why']}",
        )
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
