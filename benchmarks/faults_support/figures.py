"""The file of figures: written as they come, whole or not at all, and taken up again."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .scenario import NOT_JUDGED, Record, Scenario


@dataclass(kw_only=True)
class Figures:
    """Rows of scenarios, by name.

    Parameters
    ----------
    path : Path or None
        None to keep them in memory only.
    order : sequence of Scenario
        In which the file lists them.
    rows : dict
    wanted : list of str
        Scenarios of this run; those without a row are listed as not run.
    """

    path: Path | None
    order: Sequence[Scenario]
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    wanted: list[str] = field(default_factory=list)

    def take_up(self, *, passed_only: bool = False) -> None:
        """Go on with what the file holds, but for scenarios that were never judged."""
        if self.path is not None and self.path.exists():
            rows = json.loads(self.path.read_text(encoding="utf-8"))["scenarios"]
            kept = [r for r in rows if NOT_JUDGED not in r["why"]]
            self.rows = {r["name"]: r for r in kept if r["passed"] or not passed_only}

    def add(self, records: Iterable[Record | dict[str, Any]]) -> None:
        """Keep these rows, in place of older ones."""
        made = [r if isinstance(r, dict) else asdict(r) for r in records]
        new = {row["name"]: row for row in made}
        if any(self.rows.get(name) != row for name, row in new.items()):
            self.rows.update(new)
            self.write()

    def sorted(self) -> list[dict[str, Any]]:
        """All rows."""
        order = {s.name: at for at, s in enumerate(self.order)}
        return sorted(self.rows.values(), key=lambda row: order.get(row["name"], len(order)))

    def write(self) -> None:
        """Replace the file."""
        if self.path is None:
            return
        rows = self.sorted()
        whole = {
            "scenarios": rows,
            "passed": sum(row["passed"] for row in rows),
            "of": len(rows),
            "not_run": [name for name in self.wanted if name not in self.rows],
            "machine": {
                "python": platform.python_version(),
                "system": platform.system(),
                "cores": os.cpu_count(),
            },
        }
        aside = self.path.with_name(f"{self.path.name}.new")
        aside.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
        aside.replace(self.path)
