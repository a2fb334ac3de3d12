"""A consortium's processes on one machine: chain, one SuperLink, and every member's SuperNode."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, Self

from .._exceptions import ConfigurationError
from .address import is_free
from .backoff import Backoff
from .chain_process import ChainProcess
from .consortium import Local
from .flower import undisturbed
from .keeper import Keeper
from .session import Session
from .superlink import SuperLink
from .supernode import PATIENCE_SECONDS, SuperNode

START_SECONDS: Final = 120.0
_TICK_SECONDS: Final = 0.2


class Cluster:
    """Starts and keeps all of it. Use it as a context manager: leaving ends everything.

    Parameters
    ----------
    local : Local
    say : callable
        Receives one line for each event.
    restart : bool
        Whether what dies is started again.
    superlink : bool
        Whether to run the first member's SuperLink.
    patience : float
        Seconds that a relay may be away before sites look for another.

    Raises
    ------
    FolderInUse
        Another `flwr-swarm up` runs on the folder.
    """

    def __init__(
        self,
        local: Local,
        *,
        say: Callable[[str], None],
        restart: bool = True,
        superlink: bool = True,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.local = local
        self._session = Session(local.path, "up")
        self.mark = self._session.mark
        self._say = say
        self._stack = ExitStack()
        backoff = Backoff(first=1.0, most=15.0)

        def kept(service: ChainProcess | SuperLink | SuperNode) -> Keeper:
            return Keeper(service, say=say, restart=restart, backoff=backoff)

        chain = ChainProcess(
            local.chain_folder,
            local.chain_port,
            chain_id=local.chain_id,
            log=local.logs / "chain.log",
            mark=self.mark,
        )
        self.url = chain.url
        self.chain = kept(chain)
        settings = {folder: folder.settings() for folder in local.sites}
        first = local.sites[0]
        link = SuperLink(first, settings[first], mark=self.mark, say=say)
        self.relay = link.address
        self.superlink = kept(link) if superlink else None
        self.nodes = {
            name: kept(
                SuperNode(
                    folder,
                    settings[folder],
                    settings[folder].relays,
                    mark=self.mark,
                    say=say,
                    patience=patience,
                )
            )
            for name, folder in zip(local.names, local.sites, strict=True)
        }

    @property
    def keepers(self) -> tuple[Keeper, ...]:
        """All of them, in the order in which they start."""
        links = () if self.superlink is None else (self.superlink,)
        return (self.chain, *links, *self.nodes.values())

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._session)
            for folder in self.local.sites:
                stack.enter_context(Session(folder.path, "site", mark=self.mark))
            self._check_ports()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with undisturbed(), self._stack:
            for keeper in reversed(self.keepers):
                keeper.stop()

    def start(self, seconds: float = START_SECONDS) -> None:
        """Start everything, found the consortium if it is new, and wait until all work.

        Raises
        ------
        ConfigurationError
            Something is not ready within the limit.
        """
        end = time.monotonic() + seconds
        self._begin([self.chain], end)
        contract = self.local.found(self.url)
        self._say(f"contract {contract} on chain {self.local.chain_id}")
        if self.superlink is not None:
            self.local.sites[0].forget_relaying()
            self._begin([self.superlink], end)
            self._begin(list(self.nodes.values()), end)
        else:
            for keeper in self.nodes.values():
                keeper.begin()

    def tick(self) -> None:
        """Look after all of it once; call it a few times a second."""
        for keeper in self.keepers:
            keeper.tick()

    def run(self, until: Callable[[], bool], seconds: float | None = None) -> bool:
        """Look after all of it until something holds; False if it does not within `seconds`."""
        end = None if seconds is None else time.monotonic() + seconds
        while not until():
            if end is not None and time.monotonic() > end:
                return False
            self.tick()
            time.sleep(_TICK_SECONDS)
        return True

    def _begin(self, keepers: list[Keeper], end: float) -> None:
        for keeper in keepers:
            keeper.begin()
        left = end - time.monotonic()
        if not self.run(lambda: all(keeper.ready for keeper in keepers), left):
            missing = ", ".join(keeper.name for keeper in keepers if not keeper.ready)
            raise ConfigurationError(
                f"not ready in time: {missing}; their logs are below {self.local.path} in logs"
            )

    def _check_ports(self) -> None:
        ports = {"the chain": self.local.chain_port, "the relay": self.relay.port}
        for name, folder in zip(self.local.names, self.local.sites, strict=True):
            ports[f"the node of {name}"] = folder.settings().node_port
        for what, port in ports.items():
            if not is_free(port):
                raise ConfigurationError(
                    f"port {port} of {what} is taken by another process; end that one, or begin "
                    "with a new folder"
                )
