"""A consortium's processes on one machine: chain, one SuperLink, and a SuperNode for each member."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Final, Self

from .._exceptions import ConfigurationError, FolderInUse
from ..chain.locks import FileLock
from . import processes
from .address import is_free
from .backoff import Backoff
from .chain_process import ChainProcess
from .consortium import Local
from .flower import undisturbed
from .keeper import Keeper
from .superlink import SuperLink
from .supernode import PATIENCE_SECONDS, SuperNode

START_SECONDS: Final = 120.0
_TICK_SECONDS: Final = 0.2
_LOCK: Final = "up.lock"
_MARK: Final = "up.mark"


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
        self.mark = secrets.token_hex(8)
        self._say = say
        self._lock = FileLock(local.path / _LOCK)
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
        if not self._lock.acquire(end=0.0):
            raise FolderInUse(
                f"another flwr-swarm up runs on {self.local.path}; end that one first"
            )
        try:
            self._clear()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with undisturbed():
            try:
                for keeper in reversed(self.keepers):
                    keeper.stop()
            finally:
                processes.end(self.mark)
                self._lock.release()

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

    def _clear(self) -> None:
        """End what an `up` left that was killed itself, and see that the ports are free."""
        remembered = self.local.path / _MARK
        if remembered.exists():
            processes.end(remembered.read_text(encoding="ascii").strip())
        remembered.write_text(self.mark, encoding="ascii")
        ports = {"the chain": self.local.chain_port, "the relay": self.relay.port}
        for name, folder in zip(self.local.names, self.local.sites, strict=True):
            ports[f"the node of {name}"] = folder.settings().node_port
        for what, port in ports.items():
            if not is_free(port):
                raise ConfigurationError(
                    f"port {port} of {what} is taken by another process; end that one, or begin "
                    "with a new folder"
                )
