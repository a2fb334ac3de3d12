"""One holder at a time, across threads' file handles and processes: an advisory lock on a file.

The operating system frees the lock when its holder dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final

_PAUSE: Final = 0.02
OWNER_ONLY: Final = 0o600


class FileLock:
    """An exclusive lock on `path`, which is created where it is missing; it is not reentrant."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def acquire(self, *, end: float) -> bool:
        """Take the lock, or return False if another holds it until `end`.

        Parameters
        ----------
        end : float
            When to give up, on the monotonic clock; a time in the past tries once.
        """
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if (left := end - time.monotonic()) <= 0:
                    os.close(handle)
                    return False
                time.sleep(min(_PAUSE, left))
            except BaseException:
                os.close(handle)
                raise
            else:
                self._handle = handle
                return True

    def release(self) -> None:
        """Free the lock; a second call does nothing."""
        if self._handle is not None:
            os.close(self._handle)
        self._handle = None
