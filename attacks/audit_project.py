"""A user's Flower project as something to audit: its own train function, at two of its sites.

What the project's ServerApp would send is taken from its own strategy; its ClientApp answers in
this process. Only `swarm_mod` stands aside: an audit is no member of a swarm.
"""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import Strategy

import flwr_swarm
from flwr_swarm import privacy
from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.mod import SwarmMod
from flwr_swarm.privacy import engine
from flwr_swarm.strategy import SwarmStrategy
from flwr_swarm.testing import InProcessGrid

from .audit import MakePrivate, Trainer

_MODULES = (flwr_swarm, privacy, engine)
"""Where a project may import `make_private` from."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Project:
    """A project that `opened` loaded.

    Parameters
    ----------
    config : mapping
        Its run config.
    sites : int
        Sites that its strategy waits for, two at least.
    """

    config: Mapping[str, Any]
    sites: int
    client: ClientApp = field(repr=False)
    messages: list[Message] = field(repr=False)
    slot: list[MakePrivate] = field(repr=False)

    def context(self, site: int) -> Context:
        """A new context of one of the sites, from 0."""
        return Context(
            run_id=1,
            node_id=1000 + site,
            node_config={"partition-id": site, "num-partitions": self.sites},
            state=RecordDict(),
            run_config=dict(self.config),
        )

    def trainer(self) -> Trainer:
        """Trains one round as the project's ClientApp does when the first train message comes."""

        def train(context: Context, make_private: MakePrivate) -> None:
            self.slot[:] = [make_private]
            message = next(m for m in self.messages if m.metadata.dst_node_id == context.node_id)
            self.client(message, context)

        return train


@contextmanager
def opened(folder: Path, *, overrides: Mapping[str, Any] | None = None) -> Iterator[Project]:
    """Load the Flower app in `folder`, and ask its ServerApp what it would send.

    The project's code runs in this process, as `flwr run` would run it.

    Raises
    ------
    ConfigurationError
        If the folder holds no Flower app, or its ServerApp starts no strategy.
    """
    apps, config = _described(folder)
    unknown = sorted(set(overrides or {}) - set(config))
    if unknown:
        raise ConfigurationError(f"the project's run config has no {unknown[0]!r}")
    config |= overrides or {}
    slot: list[MakePrivate] = []

    def dispatched(*args: Any, **options: Any) -> tuple[Any, Any, Any]:
        return slot[0](*args, **options)

    with ExitStack() as stack:
        for module in _MODULES:
            stack.enter_context(patch.object(module, "make_private", dispatched, create=True))
        stack.enter_context(patch.object(SwarmMod, "__call__", _aside))
        stack.enter_context(_importable(folder))
        client, server = (_loaded(apps, kind) for kind in ("clientapp", "serverapp"))
        strategy, arrays, asked = _started(server, client, config)
        sites = max(2, int(getattr(strategy, "min_available_nodes", 2)))
        grid = InProcessGrid(client, nodes=sites, run_config=config)
        messages = list(strategy.configure_train(1, arrays, asked, grid))
        if {m.metadata.dst_node_id for m in messages} < {1000, 1001}:
            raise ConfigurationError(
                "the project's strategy does not train all of its sites in a round; audit it with "
                "fraction_train=1.0"
            )
        yield Project(config=config, sites=sites, client=client, messages=messages, slot=slot)


class _Started(BaseException):
    """Ends a ServerApp where training would begin; a project's `except Exception` lets it by."""


def _started(
    server: ServerApp, client: ClientApp, config: Mapping[str, Any]
) -> tuple[Strategy, ArrayRecord, ConfigRecord]:
    found: list[Any] = []

    def start(
        self: Any,
        grid: Any,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        *_: Any,
        **options: Any,
    ) -> None:
        inner = self._wrapped.strategy if isinstance(self, SwarmStrategy) else self
        found.extend((inner, initial_arrays, train_config or ConfigRecord()))
        raise _Started

    context = Context(
        run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config=dict(config)
    )
    with (
        patch.object(Strategy, "start", start),
        patch.object(SwarmStrategy, "start", start),
    ):
        try:
            server(InProcessGrid(client, nodes=2, run_config=config), context)
        except _Started:
            return found[0], found[1], found[2]
    raise ConfigurationError(
        "the project's ServerApp ended without starting a strategy; an audit needs the model that "
        "its strategy.start(grid, initial_arrays, ...) would send"
    )


def _aside(_mod: Any, message: Message, context: Context, call_next: Any) -> Any:
    return call_next(message, context)


def _described(folder: Path) -> tuple[dict[str, str], dict[str, Any]]:
    try:
        described = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        app = described["tool"]["flwr"]["app"]
        components = {str(k): str(v) for k, v in app["components"].items()}
        return components, dict(_flat(app.get("config", {})))
    except (OSError, KeyError, AttributeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(
            f"{folder} holds no Flower app that can be audited ({type(error).__name__}); name the "
            "folder of its pyproject.toml"
        ) from None


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _loaded(components: Mapping[str, str], kind: str) -> Any:
    name, _, attribute = components.get(kind, "").partition(":")
    if not (name and attribute):
        raise ConfigurationError(f"the project names no {kind} as module:attribute")
    try:
        return getattr(importlib.import_module(name), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"the project's {kind} {name}:{attribute} cannot be imported: {error}"
        ) from None


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Put `folder` first on the path; afterwards forget what was imported from it."""
    root, before = folder.resolve(), dict(sys.modules)
    packages = {path.name.removesuffix(".py") for path in root.iterdir()}
    for name in [name for name in sys.modules if name.split(".")[0] in packages]:
        del sys.modules[name]  # another project's package of the same name
    sys.path.insert(0, str(root))
    try:
        yield
    finally:
        sys.path.remove(str(root))
        for name in [name for name in sys.modules if name.split(".")[0] in packages]:
            del sys.modules[name]
        sys.modules.update({n: m for n, m in before.items() if n not in sys.modules})
