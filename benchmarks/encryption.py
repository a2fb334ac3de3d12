"""What encryption costs, beside what others use: CPU, bytes and errors in one process.

    python -m benchmarks.encryption --json F [--quick] [--large] [--readme README.md] [--again]

Ours, NVFlare's TenSEAL configuration, stock TenSEAL BFV, pairwise masks, plaintext; 10^5, 10^6,
10^7 parameters; 4, 8, 16, 64 members; at 8 members ours with every engine and every precision.
Contestants take turns, after a small run that is not counted. Figures are medians (least and
most); CPU is that of the process with all its threads. BLAS, OpenMP and numba's own threads are
held to one; ours uses all cores where its engine can, which only wall time shows. Each sum is
opened and compared with the true mean. Members are real, but of at most four kinds: members of a
kind hold the same update, and where a contestant can add one ciphertext twice (BFV, CKKS), theirs
is made once.
The exit status is 1 if a promise is missed; the last lines say which.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any, Final

from .encryption_bounds import Masks, Plaintext
from .encryption_cell import Effort, measure
from .encryption_judged import MEMBERS, SIZE, judge
from .encryption_memory import measured
from .encryption_ours import contestants as ours
from .encryption_table import into, markdown
from .encryption_task import Contestant, Task
from .encryption_tenseal import BFV, NVFLARE, Nvflare, StockBfv

SIZES: Final = (100_000, 1_000_000, 10_000_000)
COUNTS: Final = (4, 8, 16, 64)
MEMORY_SIZE: Final = 10_000_000
LARGE: Final = 100_000_000
WARM_SIZE: Final = 20_000
PINS: Final = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
_PACKAGES = {"flwr-swarm", "numpy", "tenseal", "cryptography", "blake3", "numba"}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one run measures.

    Parameters
    ----------
    grid : sequence of (int, int)
        Sizes and numbers of members.
    thorough : int
        Number of members at which ours runs with every engine and every precision.
    memory : sequence of int
        Sizes whose memory is measured.
    """

    grid: Sequence[tuple[int, int]]
    thorough: int = MEMBERS
    memory: Sequence[int] = (MEMORY_SIZE,)


FULL: Final = Plan(grid=[(size, members) for size in SIZES for members in COUNTS])
QUICK: Final = Plan(grid=[(SIZE, MEMBERS)])


def effort(size: int, members: int) -> Effort:
    """So that the whole takes minutes, the more the smaller the model."""
    if size > SIZE:
        return Effort(clients=2, merges=1)
    if (size, members) == (SIZE, MEMBERS):
        return Effort(clients=7, merges=5)
    return Effort(clients=5, merges=3 if members < max(COUNTS) else 1)


def kinds(size: int) -> int:
    """Distinct updates: no more than memory and time bear."""
    return 4 if size <= SIZE else 2


def unmerged(size: int, members: int) -> dict[str, str]:
    """Sums that are left out, and why."""
    if size * members <= max(SIZES) * MEMBERS:
        return {}
    reason = f"{members} vectors of {size} parameters take minutes; cost is that of each added"
    return {NVFLARE: reason, BFV: reason}


def others() -> list[Contestant]:
    """What ours is compared with."""
    return [Nvflare(), StockBfv(), Masks(), Plaintext()]


def run(
    plan: Plan, say: Callable[[str], None], keep: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Measure everything; plain values. What there is goes to `keep` after each size."""
    started = time.perf_counter()
    quiet = Effort(clients=1, merges=1)
    warm = Task.drawn(size=WARM_SIZE, members=4, distinct=2)
    rows: list[dict[str, Any]] = []
    memory: list[dict[str, Any]] = []

    def result(complete: bool) -> dict[str, Any]:
        found = {
            "seconds": round(time.perf_counter() - started, 1),
            "complete": complete,
            "machine": _machine(),
            "rows": rows,
            "memory": memory,
            "judged": [line.to_json() for line in judge(rows, memory)],
        }
        keep(found)
        return found

    say("warming up")
    measure(warm, [*ours(thorough=True), *others()], quiet, unmerged={}, say=_silent)
    for size in plan.memory:
        say(f"memory at {size} parameters")
        if peaks := measured(size):
            memory.append(peaks)
    for size, members in plan.grid:
        say(f"{size} parameters, {members} members")
        task = Task.drawn(size=size, members=members, distinct=kinds(size))
        rows += measure(
            task,
            [*ours(thorough=members == plan.thorough), *others()],
            effort(size, members),
            unmerged=unmerged(size, members),
            say=say,
        )
        result(complete=False)
    return result(complete=True)


def verdict(result: dict[str, Any], say: Callable[[str], None]) -> int:
    """Every promise in words, and the exit status."""
    for line in result["judged"]:
        say(line["words"])
    missed = sum(line["judged"] and not line["held"] for line in result["judged"])
    say(f"{result['seconds']} s; {missed} promises missed")
    return 1 if missed else 0


def write(path: Path, result: dict[str, Any]) -> None:
    """JSON with a line for each row."""
    rows = ",\n  ".join(json.dumps(row, allow_nan=False) for row in result["rows"])
    rest = json.dumps(result | {"rows": []}, indent=1, allow_nan=False, ensure_ascii=False)
    path.write_text(rest.replace('"rows": []', f'"rows": [\n  {rows}\n ]') + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.encryption",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--json", type=Path, help="file for the figures, written as they come")
    parser.add_argument("--quick", action="store_true", help="10^6 parameters, 8 members")
    parser.add_argument("--large", action="store_true", help="memory at 10^8 parameters, too")
    parser.add_argument("--readme", type=Path, help="page whose table is replaced by this run's")
    parser.add_argument("--again", action="store_true", help="measure nothing, take the file's")
    chosen = parser.parse_args(arguments)
    if chosen.again and not chosen.json:
        parser.error("--again takes the figures of a file; name it with --json")
    if chosen.again:
        result = json.loads(chosen.json.read_text(encoding="utf-8"))
    else:
        plan = QUICK if chosen.quick else FULL
        if chosen.large:
            plan = Plan(grid=plan.grid, memory=(*plan.memory, LARGE))
        result = run(plan, say, partial(write, chosen.json) if chosen.json else _silent)
    print(markdown(result))
    if chosen.readme:
        into(chosen.readme, result)
    return verdict(result, say)


def pin() -> None:
    """Start again with one thread for each library, unless the caller has said how many."""
    missing = {name: value for name, value in PINS.items() if name not in os.environ}
    if missing:
        command = [sys.executable, "-m", "benchmarks.encryption", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **missing})  # noqa: S606 - ourselves


def say(line: str) -> None:
    """A line of progress, at once."""
    print(line, file=sys.stderr, flush=True)


def _silent(_: Any) -> None:
    """Do nothing with it."""


def _machine() -> dict[str, Any]:
    threads = {name: os.environ.get(name) for name in PINS}
    there = {one.metadata["Name"].lower() for one in distributions()}
    packages = {name: version(name) for name in sorted(_PACKAGES & there)}
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": packages,
        "threads": threads,
    }


if __name__ == "__main__":
    pin()
    sys.exit(main())
