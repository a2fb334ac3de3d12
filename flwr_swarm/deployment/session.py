"""One start at a time in a folder; what an earlier one left behind when it was killed is ended."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Self

from .._exceptions import FolderInUse
from ..chain.locks import FileLock
from ..keystore.files import FILE_MODE
from . import processes
from .flower import undisturbed


class Session:
    """Owns all processes of one start. Use it as a context manager.

    Parameters
    ----------
    folder : Path
    what : str
        What is started there: `up`, `site` or `relay`.
    mark : str or None
        Names the processes; None draws one.
    """

    def __init__(self, folder: Path, what: str, *, mark: str | None = None) -> None:
        self.mark = mark or secrets.token_hex(8)
        self._folder = folder
        self._what = what
        self._lock = FileLock(folder / f"{what}.lock")
        self._mark_file = folder / f"{what}.mark"

    def __enter__(self) -> Self:
        if not self._lock.acquire(end=0.0):
            raise FolderInUse(
                f"another flwr-swarm runs as {self._what} in {self._folder}; end that one first"
            )
        try:
            if self._mark_file.exists():
                left = self._mark_file.read_text(encoding="ascii", errors="replace").strip()
                if left:
                    processes.end(left)
            self._mark_file.write_text(self.mark, encoding="ascii")
            self._mark_file.chmod(FILE_MODE)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with undisturbed():
            try:
                processes.end(self.mark)
                self._mark_file.unlink(missing_ok=True)
            finally:
                self._lock.release()
