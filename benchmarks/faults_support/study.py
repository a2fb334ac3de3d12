"""A consortium in processes, and a study on it: what faults act on, and what shows of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from flwr_swarm._exceptions import SwarmError
from flwr_swarm.chain.client import ReadOnlyLedger
from flwr_swarm.commands import policies
from flwr_swarm.deployment.cluster import Cluster
from flwr_swarm.deployment.consortium import Local
from flwr_swarm.deployment.probe import Wanted
from flwr_swarm.protocol.types import LedgerView

from . import models
from .relay_run import APP, RelayRun
from .scenario import Scenario

MEMBERS = 4
PATIENCE = 6.0
_LOOK = 0.15
_ENDLESS = 1000


class Study:
    """The processes of one group; leaving its context ends all of them.

    Parameters
    ----------
    folder : Path
        New.
    scenarios : sequence of Scenario
    """

    def __init__(self, folder: Path, scenarios: Sequence[Scenario]) -> None:
        self.scenarios = scenarios
        self.folder = folder
        wanted = Wanted.of(APP, MEMBERS)
        self.local = Local.create(
            folder / "local",
            members=MEMBERS,
            terms=wanted.terms,
            policy=lambda t: policies.adjusted(policies.default_policy(MEMBERS, t), wanted.policy),
        )
        self.cluster = Cluster(self.local, say=self.note, superlink=False, patience=PATIENCE)
        self.ledger = ReadOnlyLedger(
            url=self.cluster.url, contract=self.local.sites[0].settings().contract, timeout=1.0
        )
        self.view: LedgerView | None = None
        self.relays: list[RelayRun] = []
        self.scenario: Scenario = scenarios[0]
        self.round = 0
        self.absent: set[str] = set()
        self.later: list[tuple[float, Callable[[], object]]] = []
        self.memo: dict[str, Any] = {}
        self.undo: list[Callable[[], object]] = []
        self._orders: dict[str, dict[str, dict[str, Any]]] = {}

    def __enter__(self) -> Study:
        self.cluster.__enter__()
        try:
            self.cluster.start()
        except BaseException:
            self.cluster.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for done in [*(late for _, late in self.later), *(r.end for r in self.relays)]:
                self._tried(done)
            for undo in self.undo:
                self._tried(undo)
        finally:
            self.cluster.__exit__(None, None, None)

    @property
    def relay(self) -> RelayRun:
        """The one that was started last."""
        return self.relays[-1]

    def start_relay(self, name: str, *, nodes: int | None = None) -> None:
        """`flwr-swarm relay` at member `name`."""
        rounds = len(self.scenarios) if self.scenarios[-1].final else _ENDLESS
        folder = self.local.sites[self.local.names.index(name)]
        self.relays.append(
            RelayRun(
                folder,
                rounds=rounds,
                nodes=nodes or MEMBERS - len(self.absent),
                log=self.folder / f"relay-{len(self.relays)}-{name}.log",
            )
        )

    def hold_down(self, name: str) -> None:
        """Let a site's keeper start nothing until `bring_back`."""
        self.cluster.nodes[name].tick()
        self.cluster.nodes[name].stop()
        self.absent.add(name)

    def bring_back(self, name: str) -> None:
        """The keeper starts the site again."""
        self.absent.discard(name)
        self.cluster.nodes[name].begin()

    def order(self, who: str, key: str, told: dict[str, Any]) -> None:
        """Write what members or relays do at `key`, which is round/phase."""
        names = list(self.local.names) if who in {"all", "relay"} else list(who)
        for name in names:
            place = self.local.sites[self.local.names.index(name)]
            path = (place.relay if who == "relay" else place.work) / "orders.json"
            mine = self._orders.setdefault(str(path), {})
            mine.setdefault(key, {}).update(told)
            aside = path.with_suffix(".new")  # whoever reads it, reads all of it
            aside.write_text(json.dumps(mine), encoding="utf-8")
            aside.replace(path)

    def was_asked(self, phase: str) -> bool:
        """Whether a member has got the round's message of this phase."""
        asked = f"at-{self.round}-{phase}"
        return any((site.work / asked).exists() for site in self.local.sites)

    def has_model(self, number: int | None = None) -> bool:
        """Whether some relay opened this round, or a later one."""
        least = self.round if number is None else number
        return any(
            line["status"] == "certified" and line["round"] >= least
            for line in models.evidence_lines(self.local)
        )

    def look(self) -> None:
        """Look after the processes, do what is due, read the ledger."""
        self.cluster.tick()
        for entry in [entry for entry in self.later if entry[0] <= time.monotonic()]:
            self.later.remove(entry)
            self._tried(entry[1])
        with suppress(SwarmError):
            self.view = self.ledger.view()
        time.sleep(_LOOK)

    def note(self, text: str) -> None:
        """A line of what keepers and the benchmark did."""
        with (self.folder / "events.log").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    def events(self) -> str:
        """Those lines."""
        path = self.folder / "events.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def _tried(self, act: Callable[[], object]) -> None:
        """What puts things right must not keep the rest from being put right."""
        try:
            act()
        except Exception as error:  # it is in the log
            self.note(f"could not be done: {type(error).__name__}: {error}")
