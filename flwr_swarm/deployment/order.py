"""What a member asks of its relay: an app, how to run it, and whom to wait for."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .._exceptions import ConfigurationError
from .address import Address

WAIT_SECONDS: Final = 180.0
RETRIES: Final = 2


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a member asks of its relay.

    Parameters
    ----------
    app : Path
        Folder of the Flower app.
    config : tuple of str
        Overrides of the app's run config, as `flwr run --run-config` takes them.
    superlink : Address or None
        One that runs on this machine already; None for the site's own.
    needed : int or None
        Nodes to wait for; None for all whose keys the site knows.
    wait : float
        Seconds to wait for them; then those that the policy needs are enough.
    retries : int
        How often a run that did not complete is begun again. The swarm goes on from its chain.
    stream : callable or None
        Receives the run's log as it grows.
    """

    app: Path
    config: tuple[str, ...] = ()
    superlink: Address | None = None
    needed: int | None = None
    wait: float = WAIT_SECONDS
    retries: int = RETRIES
    stream: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        if self.wait < 0 or self.retries < 0 or (self.needed is not None and self.needed < 1):
            raise ConfigurationError(
                f"a relay waits 0 s or longer, tries again 0 times or more, for 1 node or more; "
                f"got {self.wait:g}, {self.retries} and {self.needed}"
            )


def config_of(app: Path) -> Mapping[str, Any]:
    """An app's own run config.

    Raises
    ------
    ConfigurationError
        The folder holds no Flower app.
    """
    try:
        project = tomllib.loads((app / "pyproject.toml").read_text(encoding="utf-8"))
        config = project["tool"]["flwr"]["app"].get("config", {})
    except (OSError, tomllib.TOMLDecodeError, KeyError, AttributeError):
        config = None
    if not isinstance(config, dict):
        raise ConfigurationError(
            f"{app} is no Flower app: it needs a pyproject.toml with [tool.flwr.app]"
        )
    return config
