"""One process that we started: its log, its number, and its end."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from ..keystore.files import FILE_MODE

GRACE_SECONDS: Final = 10.0
_TAIL_BYTES: Final = 64 * 1024


class Child:
    """A process in a session of its own, so that the terminal's Ctrl-C is for us alone.

    Parameters
    ----------
    process : subprocess.Popen
    log : Path
        Where its output goes.
    start : int
        Size of the log before it began.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path, start: int) -> None:
        self._process = process
        self.log = log
        self._start = start

    @classmethod
    def spawn(
        cls, command: Sequence[str], *, env: Mapping[str, str], folder: Path, log: Path
    ) -> Self:
        """Start `command` in `folder`; its output is appended to `log`."""
        with log.open("ab") as sink:
            log.chmod(FILE_MODE)
            start = sink.tell()
            process = subprocess.Popen(  # noqa: S603 - a program of this environment
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=folder,
                start_new_session=True,
            )
        return cls(process, log, start)

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit code, or None while it lives."""
        return self._process.poll()

    def output(self) -> str:
        """What it has written, at most the first and the last 64 KiB."""
        with self.log.open("rb") as file:
            file.seek(self._start)
            head = file.read(_TAIL_BYTES)
            end = file.seek(0, 2)
            if end - self._start > _TAIL_BYTES:
                file.seek(max(end - _TAIL_BYTES, self._start + _TAIL_BYTES))
                head += file.read()
        return head.decode("utf-8", errors="replace")

    def end(self, grace: float = GRACE_SECONDS) -> None:
        """Ask it to end; kill it if it has not after `grace` seconds."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """kill -9, as a crash would."""
        self._process.kill()
        self._process.wait()
