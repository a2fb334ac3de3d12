"""The benchmark of faults: every role dies in every trip, and its table says what came of it."""

import json
import math
import subprocess
import sys
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.faults_support import words
from benchmarks.faults_support.course import Course
from benchmarks.faults_support.figures import Figures
from benchmarks.faults_support.groups import Group, Groups
from benchmarks.faults_support.judge import Ledger
from benchmarks.faults_support.models import Models, Seen
from benchmarks.faults_support.scenario import NOT_JUDGED, TRIPS, Record, record_of
from benchmarks.faults_support.scenarios import QUICK, SCENARIOS
from benchmarks.faults_support.table import HEADS, table

ROLES = ("chain", "superlink", "serverapp", "relay", "supernode", "clientapp")


def test_names_are_unique_and_there_are_thirty():
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names) >= 30
    assert set(QUICK) <= set(names)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("trip", TRIPS)
def test_every_role_is_killed_in_every_trip(role, trip):
    assert any(s.kills and s.role == role and s.trip == trip for s in SCENARIOS)


@pytest.mark.parametrize("trip", TRIPS[1:])
def test_the_leader_is_killed_once_there_is_one(trip):
    assert any(s.kills and "leader" in s.role and s.trip == trip for s in SCENARIOS)


def test_groups_are_together_and_only_a_groups_last_scenario_ends_its_study():
    groups = [scenario.group for scenario in SCENARIOS]
    starts = [group for at, group in enumerate(groups) if at == 0 or groups[at - 1] != group]
    assert len(set(starts)) == len(starts)
    for at, scenario in enumerate(SCENARIOS[:-1]):
        if scenario.ends or scenario.final:
            assert SCENARIOS[at + 1].group != scenario.group


@pytest.mark.parametrize("passed", [True, False])
def test_a_row_says_whether_it_passed_and_why_not(passed):
    record = Record(name="one", role="r", trip="seal", fault="a|b", group="g", passed=passed)
    record.why = "the model is off"
    rows = table([asdict(record)]).splitlines()
    assert len(rows) == 3
    assert all(row.count("|") == len(HEADS) + 1 for row in rows)
    assert ("the model is off" in rows[-1]) is not passed


def test_every_scenario_says_what_must_be_in_the_logs_or_why_nothing_is():
    assert all(bool(s.names) != bool(s.unnamed) for s in SCENARIOS)


def test_rounds_are_lost_only_where_no_sum_could_be():
    allowed = {s.name for s in SCENARIOS if s.lost}
    assert allowed == {"two-members-seal", "other-model-to-all", "false-opener"}


VOID = {"status": "void", "parent_hash": None}


@pytest.mark.parametrize(
    ("opened", "lines", "said", "lost"),
    [
        ({3, 4}, [], "", 0),
        ({3}, [], "", 1),
        ({3, 4}, [VOID | {"round": 3}], "", 1),
        ({3, 4}, [VOID | {"round": 5}, VOID | {"round": 2}], "", 0),
        ({3, 4}, [{"status": "void", "parent_hash": "00", "round": 3}], "", 0),
        ({3, 4}, [], "WARNING: no round begins: a chain is away", 1),
    ],
)
def test_rounds_that_the_ledger_never_saw_are_lost_too(opened, lines, said, lost):
    record = record_of(SCENARIOS[0])
    ledger = Ledger(certified={3, 4}, opened=opened)
    ledger.count(record, range(3, 5), False, lines, said)
    assert record.rounds_lost == lost
    assert record.final_kept is (opened == {3, 4})


def test_the_last_scenario_counts_what_comes_after_it():
    record = record_of(SCENARIOS[0])
    ledger = Ledger(certified={3}, opened={3})
    ledger.count(record, range(3, 4), True, [VOID | {"round": 4}], "")
    assert (record.rounds_asked, record.rounds_lost) == (2, 1)


def test_a_model_is_judged_where_it_was_used():
    seen = [Seen(1.0, np.zeros(4)), Seen(2.0, np.full(4, 0.1)), Seen(4.0, np.full(4, 0.7))]
    models = Models(steps={1: 0.1, 2: 0.2}, seen=seen)
    assert models.wrong(2, 0.0, 3.0) == ""
    assert "follows from no" in models.wrong(3, 3.0, 5.0)
    assert "no relay had" in models.wrong(3, 0.0, 3.0)


class Stand:
    """A study without processes, in which every round has a model at once."""

    def __init__(self, scenarios):
        self.scenarios, self.relays, self.later = scenarios, [], []
        self.round, self.view, self.noted = 1, None, []
        self.relay = SimpleNamespace(code=None)
        self.local = SimpleNamespace(sites=[])

    def look(self):
        if self.noted and self.noted[-1] == "stop":
            self.relay.code = 0

    def order(self, _who, key, _told):
        self.noted.append("stop" if key == "0/stop" else key)

    def has_model(self, _number=None):
        return True

    def events(self):
        return ""

    def start_relay(self, _name): ...

    def note(self, _text): ...


def broken(_study):
    raise OSError("mount: permission denied")


@pytest.mark.parametrize("moment", ["act", "after"])
def test_a_fault_that_cannot_be_made_costs_its_own_scenario_only(moment):
    plain = replace(SCENARIOS[0], name="plain", trip="begin", orders=(), after=lambda _: True)
    plain = replace(plain, act=lambda _: True)
    bad = replace(plain, name="bad", **{moment: broken})
    records = Course(study=Stand([bad, plain, plain]), say=lambda _: None).run()
    assert [r.outcome for r in records] == ["not done", "recovered", "recovered"]
    assert "permission denied" in records[0].why
    assert not any(r.passed for r in records)  # no chain, nothing to judge by
    assert all("could not be judged" in r.why for r in records)


def test_the_file_is_whole_and_what_was_judged_is_not_run_again(tmp_path):
    path, names = tmp_path / "figures.json", [s.name for s in SCENARIOS[:4]]
    made = [record_of(s) for s in SCENARIOS[:3]]
    made[0].passed, made[0].why = True, ""
    made[1].why = "hung"
    assert made[2].why == NOT_JUDGED
    figures = Figures(path=path, order=SCENARIOS, wanted=names)
    for record in reversed(made):
        figures.add([record])
        json.loads(path.read_text())
    assert json.loads(path.read_text())["not_run"] == names[3:]
    for again, kept in ((False, names[:2]), (True, names[:1])):
        later = Figures(path=path, order=SCENARIOS)
        later.take_up(passed_only=again)
        assert list(later.rows) == kept
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("does", "end_at", "how"),
    [
        ("raise SystemExit(3)", math.inf, "with code 3"),
        ("import time; time.sleep(60)", 0.0, "after its limit"),
    ],
)
def test_a_group_that_dies_or_takes_too_long_has_failed_and_the_next_one_runs(
    tmp_path, does, end_at, how
):
    path, told = tmp_path / "figures.json", [s for s in SCENARIOS if s.group in {"chain", "relays"}]
    started = []

    def start(_folder, scenarios):
        part = tmp_path / f"{scenarios[0].group}.json"
        judged = record_of(scenarios[0])
        judged.passed, judged.why = True, ""
        Figures(path=part, order=SCENARIOS).add([judged])
        started.append(
            Group(
                scenarios=scenarios,
                process=subprocess.Popen([sys.executable, "-c", does]),
                folder=tmp_path,
                part=part,
                begun=0.0,
                end_at=end_at,
            )
        )
        return started[-1]

    figures = Figures(path=path, order=SCENARIOS, wanted=[s.name for s in told])
    said = []
    Groups(folder=tmp_path, figures=figures, say=said.append, jobs=1, start=start).run(
        told, math.inf
    )
    assert len(started) == len(said) == 2
    assert all(group.process.returncode for group in started)
    rows = json.loads(path.read_text())
    assert (rows["passed"], rows["of"], rows["not_run"]) == (2, len(told), [])
    assert all(how in row["why"] for row in rows["scenarios"] if not row["passed"])


def test_no_group_begins_when_the_time_is_over(tmp_path):
    figures = Figures(path=tmp_path / "figures.json", order=SCENARIOS, wanted=["chain-open"])

    def start(_folder, _scenarios):
        raise AssertionError

    groups = Groups(folder=tmp_path, figures=figures, say=print, jobs=2, start=start)
    groups.run(SCENARIOS, -math.inf)
    figures.write()
    assert json.loads(figures.path.read_text())["not_run"] == ["chain-open"]


def test_lines_that_name_the_cause_are_found_and_ordinary_ones_left_out():
    text = (
        "WARNING :   fraction_evaluate is set to 0.0. Federated evaluation will be skipped.\n"
        "INFO :      configure_train: Sampled 4 nodes\n"
        "WARNING :   round 3: member 1 answered nothing\n"
        "10:00:00 chain: ended by signal 9; next try in 1 s\n"
    )
    plain = [
        "round 3: member 1 answered nothing",
        "10:00:00 chain: ended by signal 9; next try in 1 s",
    ]
    assert words.telling(text) == plain
    assert words.naming(text, "member 1") == plain[:1]
