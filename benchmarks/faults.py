"""Faults on real processes: kill -9, frozen, lying, absent; what came of the round and the run.

    python -m benchmarks.faults --json F [--only NAME ...] [--quick] [--list] [--jobs N]
                                [--go-on | --again]

Each group of scenarios has a consortium of its own on this machine (chain server, SuperLink over
TLS, four SuperNodes with registered keys, `flwr-swarm relay`), and one study; one fault in a round.
Every wait has a limit. The file is complete after each scenario, so that a run can be gone on with.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from flwr_swarm.commands.foreground import stoppable

from .faults_support.figures import Figures
from .faults_support.groups import Groups, run_alone
from .faults_support.scenario import Scenario
from .faults_support.scenarios import QUICK, SCENARIOS
from .faults_support.table import table

_BEGIN, _END = "<!-- table -->", "<!-- end -->"


def main() -> None:
    """Run scenarios, print the table; ends with code 1 if one did not pass."""
    given = _parser().parse_args()
    if given.docs:
        into(given.docs, json.loads(given.json.read_text(encoding="utf-8"))["scenarios"])
        return
    wanted = set(QUICK if given.quick else given.only)
    chosen = [s for s in SCENARIOS if not wanted or wanted & {s.name, s.group}]
    unknown = wanted - {word for s in chosen for word in (s.name, s.group)}
    if unknown:
        sys.exit(f"there are no scenarios named {', '.join(sorted(unknown))}; see --list")
    if given.list:
        for scenario in chosen:
            print(f"{scenario.name:24} {scenario.group:16} {scenario.trip:6} {scenario.fault}")
        return
    figures = Figures(path=given.json, order=SCENARIOS, wanted=[s.name for s in chosen])
    if given.go_on or given.again:
        figures.take_up(passed_only=given.again)
    folder = given.keep or Path(tempfile.mkdtemp(prefix="faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    left = [s for s in chosen if s.name not in figures.rows]
    try:
        with stoppable():
            if given.alone:
                run_alone(folder, left, say, figures.add)
                return
            begun = time.monotonic()
            groups = Groups(folder=folder, figures=figures, say=say, jobs=given.jobs)
            groups.run(left, begun + 60.0 * given.minutes)
            say(f"all ended after {time.monotonic() - begun:.0f} s")
    except KeyboardInterrupt:
        say("stopped; everything that was started has ended")
        sys.exit(130)
    finally:
        if given.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
        if not given.alone:
            figures.write()
            print(table(figures.sorted()))
    sys.exit(
        not all(name in figures.rows and figures.rows[name]["passed"] for name in _names(chosen))
    )


def into(page: Path, rows: list[dict[str, Any]]) -> None:
    """Replace the table in a page."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(_BEGIN, 1)
    _, after = rest.split(_END, 1)
    page.write_text(f"{before}{_BEGIN}\n{table(rows)}\n{_END}{after}", encoding="utf-8")


def say(text: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _names(scenarios: list[Scenario]) -> list[str]:
    return [scenario.name for scenario in scenarios]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file for the figures, written as they come")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="names or groups")
    parser.add_argument("--quick", action="store_true", help="six scenarios")
    parser.add_argument("--list", action="store_true", help="names only")
    parser.add_argument("--jobs", type=int, default=2, help="groups that run at a time (2)")
    parser.add_argument("--go-on", action="store_true", help="keep what the file holds already")
    parser.add_argument("--again", action="store_true", help="keep what passed, run the rest again")
    parser.add_argument("--keep", type=Path, help="folder for all logs, which is kept")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="after these no group begins"
    )
    parser.add_argument("--docs", type=Path, help="page whose table is replaced by the file's")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
