"""`flwr-swarm relay` at one member, as a process."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from flwr_swarm.deployment import processes
from flwr_swarm.deployment.layout import SiteFolder

from . import words

APP = Path(__file__).parent.parent / "faults_app"
_END_SECONDS = 30.0


class RelayRun:
    """Started at once; what it says is in `log`.

    Parameters
    ----------
    folder : SiteFolder
        Of the member that relays.
    rounds : int
    nodes : int
        Whom to wait for.
    log : Path
    """

    def __init__(self, folder: SiteFolder, *, rounds: int, nodes: int, log: Path) -> None:
        self.folder, self.log = folder, log
        command = [sys.executable, "-m", "flwr_swarm.cli", "relay", str(APP), "--json", "--stream"]
        command += ["--dir", str(folder.path), "--retries", "6", "--nodes", str(nodes)]
        command += ["--wait", "60", "--run-config", f"rounds={rounds}"]
        with log.open("ab") as sink:
            self.process = subprocess.Popen(  # noqa: S603 - this interpreter
                command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
            )

    @property
    def code(self) -> int | None:
        """Exit code, None while it runs."""
        return self.process.poll()

    def kill(self) -> None:
        """kill -9 of the command and of everything that it started, as a dead machine would."""
        self.process.kill()
        self.process.wait()
        mark = self.folder.path / "relay.mark"
        if mark.exists():
            for found in processes.family(mark.read_text(encoding="ascii").strip()):
                try:
                    processes.os.kill(found.pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue

    def end(self) -> None:
        """End it in order, and whatever is left of it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        mark = self.folder.path / "relay.mark"
        if mark.exists():
            processes.end(mark.read_text(encoding="ascii").strip())

    def text(self) -> str:
        """What it said, without colours."""
        return words.read(self.log)
