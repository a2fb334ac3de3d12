"""One run of an app on a SuperLink, from `flwr run` to its status."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .._exceptions import FlowerRunError
from .flower import RunConfig, end_of, overrides, program

COMPLETED: Final = "finished:completed"
_STARTED: Final = "Successfully started run "
_POLL_SECONDS: Final = 0.2
_ASK_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Runs apps on the SuperLink that is the default in `env`'s FLWR_HOME.

    Parameters
    ----------
    env : mapping
        Environment of Flower's commands.
    folder : Path
        Where they work.
    """

    env: Mapping[str, str] = field(repr=False)
    folder: Path

    def run(
        self,
        app: Path,
        config: RunConfig,
        *,
        log: Path,
        every: Callable[[], None] = lambda: None,
        more: Sequence[str] = (),
    ) -> None:
        """Run the app in folder `app` to its end.

        Parameters
        ----------
        app : Path
            Folder with the app's `pyproject.toml`.
        config : mapping
            Overrides of its run config; every key must exist there.
        log : Path
            File that receives Flower's log.
        every : callable
            Called a few times a second while the run goes on.
        more : sequence of str
            Further options for `flwr run`.

        Raises
        ------
        FlowerRunError
            If the run did not complete; the message holds the end of its log.
        """
        command = [program("flwr"), "run", str(app), "--stream", *more]
        if config:
            command += ["--run-config", overrides(config)]
        with log.open("wb") as sink:
            done = self._watch(command, sink.fileno(), every, log)
        if done != 0:
            raise FlowerRunError(f"flwr run {app.name} ended with code {done}; {end_of(log)}")
        run = started(log)
        if run is None:
            raise FlowerRunError(f"flwr run {app.name} did not start a run; {end_of(log)}")
        status, details = self.status(run)
        if status != COMPLETED:
            raise FlowerRunError(
                f"the run of {app.name} ended as {status} ({details}); {end_of(log)}"
            )

    def status(self, run: str) -> tuple[str, str]:
        """(status, details) of a run, as Flower names them.

        Raises
        ------
        FlowerRunError
            The SuperLink does not know it.
        """
        text = self._ask("list", "--run-id", run, "--format", "json")
        try:
            found = json.loads(text)["runs"][0]
            return str(found["status"]), str(found["status-details"])
        except (ValueError, LookupError):
            raise FlowerRunError(f"flwr list does not know run {run}: {text[:200]!r}") from None

    def stop(self, run: str) -> None:
        """Stop a run that goes on; one that ended stays as it is. Best effort, within a minute."""
        with suppress(FlowerRunError):
            self._ask("stop", run)

    def _ask(self, *words: str) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - a program of this environment
                [program("flwr"), *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                env=dict(self.env),
                cwd=self.folder,
                check=False,
                timeout=_ASK_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise FlowerRunError(
                f"flwr {words[0]} had no answer from the SuperLink within {_ASK_SECONDS:.0f} s"
            ) from None
        return done.stdout

    def _watch(self, command: list[str], sink: int, every: Callable[[], None], log: Path) -> int:
        # A session of its own: the terminal's Ctrl-C is for us, we end the others in order.
        with subprocess.Popen(  # noqa: S603 - a program of this environment
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=dict(self.env),
            cwd=self.folder,
            start_new_session=True,
        ) as flwr:
            try:
                while True:
                    every()
                    try:
                        flwr.wait(timeout=_POLL_SECONDS)
                    except subprocess.TimeoutExpired:
                        continue
                    every()
                    return flwr.returncode
            finally:
                if flwr.poll() is None:
                    flwr.kill()


def started(log: Path) -> str | None:
    """Number of the run that a log says was started."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return text.split(_STARTED, 1)[1].split(maxsplit=1)[0] if _STARTED in text else None


class Tail:
    """Hands on what is added to a log."""

    def __init__(self, log: Path, sink: Callable[[str], None] | None) -> None:
        self._log = log
        self._sink = sink
        self._at = 0

    def look(self) -> None:
        """Hand on what is new, in whole lines."""
        if self._sink is None or not self._log.exists():
            return
        with self._log.open("rb") as file:
            if self._at > file.seek(0, 2):
                self._at = 0
            file.seek(self._at)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        if whole:
            self._sink(whole.decode("utf-8", errors="replace"))
