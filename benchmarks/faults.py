"""Faults on real processes: kill -9, frozen, lying, absent; what came of the round and the run.

    python -m benchmarks.faults --json F [--only NAME ...] [--quick] [--list] [--go-on]

Each group of scenarios has a consortium of its own on this machine (chain server, SuperLink over
TLS, four SuperNodes with registered keys, `flwr-swarm relay`), and one study; one fault in a round.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from flwr_swarm.commands.foreground import stoppable

from .faults_support.scenario import NOT_JUDGED, Record, Scenario
from .faults_support.scenarios import QUICK, SCENARIOS
from .faults_support.study import Study
from .faults_support.table import table

_BEGIN, _END = "<!-- table -->", "<!-- end -->"


def main() -> None:
    """Run scenarios, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file for the figures, written as they come")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="names or groups")
    parser.add_argument("--quick", action="store_true", help="six scenarios")
    parser.add_argument("--list", action="store_true", help="names only")
    parser.add_argument("--go-on", action="store_true", help="keep what the file holds already")
    parser.add_argument("--keep", type=Path, help="folder for all logs, which is kept")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="after these no scenario begins"
    )
    parser.add_argument("--docs", type=Path, help="page whose table is replaced by the file's")
    given = parser.parse_args()
    if given.docs:
        into(given.docs, json.loads(given.json.read_text())["scenarios"])
        return
    wanted = set(QUICK if given.quick else given.only)
    chosen = [s for s in SCENARIOS if not wanted or wanted & {s.name, s.group}]
    if given.list:
        for scenario in chosen:
            print(f"{scenario.name:24} {scenario.group:16} {scenario.trip:6} {scenario.fault}")
        return
    done: dict[str, dict[str, Any]] = {}
    if given.go_on and given.json and given.json.exists():
        rows = json.loads(given.json.read_text())["scenarios"]
        done = {r["name"]: r for r in rows if r["why"] != NOT_JUDGED}
        chosen = [s for s in chosen if s.name not in done]

    def keep(records: Sequence[Record]) -> None:
        done.update({r.name: asdict(r) for r in records})
        if given.json:
            order = {s.name: at for at, s in enumerate(SCENARIOS)}
            rows = sorted(done.values(), key=lambda r: order.get(r["name"], len(order)))
            given.json.write_text(json.dumps(_result(rows), indent=2) + "\n", encoding="utf-8")

    until = time.monotonic() + 60.0 * given.minutes
    folder = given.keep or Path(tempfile.mkdtemp(prefix="faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with stoppable():
            for _, group in groupby(chosen, key=lambda s: s.group):
                run_group(folder, list(group), keep, until)
    except KeyboardInterrupt:
        say("stopped; everything that was started has ended")
        sys.exit(130)
    finally:
        if given.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
        print(table(list(done.values())))


def run_group(
    folder: Path,
    scenarios: Sequence[Scenario],
    keep: Callable[[Sequence[Record]], None],
    until: float,
) -> None:
    """A group, in as many studies as it takes: a hang ends one."""
    left = list(scenarios)
    while left and time.monotonic() < until:
        begun = time.monotonic()
        place = Path(tempfile.mkdtemp(prefix=f"{left[0].group}-", dir=folder))
        with Study(place, left, say, keep=keep, until=until) as study:
            records = study.run()
        keep(records)
        left = left[len(records) :]
        say(f"{len(records)} scenarios in {time.monotonic() - begun:.0f} s")


def into(page: Path, rows: list[dict[str, Any]]) -> None:
    """Replace the table in a page."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(_BEGIN, 1)
    _, after = rest.split(_END, 1)
    page.write_text(f"{before}{_BEGIN}\n{table(rows)}\n{_END}{after}", encoding="utf-8")


def say(text: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _result(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "scenarios": rows,
        "passed": sum(row["passed"] for row in rows),
        "of": len(rows),
        "machine": {"python": platform.python_version(), "system": platform.system()},
    }


if __name__ == "__main__":
    main()
