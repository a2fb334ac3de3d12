"""A site's disk that is full: a small tmpfs over its memory, with all that was in it."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from flwr_swarm.keystore import Keystore

from .scenario import Act

if TYPE_CHECKING:
    from .study import Study

_ROOM = 8 * 1024 * 1024


def _memory(study: Study, name: str) -> Path:
    return Keystore(study.local.sites[study.local.names.index(name)].keys).memory


def fill(name: str) -> Act:
    """Needs the right to mount; without it the scenario says so."""

    def act(study: Study) -> bool:
        memory = _memory(study, name)
        memory.mkdir(mode=0o700, exist_ok=True)  # before its first round a member has none
        with TemporaryDirectory() as aside:
            kept = Path(aside) / "kept"
            shutil.copytree(memory, kept)
            options = f"size={_ROOM},mode=0700"
            subprocess.run(  # noqa: S603
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(memory)],  # noqa: S607
                check=True,
            )
            study.undo.append(lambda: _unmount(memory))
            shutil.copytree(kept, memory, dirs_exist_ok=True)
        with suppress(OSError), (memory / "filler").open("wb") as file:
            while True:
                file.write(bytes(64 * 1024))
                file.flush()
        return True

    return act


def free(name: str) -> Act:
    """There is room again."""

    def act(study: Study) -> bool:
        _unmount(_memory(study, name))
        return True

    return act


def _unmount(memory: Path) -> None:
    if memory.is_mount():
        subprocess.run(["umount", "-l", str(memory)], check=True)  # noqa: S603, S607
