"""The benchmark of faults: every role dies in every trip, and its table says what came of it."""

from dataclasses import asdict

import pytest

from benchmarks.faults_support.scenario import TRIPS, Record
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
