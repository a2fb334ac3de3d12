"""The development chain of a consortium on one machine, as a process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .._exceptions import SwarmError
from ..commands.connection import chain_id_of
from . import processes
from .address import LOOPBACK
from .child import Child
from .surroundings import ROLE, without_password

_ASK_SECONDS = 1.0


class ChainProcess:
    """Starts `flwr-swarm chain serve` on one folder and one port."""

    def __init__(self, folder: Path, port: int, *, chain_id: int, log: Path, mark: str) -> None:
        self._folder = folder
        self._port = port
        self._chain_id = chain_id
        self._log = log
        self._mark = mark

    @property
    def name(self) -> str:
        """For the log."""
        return "chain"

    @property
    def url(self) -> str:
        """Its JSON-RPC address."""
        return f"http://{LOOPBACK}:{self._port}"

    def start(self) -> Child:
        """Start it; what it acknowledged before is there again."""
        command = [sys.executable, "-m", "flwr_swarm.cli", "chain", "serve"]
        command += ["--dir", str(self._folder.resolve()), "--port", str(self._port)]
        command += ["--chain-id", str(self._chain_id)]
        environment = without_password(os.environ) | {processes.MARK: self._mark, ROLE: "chain"}
        return Child.spawn(command, env=environment, folder=self._folder.parent, log=self._log)

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            chain_id_of(self.url, None, _ASK_SECONDS)
        except SwarmError:
            return False
        return True

    def ended(self, _code: int) -> float:
        """Nothing keeps it from coming back at once."""
        return 0.0
