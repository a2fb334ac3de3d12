"""Where inputs lie as files while they are tried; gone when the process ends."""

from __future__ import annotations

import atexit
import os
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp


@cache
def folder() -> Path:
    """One folder a process, in memory where the system has room for that."""
    shared = Path("/dev/shm")  # noqa: S108
    made = Path(
        mkdtemp(prefix="flwr-swarm-fuzz-", dir=shared if os.access(shared, os.W_OK) else None)
    )
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made
