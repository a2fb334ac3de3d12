"""A consortium in processes, a study on it, and faults one after the other while it trains."""

from __future__ import annotations

import json
import math
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
from flwr_swarm.protocol.types import LedgerView, Phase

from . import judge
from .relay_run import APP, RelayRun
from .scenario import BEGIN, Record, Scenario

MEMBERS = 4
LIMIT = 180.0
"""Seconds after a fault without a new model: then the scenario hangs."""
START_LIMIT = 150.0
"""Seconds for the round in which the fault is to happen."""
PATIENCE = 6.0
_LOOK = 0.15
_ENDLESS = 1000


class Study:
    """Runs the scenarios of one group; leaving its context ends all processes.

    Parameters
    ----------
    folder : Path
        New.
    scenarios : sequence of Scenario
    say : callable
    keep : callable
        Receives the records so far, which are judged only once the study has ended.
    until : float
        Time of the monotonic clock after which no scenario begins.
    """

    def __init__(
        self,
        folder: Path,
        scenarios: Sequence[Scenario],
        say: Callable[[str], None],
        *,
        keep: Callable[[Sequence[Record]], None] = lambda _: None,
        until: float = math.inf,
    ) -> None:
        self.scenarios, self.say = scenarios, say
        self._keep, self._until = keep, until
        self.folder = folder
        wanted = Wanted.of(APP, MEMBERS)
        self.local = Local.create(
            folder / "local",
            members=MEMBERS,
            terms=wanted.terms,
            policy=lambda t: policies.adjusted(policies.default_policy(MEMBERS, t), wanted.policy),
        )
        self.cluster = Cluster(self.local, say=self._note, superlink=False, patience=PATIENCE)
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
        self._events: list[str] = []

    # --- what acts use ----------------------------------------------------------------------

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
            path.write_text(json.dumps(mine), encoding="utf-8")

    # --- the course -------------------------------------------------------------------------

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
            for _, done in self.later:
                done()
            for relay in self.relays:
                relay.end()
            for undo in self.undo:
                undo()
        finally:
            self.cluster.__exit__(None, None, None)

    def run(self) -> list[Record]:
        """Records of the scenarios that came to an end, or did not; stops at the first hang."""
        records: list[Record] = []
        for name in self.scenarios[0].group.split("-without-")[1:]:
            self.hold_down(name)
        self.start_relay("a")
        for scenario in self.scenarios:
            if time.monotonic() > self._until:
                self.scenarios = self.scenarios[: len(records)]
                break
            record = Record(
                name=scenario.name,
                role=scenario.role,
                trip=scenario.trip,
                fault=scenario.fault,
                group=scenario.group,
                lost_allowed=scenario.lost,
            )
            records.append(record)
            self.say(f"{scenario.name} …")
            self._one(scenario, record)
            self.say(f"{scenario.name}: {record.outcome} ({record.seconds_to_recover} s)")
            if record.outcome in {"hung", "not reached"}:
                break
            self._keep(records)
        ended = self._end()
        judge.judge(self, records, ended)
        return records

    def _one(self, scenario: Scenario, record: Record) -> None:
        self.scenario = scenario
        self._arm(scenario, record)
        marks = [len(relay.text()) for relay in self.relays]
        begun = time.monotonic()
        fired: float | None = None
        while True:
            self._look()
            now = time.monotonic()
            if fired is not None and self._is_last(scenario):
                self.order("relay", "0/stop", {"stop": 1})  # so that this round is the final one
            if fired is None:
                if self._due(scenario) and scenario.act(self):
                    fired = time.monotonic()
                    self._note(f"fault: {scenario.fault}")
                elif self.view is not None and self._missed(scenario):
                    self._note(f"{scenario.name}: its moment passed, next round")
                    self._arm(scenario, record)
                elif now - begun > START_LIMIT:
                    record.why = f"round {self.round} was not reached: {self._last_words()}"
                    return
            elif self.relay.code is not None if scenario.ends else self._has_model():
                record.seconds_to_recover = round(time.monotonic() - fired, 1)
                record.outcome = "recovered"
                break
            elif now - fired > LIMIT:
                record.outcome, record.why = "hung", f"no model in {LIMIT:.0f} s"
                break
            if self.relay.code is not None and not scenario.ends and not self._has_model():
                record.outcome = "hung"
                record.why = f"the run ended with code {self.relay.code}: {self._last_words()}"
                break
        record.log = judge.warnings(self.relays, marks)
        if scenario is not self.scenarios[-1]:
            scenario.after(self)

    def _arm(self, scenario: Scenario, record: Record) -> None:
        self._look()
        current = None if self.view is None else self.view.current
        self.round = 1 if current is None else current.number + 1
        self.round += scenario.lead
        record.round = self.round
        for who, phase, told in scenario.orders:
            self.order(who, f"{self.round}/{phase}", dict(told))

    def _due(self, scenario: Scenario) -> bool:
        if scenario.trip == BEGIN:
            return self.round == 1 or self._has_model(self.round - 1)
        if self.view is None or self.view.current.number != self.round:
            return False
        phase = self.view.current.phase
        due = {"seal": Phase.SEALING, "merge": Phase.MERGING, "open": Phase.CERTIFIED}
        return phase is due[scenario.trip]

    def _missed(self, scenario: Scenario) -> bool:
        assert self.view is not None
        current = self.view.current
        return current.number > self.round or (current.number == self.round and self._has_model())

    def _is_last(self, scenario: Scenario) -> bool:
        """Whether nothing is left for the run to do but to open this round."""
        if scenario is not self.scenarios[-1] or scenario.ends or self.view is None:
            return False
        current = self.view.current
        return current.number >= self.round and current.phase is Phase.CERTIFIED

    def _has_model(self, number: int | None = None) -> bool:
        """Whether some relay opened this round, or a later one."""
        least = self.round if number is None else number
        return any(
            line["status"] == "certified" and line["round"] >= least
            for line in judge.evidence_lines(self.local)
        )

    def _look(self) -> None:
        """Look after the processes, do what is due, read the ledger."""
        self.cluster.tick()
        for entry in [entry for entry in self.later if entry[0] <= time.monotonic()]:
            self.later.remove(entry)
            entry[1]()
        with suppress(SwarmError):
            self.view = self.ledger.view()
        time.sleep(_LOOK)

    def _end(self) -> int | None:
        """Tell the relay to end; its exit code, None if it did not end."""
        self.order("relay", "0/stop", {"stop": 1})
        end = time.monotonic() + LIMIT
        while self.relay.code is None and time.monotonic() < end:
            self._look()
        while self.later:
            self._look()
        self._look()
        return self.relay.code

    def _last_words(self) -> str:
        lines = [line for line in self.relay.text().splitlines() if line.strip()]
        return " ".join(lines[-1:])[:300]

    def _note(self, text: str) -> None:
        with (self.folder / "events.log").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {text}\n")
