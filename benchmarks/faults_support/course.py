"""A group's scenarios, one after the other in one study; whatever goes wrong is their record's."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from flwr_swarm.protocol.types import Phase

from . import judge, words
from .scenario import BEGIN, NOT_JUDGED, Record, Scenario, record_of
from .study import Study

LIMIT = 180.0
"""Seconds after a fault without a new model: then the scenario hangs."""
START_LIMIT = 150.0
"""Seconds for the round in which the fault is to happen."""
END_LIMIT = 90.0
"""Seconds for the run to end once it is told so."""
_LAG = 5.0


@dataclass(kw_only=True)
class Course:
    """Runs scenarios in a study whose processes are there.

    Parameters
    ----------
    study : Study
    say : callable
    keep : callable
        Receives the records so far. All but the last are judged: theirs ends where the next begins.
    until : float
        Time of the monotonic clock after which no scenario begins.
    """

    study: Study
    say: Callable[[str], None]
    keep: Callable[[Sequence[Record]], None] = lambda _: None
    until: float = math.inf

    def run(self) -> list[Record]:
        """Records of the scenarios that came to an end, or did not; stops at the first hang."""
        study = self.study
        records: list[Record] = []
        marks: list[words.Mark] = []
        for name in study.scenarios[0].group.split("-without-")[1:]:
            study.hold_down(name)
        study.start_relay("a")
        for scenario in study.scenarios:
            if time.monotonic() > self.until:
                break
            records.append(record_of(scenario))
            marks.append(words.mark(study))
            self.say(f"{scenario.name} …")
            self._guarded(scenario, records[-1])
            told = records[-1].seconds_to_recover
            self.say(
                f"{scenario.name}: {records[-1].outcome} "
                + (records[-1].why if told is None else f"after {told:.0f} s")
            )
            self.keep(self._judged(records, marks, over=False))
            if records[-1].outcome in {"hung", "not reached"}:
                break
        study.scenarios = study.scenarios[: len(records)]
        code = self._end()
        return self._judged(records, marks, over=True, code=code)

    def _judged(
        self,
        records: Sequence[Record],
        marks: Sequence[words.Mark],
        *,
        over: bool,
        code: int | None = None,
    ) -> list[Record]:
        """Copies, judged as far as can be now."""
        judged = [replace(record) for record in records]
        now = [*marks, words.mark(self.study)]
        try:
            judge.judge(self.study, judged, now, over=over, code=code)
        except Exception as error:  # a ledger that cannot be read judges nothing
            for record in judge.ended_ones(judged, over):
                told = "" if record.why == NOT_JUDGED else f"{record.why}; "
                record.passed, record.why = False, f"{told}could not be judged: {_short(error)}"
        return judged

    def _guarded(self, scenario: Scenario, record: Record) -> None:
        try:
            self._one(scenario, record)
        except Exception as error:  # one fault that fails must not cost the others
            record.outcome = "not done"
            record.why = f"the fault could not be made: {_short(error)}"
            return
        if record.outcome in {"hung", "not reached"} or scenario is self.study.scenarios[-1]:
            return
        try:
            scenario.after(self.study)
        except Exception as error:  # as above
            record.outcome = "not done"
            record.why = f"what was broken could not be put right: {_short(error)}"

    def _one(self, scenario: Scenario, record: Record) -> None:
        study = self.study
        study.scenario = scenario
        self._arm(scenario, record)
        begun = time.monotonic()
        fired: float | None = None
        while True:
            study.look()
            now = time.monotonic()
            if fired is None:
                if self._due(scenario) and scenario.act(study):
                    fired = time.monotonic()
                    study.note(f"fault: {scenario.fault}")
                elif study.view is not None and self._missed(scenario):
                    study.note(f"{scenario.name}: its moment passed, next round")
                    self._arm(scenario, record)
                elif now - begun > START_LIMIT:
                    record.why = f"round {study.round} was not reached: {words.last(study)}"
                    return
            elif self._recovered(scenario):
                record.seconds_to_recover = round(time.monotonic() - fired, 1)
                record.outcome = "recovered"
                self._hear(scenario)
                return
            elif now - fired > LIMIT:
                record.outcome, record.why = "hung", f"no model in {LIMIT:.0f} s"
                return
            if fired is not None and self._is_last(scenario):
                study.order("relay", "0/stop", {"stop": 1})  # so that this round is the final one
            if study.relay.code is not None and not self._recovered(scenario):
                record.outcome = "hung"
                record.why = f"the run ended with code {study.relay.code}: {words.last(study)}"
                return

    def _hear(self, scenario: Scenario) -> None:
        """Wait for the relay's log, which lags: what it says of the round is this scenario's."""
        end = time.monotonic() + _LAG
        told = re.compile(rf"round {self.study.round}: leader .*committee \[")
        while not scenario.ends and time.monotonic() < end:
            if any(told.search(relay.text()) for relay in self.study.relays):
                return
            self.study.look()

    def _arm(self, scenario: Scenario, record: Record) -> None:
        study = self.study
        study.look()
        current = None if study.view is None else study.view.current
        study.round = 1 if current is None else current.number + 1
        study.round += scenario.lead
        record.round = study.round
        for who, phase, told in scenario.orders:
            study.order(who, f"{study.round}/{phase}", dict(told))

    def _due(self, scenario: Scenario) -> bool:
        study = self.study
        if scenario.trip == BEGIN:
            return study.round == 1 or study.has_model(study.round - 1)
        if study.view is None or study.view.current.number != study.round:
            return False
        due = {"seal": Phase.SEALING, "merge": Phase.MERGING, "open": Phase.CERTIFIED}
        if study.view.current.phase is not due[scenario.trip]:
            return False
        return scenario.trip != "merge" or study.was_asked("merge")

    def _missed(self, scenario: Scenario) -> bool:
        study = self.study
        assert study.view is not None
        current = study.view.current
        passed = current.number == study.round and study.has_model()
        return current.number > study.round or passed

    def _recovered(self, scenario: Scenario) -> bool:
        if scenario.ends:
            return self.study.relay.code is not None
        return self.study.has_model()

    def _is_last(self, scenario: Scenario) -> bool:
        """Whether nothing is left for the run to do but to open this round."""
        view = self.study.view
        if scenario is not self.study.scenarios[-1] or scenario.ends or view is None:
            return False
        return view.current.number >= self.study.round and view.current.phase is Phase.CERTIFIED

    def _end(self) -> int | None:
        """Tell the relay to end; its exit code, None if it did not end."""
        study = self.study
        study.order("relay", "0/stop", {"stop": 1})
        end = time.monotonic() + END_LIMIT
        while study.relay.code is None and time.monotonic() < end:
            study.look()
        while study.later and time.monotonic() < end:
            study.look()
        study.look()
        return study.relay.code


def _short(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
