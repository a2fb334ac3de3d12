"""A site's SuperNode: tries its relays in turn, and stays with the first that answers."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Final

from .._exceptions import FlowerRunError
from ..flower.compat import deactivate_node
from . import surroundings
from .address import LOOPBACK, Address
from .child import Child
from .flower import toml
from .keeper import NotYet
from .layout import SiteFolder, node_config
from .node_keys import load_private
from .reach import why_not
from .relays import Relays
from .run_supernode import APPS
from .settings import Settings

PATIENCE_SECONDS: Final = 20.0
"""How long a relay may be away before the site looks for another."""
AWAY_SECONDS: Final = 8.0
"""How long a node stays away after a crash: the relay asks every 3 s whether a node that owes an
answer is there, and must hear once that it is not. Else the trip waits to its limit."""
_CONNECTED: Final = re.compile(r"SuperNode ID: (\d+)")


class SuperNode:
    """Starts the SuperNode of one site.

    Parameters
    ----------
    folder : SiteFolder
    settings : Settings
    relays : tuple of Address
        In the order in which they are tried.
    mark : str
        Names all processes of this start.
    say : callable
        Receives one line for each relay that does not answer.
    patience : float
        Seconds that a relay may be away.
    """

    def __init__(
        self,
        folder: SiteFolder,
        settings: Settings,
        relays: tuple[Address, ...],
        *,
        mark: str,
        say: Callable[[str], None],
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._relays = Relays(relays)
        self._mark = mark
        self._say = say
        self._patience = patience
        self._apps = folder.pinned_apps()
        self._child: Child | None = None
        self._numbers: dict[Address, int] = {}

    @property
    def name(self) -> str:
        """For the log."""
        return f"SuperNode of {self._settings.name}"

    @property
    def apps(self) -> str:
        """Which code the site runs, in words."""
        if not self._apps:
            return f"runs whatever app a relay sends; {self._folder.apps} is empty"
        return "runs only " + ", ".join(f"{name} ({h[:8]})" for name, h in self._apps.items())

    @property
    def relay(self) -> Address:
        """The relay that it is with, or tries next."""
        return self._relays.current

    def start(self) -> Child:
        """Start it with the first relay that answers.

        Raises
        ------
        NotYet
            None does.
        """
        wrong = []
        for address in self._relays.in_turn():
            why = why_not(address, self._folder.trust_root)
            if why is None:
                self._relays.use(address)
                self._child = self._spawn(address)
                return self._child
            wrong.append(f"{address}: {why}")
        raise NotYet(f"no relay answers ({'; '.join(wrong)})")

    def is_ready(self) -> bool:
        """Whether the relay let it in."""
        number = self._number()
        if number is None:
            return False
        self._numbers[self._relays.current] = number
        return True

    def ended(self, code: int) -> float:
        """Tell the relay that the node is gone, or go on to the next one."""
        connected, address = self._number(), self._relays.current
        if connected is None:
            self._say(f"{self.name}: {address} did not let it in ({_reason(self._child)})")
            self._forget(address)
            self._relays.give_up(address)
            return 0.0
        self._numbers[address] = connected
        if why_not(address, self._folder.trust_root) is not None:
            return 0.0
        return AWAY_SECONDS if self._forget(address) or code != 0 else 0.0

    def _forget(self, address: Address) -> bool:
        """Whether the relay had counted the node as connected."""
        number = self._numbers.get(address)
        if number is None:
            return False
        try:
            deactivate_node(
                str(address),
                self._folder.trust_root.read_bytes(),
                load_private(self._folder.node_key),
                number,
            )
        except FlowerRunError:
            return False  # it ended in order, or the relay begins anew
        return True

    def _number(self) -> int | None:
        found = _CONNECTED.search(self._child.output()) if self._child is not None else None
        return None if found is None else int(found.group(1))

    def _spawn(self, address: Address) -> Child:
        folder, settings = self._folder, self._settings
        folder.make_working_folders()
        config = folder.flower.resolve() / "node.toml"
        lines = (
            f"{toml(key)} = {toml(value)}" for key, value in node_config(folder, settings).items()
        )
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "flwr_swarm.deployment.run_supernode"]
        command += ["--root-certificates", str(folder.trust_root.resolve())]
        command += ["--superlink", str(address), "--max-wait-time", f"{self._patience:g}"]
        command += ["--auth-supernode-private-key", str(folder.node_key.resolve())]
        command += ["--host", LOOPBACK, "--port", str(settings.node_port)]
        command += ["--node-config", str(config), "--isolation", "subprocess"]
        environment = surroundings.of_site(
            folder, role=f"supernode:{settings.name}", mark=self._mark
        )
        if self._apps:
            environment[APPS] = " ".join(self._apps.values())
        return Child.spawn(
            command, env=environment, folder=folder.work, log=folder.logs / "supernode.log"
        )


def _reason(child: Child | None) -> str:
    """What Flower says of it, in a line."""
    lines = [line.strip() for line in (child.output() if child else "").splitlines()]
    told = [line for line in lines if "code:" in line or "Failed to" in line or "Error" in line]
    return told[-1][:200] if told else "it ended before it was connected"
