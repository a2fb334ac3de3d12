"""One member's SuperNode on a machine of its own, kept running with whichever relay answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Self

from .._exceptions import ConfigurationError
from .address import Address
from .backoff import Backoff
from .flower import undisturbed
from .keeper import Keeper
from .layout import SiteFolder
from .node_keys import load_private
from .session import Session
from .supernode import PATIENCE_SECONDS, SuperNode

_TICK_SECONDS: Final = 0.2


class Site:
    """Keeps a site's SuperNode. Use it as a context manager: leaving ends it.

    Parameters
    ----------
    folder : SiteFolder
    relays : tuple of Address
        Empty for those of the site's settings.
    say : callable
        Receives one line for each event.
    restart : bool
        Whether a SuperNode that ended is started again.
    patience : float
        Seconds that a relay may be away before the site looks for another.

    Raises
    ------
    ConfigurationError
        The folder is no site's, or lacks what a site needs.
    """

    def __init__(
        self,
        folder: SiteFolder,
        relays: tuple[Address, ...] = (),
        *,
        say: Callable[[str], None],
        restart: bool = True,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        settings = folder.settings()
        load_private(folder.node_key)
        if not folder.trust_root.is_file():
            raise ConfigurationError(
                f"{folder.trust_root} is missing: put the certificate there of the authority that "
                "signs the relays' certificates"
            )
        if not folder.keys.is_dir():
            raise ConfigurationError(
                f"{folder.keys} is missing: make the member's keys with flwr-swarm member keygen "
                f"--dir {folder.keys}"
            )
        self._session = Session(folder.path, "site")
        self.node = SuperNode(
            folder,
            settings,
            relays or settings.relays,
            mark=self._session.mark,
            say=say,
            patience=patience,
        )
        self.keeper = Keeper(self.node, say=say, restart=restart, backoff=Backoff())

    def __enter__(self) -> Self:
        self._session.__enter__()
        self.keeper.begin()
        return self

    def __exit__(self, *_: object) -> None:
        with undisturbed():
            try:
                self.keeper.stop()
            finally:
                self._session.__exit__()

    def run(self, until: Callable[[], bool]) -> None:
        """Look after it until something holds."""
        while not until():
            self.keeper.tick()
            time.sleep(_TICK_SECONDS)
