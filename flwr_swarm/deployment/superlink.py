"""A relay's SuperLink: TLS, and only nodes whose keys the relay knows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Final

from .._exceptions import ConfigurationError, FlowerRunError
from ..flower.compat import Control
from . import surroundings
from .address import LOOPBACK, Address
from .child import Child
from .flower import configure
from .layout import SiteFolder
from .node_keys import as_pem
from .reach import why_not
from .settings import Settings

CONNECTION: Final = "relay"
"""What Flower's configuration calls the relay's own SuperLink."""
_WILDCARDS: Final = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 - not bound here


class SuperLink:
    """Starts the SuperLink of one relay session, and says whose nodes may connect.

    Parameters
    ----------
    folder : SiteFolder
        Of the member that relays.
    settings : Settings
    mark : str
        Names all processes of this start.
    say : callable
        Receives one line for each node that is let in or shut out.

    Raises
    ------
    ConfigurationError
        The site has no certificate to relay with, or knows no nodes.
    """

    def __init__(
        self, folder: SiteFolder, settings: Settings, *, mark: str, say: Callable[[str], None]
    ) -> None:
        if settings.relay is None:
            raise ConfigurationError(
                f"{folder.settings_file} names no address at which others reach this site as a "
                'relay; set "relay": "host:port" there'
            )
        for path in (folder.certificate, folder.certificate_key, folder.trust_root):
            if not path.is_file():
                raise ConfigurationError(
                    f"{path} is missing: to relay, a site needs a certificate that the others' "
                    "trust root has signed; see docs/deployment.md"
                )
        if not folder.known_nodes():
            raise ConfigurationError(
                f"{folder.nodes} holds no node keys; put every member's node.pub there as NAME.pub"
            )
        self._folder = folder
        self._settings = settings
        self._port = settings.relay.port
        self._mark = mark
        self._say = say

    @property
    def name(self) -> str:
        """For the log."""
        return f"SuperLink of {self._settings.name}"

    @property
    def address(self) -> Address:
        """Where this machine reaches it, by a name that its certificate holds."""
        return local_address(self._settings)

    def start(self) -> Child:
        """Start it; its database survives until `forget_relaying`."""
        folder = self._folder
        folder.make_working_folders()
        command = [sys.executable, "-m", "flwr_swarm.deployment.run_superlink"]
        command += ["--ssl-ca-certfile", str(folder.trust_root.resolve())]
        command += ["--ssl-certfile", str(folder.certificate.resolve())]
        command += ["--ssl-keyfile", str(folder.certificate_key.resolve())]
        command += ["--enable-supernode-auth", "--isolation", "subprocess"]
        command += ["--host", self._settings.bind, "--port", str(self._port)]
        command += ["--database", str(folder.database.resolve())]
        return Child.spawn(
            command, env=self._environment(), folder=folder.relay, log=folder.logs / "superlink.log"
        )

    def is_ready(self) -> bool:
        """Whether it answers and knows whose nodes may connect."""
        if why_not(self.address, self._folder.trust_root) is not None:
            return False
        try:
            admit(self._folder, self.address, self._say)
        except FlowerRunError as error:
            self._say(f"{self.name}: {error}")
            return False
        return True

    def ended(self, _code: int) -> float:
        """Nothing keeps it from coming back at once."""
        return 0.0

    def configure(self) -> dict[str, str]:
        """Point Flower's commands at it; returns the environment in which they do."""
        configure(
            self._folder.flower.resolve(),
            CONNECTION,
            address=str(self.address),
            root=self._folder.trust_root,
        )
        return self._environment()

    def _environment(self) -> dict[str, str]:
        return surroundings.of_relay(
            self._folder,
            role=f"superlink:{self._settings.name}",
            mark=self._mark,
            chain=self._settings.chain,
            contract=self._settings.contract,
        )


def local_address(settings: Settings) -> Address:
    """Where a relay's own machine reaches its SuperLink."""
    assert settings.relay is not None  # noqa: S101 - SuperLink looked
    bound = _WILDCARDS.get(settings.bind, settings.bind)
    return Address(bound, settings.relay.port)


def admit(folder: SiteFolder, address: Address, say: Callable[[str], None]) -> None:
    """Make the SuperLink's list of nodes the same as the folder's.

    Raises
    ------
    ConfigurationError
        A file holds no key that Flower takes.
    FlowerRunError
        The SuperLink does not answer.
    """
    wanted = {as_pem(key, str(name)): name for name, key in folder.known_nodes().items()}
    with Control(str(address), folder.trust_root.read_bytes()) as control:
        there: Mapping[bytes, int] = {node.public_key: node.number for node in control.nodes()}
        for key, number in there.items():
            if key not in wanted:
                control.unregister(number)
                say(f"node {number} is shut out: its key is not in {folder.nodes}")
        for key, name in wanted.items():
            if key not in there:
                number = control.register(key, name)
                say(f"node {number} may connect: {name}")
