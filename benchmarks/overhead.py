"""What a swarm costs over stock Flower: seconds a round by trip, bytes by link.

    python -m benchmarks.overhead [--engine simulation|superlink] [--members 8] [--size 1000000]
                                  [--rounds 6] [--pairs 2] [--json FILE]

The same app, once as it is and once as a swarm, on one engine in one call, pairs in turn (on
SuperLink and SuperNodes one pair: a contract is one study). Training is next to nothing, so that
what is measured is the round itself. The first
round of each run is left out: it waits for nodes and founds the swarm. A trip's seconds are from
its first message to its last reply; what is left of a round is Flower's own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .overhead_app import REPORT_VARIABLE
from .overhead_engines import ENGINES, MAX_WEIGHT, Run

_PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "overhead-{kind}"
version = "1.0.0"
license = "Apache-2.0"
dependencies = []

[tool.hatch.build.targets.wheel]
packages = ["."]

[tool.flwr.app]
publisher = "flwr-swarm"

[tool.flwr.app.components]
serverapp = "app.server:app"
clientapp = "app.client:app"

[tool.flwr.app.config]
sites = {members}
size = {size}
rounds = {rounds}
"""
_STOCK = {
    "client": "from benchmarks.overhead_app import client\n\napp = client()\n",
    "server": "from benchmarks.overhead_app import server\n\n"
    "app = server(lambda strategy, sites: strategy)\n",
}
_SWARM = {
    "client": "from benchmarks.overhead_app import client\nfrom flwr_swarm import swarm_mod\n\n"
    "app = client(swarm_mod)\n",
    "server": "from benchmarks.overhead_app import server\nfrom flwr_swarm import SwarmStrategy\n\n"
    f"app = server(lambda strategy, sites: SwarmStrategy(strategy, max_weight={MAX_WEIGHT}))\n",
}
KINDS = {"stock": _STOCK, "swarm": _SWARM}
MEGABYTE = 1e6


def project(folder: Path, kind: str, *, members: int, size: int, rounds: int) -> Path:
    """Write the app as a folder that `flwr run` takes."""
    app = folder / kind
    (app / "app").mkdir(parents=True)
    settings = _PROJECT.format(kind=kind, members=members, size=size, rounds=rounds)
    (app / "pyproject.toml").write_text(settings)
    (app / "app" / "__init__.py").write_text('"""The app of one measurement."""\n')
    for name, source in KINDS[kind].items():
        (app / "app" / f"{name}.py").write_text(source)
    return app


def measure(run: Run, app: Path, report: Path, log: Path) -> dict[str, Any]:
    """Run the app once, and return what its ServerApp wrote."""
    report.unlink(missing_ok=True)
    run(app, log)
    measured: dict[str, Any] = json.loads(report.read_text())
    return measured


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians over all rounds of all runs; bytes are the same in each."""
    rounds = [seconds for run in runs for seconds in run["rounds"]]
    trips = {
        name: statistics.median(run["trip_seconds"].get(name, 0.0) for run in runs)
        for name in runs[0]["trip_seconds"]
    }
    return {
        "seconds": statistics.median(rounds),
        "fastest": min(rounds),
        "slowest": max(rounds),
        "trips": trips,
        "bytes": dict(runs[0]["bytes"]),
    }


def show(results: Mapping[str, Mapping[str, Any]], members: int) -> str:
    """The table as Markdown."""
    lines = ["| | seconds a round (median, fastest – slowest) | trips |", "|---|---|---|"]
    for kind, found in results.items():
        trips = ", ".join(f"{name} {seconds:.2f}" for name, seconds in found["trips"].items())
        lines.append(
            f"| {kind} | {found['seconds']:.2f} ({found['fastest']:.2f} – {found['slowest']:.2f}) "
            f"| {trips} |"
        )
    lines += ["", "| link | stock, MB a round | swarm, MB a round |", "|---|---|---|"]
    links = sorted({*results["stock"]["bytes"], *results["swarm"]["bytes"]})
    for link in links:
        cells = [results[kind]["bytes"].get(link, 0) / MEGABYTE for kind in ("stock", "swarm")]
        lines.append(f"| {link} | {cells[0]:.2f} | {cells[1]:.2f} |")
    over = results["swarm"]["seconds"] - results["stock"]["seconds"]
    lines += ["", f"Over stock, {members} members: {over:.2f} s a round."]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--size", type=int, default=1_000_000, help="parameters of the model")
    parser.add_argument("--rounds", type=int, default=6, help="of each run, the first is left out")
    parser.add_argument("--engine", choices=sorted(ENGINES), default="simulation")
    parser.add_argument("--pairs", type=int, default=2, help="runs of each kind")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    root = str(Path(__file__).resolve().parents[1])
    with tempfile.TemporaryDirectory(prefix="fs-overhead-") as name:
        folder = Path(name)
        report = folder / "report.json"
        env = {
            REPORT_VARIABLE: str(report),
            "FLWR_SWARM_DIR": str(folder / "evidence"),
            "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
        }
        shape = {"members": options.members, "size": options.size, "rounds": options.rounds}
        apps = {kind: project(folder, kind, **shape) for kind in KINDS}
        runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        pairs = options.pairs if options.engine == "simulation" else 1
        with ENGINES[options.engine](options.members, folder, env) as run:
            for pair in range(pairs):
                for kind, app in apps.items():
                    print(f"pair {pair + 1} of {pairs}: {kind}", file=sys.stderr, flush=True)
                    runs[kind].append(measure(run, app, report, folder / f"{kind}.log"))
    results = {kind: summary(found) for kind, found in runs.items()}
    print(show(results, options.members))
    if options.json:
        figures = {**shape, "pairs": pairs, "engine": options.engine, "results": results}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
