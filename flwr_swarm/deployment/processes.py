"""Find and end every process that descends from one start, however detached it made itself.

Flower's SuperLink starts a SuperExec in a session of its own, that starts the simulation, that
starts Ray, whose workers outlive their parents for a while. All inherit their environment, so a
mark in it names them all; children and sessions of marked processes are taken along, because a
process may overwrite its environment.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MARK: Final = "FLWR_SWARM_MARK"
"""Environment variable whose value names one start."""
_GRACE_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process; `born` tells it from a later one with the same number."""

    pid: int
    parent: int
    session: int
    born: str


def family(mark: str, sessions: set[int] | None = None) -> set[Process]:
    """Every living process of the start named `mark`, this process excepted.

    Parameters
    ----------
    mark : str
    sessions : set of int, optional
        Sessions that belonged to the start in earlier looks; new ones are added. A process that
        overwrote its environment and lost its parent since then is still known by its session.
    """
    sessions = set() if sessions is None else sessions
    table = _table()
    found = {pid for pid in table if variable_of(pid, MARK) == mark}
    found.discard(os.getpid())
    # A marked process that leads its session owns whatever else is in it.
    sessions |= {pid for pid in found if table[pid].session == pid}
    sessions.discard(os.getsid(0))
    grew = True
    while grew:
        more = {
            p.pid
            for p in table.values()
            if p.pid not in found and (p.parent in found or p.session in sessions)
        }
        more.discard(os.getpid())
        found |= more
        grew = bool(more)
    return {table[pid] for pid in found}


def end(mark: str, first: int | None = None) -> None:
    """End every process of the start named `mark`, and wait until none is left.

    Parameters
    ----------
    mark : str
    first : int, optional
        The process that gets the chance to end its own children in order.
    """
    sessions: set[int] = set()
    known = family(mark, sessions)
    if first is not None:
        _send([p for p in known if p.pid == first], signal.SIGTERM)
        known = _wait(known | family(mark, sessions))
    known |= family(mark, sessions)
    _send(known, signal.SIGTERM)
    known = _wait(known) | family(mark, sessions)
    while known:
        _send(known, signal.SIGKILL)
        known = _wait(known) | family(mark, sessions)


def _wait(processes: set[Process]) -> set[Process]:
    """Those of `processes` that still live when the time of grace is over."""
    deadline = time.monotonic() + _GRACE_SECONDS
    while True:
        table = _table()
        alive = {p for p in processes if p.pid in table and table[p.pid].born == p.born}
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(_POLL_SECONDS)


def _send(processes: Iterable[Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _table() -> Mapping[int, Process]:
    """All living processes; zombies are dead."""
    return _proc_table() if Path("/proc/self/stat").exists() else _ps_table()


def _proc_table() -> dict[int, Process]:
    table = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):  # it ended while we looked
            # The name in parentheses may hold anything, so count from the last parenthesis.
            text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            state, parent, _, session, *rest = text.rpartition(")")[2].split()
            if state not in "ZX":
                pid = int(entry.name)
                table[pid] = Process(
                    pid=pid, parent=int(parent), session=int(session), born=rest[15]
                )
    return table


def _ps_table() -> dict[int, Process]:
    lines = _ps("-axo", "pid=,ppid=,sess=,stat=,lstart=")
    table = {}
    for pid, parent, session, state, *born in (line.split() for line in lines):
        if not state.startswith("Z"):
            own = int(session) if session.isdigit() else 0
            table[int(pid)] = Process(
                pid=int(pid), parent=int(parent), session=own, born=" ".join(born)
            )
    return table


def variable_of(pid: int, name: str) -> str | None:
    """What a process has in its environment, as far as we may look."""
    prefix = f"{name}="
    if Path("/proc/self/environ").exists():
        with suppress(OSError):
            for entry in Path("/proc", str(pid), "environ").read_bytes().split(b"\0"):
                if entry.startswith(prefix.encode()):
                    return entry[len(prefix) :].decode("utf-8", errors="replace")
        return None
    words = (w for line in _ps("-Eww", "-o", "command=", "-p", str(pid)) for w in line.split())
    return next((word.removeprefix(prefix) for word in words if word.startswith(prefix)), None)


def command_of(pid: int) -> list[str]:
    """The words with which a process was started; empty if it has ended."""
    if Path("/proc/self/cmdline").exists():
        with suppress(OSError):
            data = Path("/proc", str(pid), "cmdline").read_bytes()
            return data.decode("utf-8", errors="replace").split("\0")
        return []
    return [w for line in _ps("-ww", "-o", "command=", "-p", str(pid)) for w in line.split()]


def _ps(*arguments: str) -> list[str]:
    program = shutil.which("ps")
    if program is None:
        return []
    done = subprocess.run(  # noqa: S603 - fixed program and arguments
        [program, *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.splitlines()
