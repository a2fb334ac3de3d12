"""Groups of scenarios, each in a process of its own: some at a time, each with a limit."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path

from flwr_swarm.deployment import processes

from .course import Course
from .figures import Figures
from .scenario import NOT_JUDGED, Record, Scenario, record_of
from .study import Study

_TO_BEGIN = 120.0
_EACH = 150.0
"""Seconds a group gets, and each scenario of it; after these none begins."""
_TO_END = 600.0
"""Seconds for the last scenario and for the end of the study; after these a group is ended."""
_IN_ORDER = 120.0
_LOOK = 0.5


def run_alone(
    folder: Path,
    scenarios: Sequence[Scenario],
    say: Callable[[str], None],
    keep: Callable[[Sequence[Record]], None],
) -> None:
    """A group in this process, in as many studies as it takes: a hang ends one."""
    left = list(scenarios)
    until = time.monotonic() + _limit(left)
    while left and time.monotonic() < until:
        begun = time.monotonic()
        place = Path(tempfile.mkdtemp(prefix=f"{left[0].group}-", dir=folder))
        try:
            with Study(place, left) as study:
                records = Course(study=study, say=say, keep=keep, until=until).run()
        except Exception as error:  # the other groups go on
            records = [record_of(scenario) for scenario in left]
            for record in records:
                record.why = f"no study: {type(error).__name__}: {error}"[:300]
        keep(records)
        left = left[len(records) :]
        say(f"{len(records)} scenarios in {time.monotonic() - begun:.0f} s")


@dataclass(frozen=True, kw_only=True)
class Group:
    """One that runs in a process: what it tells is in the file `part`."""

    scenarios: list[Scenario]
    process: subprocess.Popen[bytes]
    folder: Path
    part: Path
    begun: float
    end_at: float

    @classmethod
    def started(cls, folder: Path, scenarios: list[Scenario]) -> Group:
        name = scenarios[0].group
        place = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder))
        part = place / "figures.json"
        command = [sys.executable, "-m", "benchmarks.faults", "--alone", "--json", str(part)]
        command += ["--keep", str(place), "--only", *(s.name for s in scenarios)]
        process = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - ourselves
        now = time.monotonic()
        return cls(
            scenarios=scenarios,
            process=process,
            folder=place,
            part=part,
            begun=now,
            end_at=now + _limit(scenarios) + _TO_END,
        )

    def rows(self) -> list[dict[str, object]]:
        """What it has told so far."""
        if not self.part.exists():
            return []
        return list(json.loads(self.part.read_text(encoding="utf-8"))["scenarios"])

    def end(self) -> None:
        """It is ending in order; else it is killed, and all that it started."""
        try:
            self.process.wait(_IN_ORDER)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            for mark in self.folder.rglob("*.mark"):
                processes.end(mark.read_text(encoding="ascii").strip())


@dataclass(kw_only=True)
class Groups:
    """Runs groups in processes.

    Parameters
    ----------
    folder : Path
        For all logs.
    figures : Figures
    say : callable
    jobs : int
        How many groups run at a time.
    start : callable
        Starts one.
    """

    folder: Path
    figures: Figures
    say: Callable[[str], None]
    jobs: int
    start: Callable[[Path, list[Scenario]], Group] = Group.started
    _running: list[Group] = field(default_factory=list)

    def run(self, scenarios: Sequence[Scenario], until: float) -> None:
        """All of them; none begins after `until`. Leaves no process, however it ends."""
        groups = [list(group) for _, group in groupby(scenarios, key=lambda s: s.group)]
        waiting = sorted(groups, key=len, reverse=True) if self.jobs > 1 else groups
        try:
            while waiting or self._running:
                while waiting and len(self._running) < self.jobs and time.monotonic() < until:
                    self._running.append(self.start(self.folder, waiting.pop(0)))
                if not self._running:
                    return
                time.sleep(_LOOK)
                self._look()
        finally:
            for group in self._running:
                group.process.terminate()
            for group in self._running:
                group.end()
            self._look()

    def _look(self) -> None:
        for group in list(self._running):
            code = group.process.poll()
            late = time.monotonic() > group.end_at
            if code is None and late:
                group.process.terminate()
                group.end()
                code = group.process.poll()
            self.figures.add(group.rows())
            if code is not None:
                self._running.remove(group)
                self._complete(group, "after its limit" if late else f"with code {code}")

    def _complete(self, group: Group, how: str) -> None:
        """A scenario that a process took with it has failed."""
        broken = group.process.returncode != 0
        for scenario in group.scenarios if broken else ():
            row = self.figures.rows.get(scenario.name)
            if row is None or row["why"] == NOT_JUDGED:
                row = row or asdict(record_of(scenario))
                self.figures.add([row | {"why": f"its group ended {how}; {NOT_JUDGED}"}])
        rows = [self.figures.rows.get(s.name) for s in group.scenarios]
        passed = sum(1 for row in rows if row and row["passed"])
        done = len(self.figures.rows)
        self.say(
            f"{group.scenarios[0].group}: {passed} of {len(rows)} passed in "
            f"{time.monotonic() - group.begun:.0f} s; {done} of {len(self.figures.wanted)} done"
        )


def _limit(scenarios: Sequence[Scenario]) -> float:
    return _TO_BEGIN + _EACH * len(scenarios)
