"""Flower's own programs: where they are, and the surroundings that they need."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .._exceptions import FlowerRunError

RunConfig = Mapping[str, str | int | float | bool]
LOG_LINES_IN_ERROR: Final = 15


def program(name: str) -> str:
    """Path of one of the commands that Flower installs.

    Raises
    ------
    FlowerRunError
        It is not there.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise FlowerRunError(
            f"{name} is not installed beside {sys.executable}; install Flower there: "
            "pip install 'flwr-swarm[demo]'"
        )
    return found


def surroundings(home: Path) -> dict[str, str]:
    """Environment variables for every process of Flower's that we start.

    Parameters
    ----------
    home : Path
        Flower's folder for its configuration and for the apps that it unpacks.
    """
    scripts = str(Path(sys.executable).parent)  # SuperLink and SuperNode look for SuperExec there
    return {
        "PATH": scripts + os.pathsep + os.environ.get("PATH", ""),
        "FLWR_HOME": str(home),
        # Otherwise every run makes a new environment with all that the app names.
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
    }


def configure(home: Path, name: str, *, address: str, root: Path | None = None) -> None:
    """Write Flower's configuration: one SuperLink, the default.

    Parameters
    ----------
    home : Path
        Made where it is missing.
    name : str
        What Flower calls the SuperLink.
    address : str
        Host and port.
    root : Path or None
        Trust root of its TLS certificate; None for a SuperLink without TLS.
    """
    home.mkdir(parents=True, exist_ok=True)
    lines = [f"[superlink]\ndefault = {toml(name)}\n", f"[superlink.{toml(name)}]"]
    lines.append(f"address = {toml(address)}")
    if root is None:
        lines.append("insecure = true")
    else:
        lines.append(f"root-certificates = {toml(str(root.resolve()))}")
    (home / "config.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def overrides(config: RunConfig) -> str:
    """A run config as the commands' options take it: key=value, separated by spaces."""
    return " ".join(f"{key}={toml(value)}" for key, value in config.items())


def toml(value: str | int | float | bool) -> str:
    """One value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # TOML has no pairs of surrogates, and wants this one character escaped beside JSON's.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def end_of(log: Path) -> str:
    """The last lines of a log, for an error."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    last = "\n  ".join(lines[-LOG_LINES_IN_ERROR:])
    return f"the end of {log}:\n  {last}"


@contextmanager
def undisturbed() -> Iterator[None]:
    """A second Ctrl-C while we clean up must not leave half of it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
