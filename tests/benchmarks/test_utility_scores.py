"""AUROCs of the utility benchmark, gaps between them, and what its promises make of a gap."""

import json
import math

import numpy as np
import pytest
from flwr_swarm_attacks import auc
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.utility import verdict
from benchmarks.utility_judged import (
    CENTRAL,
    FAILS,
    FEDERATED,
    HOLDS,
    LOCAL,
    ON_AVERAGE,
    OPEN,
    OWN,
    POOLED,
    SWARM,
    TOGETHER,
    WHOLE,
    judge,
    judged,
)
from benchmarks.utility_scores import Cell, Gap, Judges, foreign, gap
from benchmarks.utility_table import markdown

patients = st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=60).filter(
    lambda found: len({case for _, case in found}) == 2
)


def split(found):
    score, case = zip(*found, strict=True)
    return np.array(score, float), np.array(case)


@settings(deadline=None)
@given(patients)
def test_a_resample_is_the_auroc_of_who_is_in_it(found):
    score, case = split(found)
    judges = Judges.of(case, resamples=5)
    whole, *resampled = judges.aurocs(score)
    assert whole == pytest.approx(auc(score, case))
    for value, times in zip(resampled, judges.times.astype(int), strict=True):
        assert times[case].sum() == case.sum()
        assert times[~case].sum() == (~case).sum()
        assert value == pytest.approx(auc(np.repeat(score, times), np.repeat(case, times)))


@settings(deadline=None)
@given(patients, st.floats(0.1, 3))
def test_only_the_order_of_scores_matters(found, scale):
    score, case = split(found)
    judges = Judges.of(case, resamples=5)
    assert judges.aurocs(score) == pytest.approx(judges.aurocs(np.exp(scale * score)))
    assert judges.aurocs(score) + judges.aurocs(-score) == pytest.approx(np.ones(6))


def cell(regime, values, epsilon=None, spent=None, noise=0.0):
    """Values over seeds; patients who resample by `noise`."""
    rng = np.random.default_rng(len(regime))
    resampled = np.array(values)[:, None] + noise * rng.normal(size=(1, 200))
    aurocs = np.c_[values, resampled]
    return Cell(
        regime=regime, epsilon=epsilon, spent=spent or epsilon, through="a test", aurocs=aurocs
    )


def test_a_gap_holds_the_truth_nineteen_times_in_twenty():
    rng, kept = np.random.default_rng(1), 0
    for _ in range(400):
        left, right = 0.8 + 0.05 * rng.normal(size=5), 0.77 + 0.05 * rng.normal(size=5)
        found = gap(cell("a", left), cell("b", right))
        assert found.low <= found.value <= found.high
        kept += found.low <= 0.03 <= found.high
    assert 360 <= kept <= 396  # 380 are expected; 5 deviations below, 4 above


def test_with_one_seed_nothing_can_be_told():
    found = gap(cell("a", [0.9]), cell("b", [0.5]))
    assert judged("a line", found, 0.02).verdict == OPEN
    json.dumps(judged("a line", found, 0.02).to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("found", "strictly", "verdict"),
    [
        (Gap(value=0.0, low=-0.01, high=0.02), False, HOLDS),
        (Gap(value=0.01, low=-0.01, high=0.03), False, ON_AVERAGE),
        (Gap(value=0.03, low=0.01, high=0.05), False, OPEN),
        (Gap(value=0.05, low=0.03, high=0.07), False, FAILS),
        (Gap(value=0.02, low=0.02, high=0.02), True, OPEN),
        (Gap(value=0.01, low=0.0, high=0.015), True, HOLDS),
    ],
)
def test_a_verdict_says_what_patients_and_seeds_allow(found, strictly, verdict):
    judgement = judged("a line", found, 0.02, strictly=strictly)
    assert judgement.verdict == verdict
    assert str(judgement).startswith(f"{verdict}: a line")


RIGHT = {
    (LOCAL, None): 0.7,
    (POOLED, None): 0.80,
    (FEDERATED, None): 0.795,
    (SWARM, None): 0.795,
    (CENTRAL, 1.0): 0.78,
    (TOGETHER, 1.0): 0.775,
    (OWN, 1.0): 0.7,
}
STEADY = np.array([-0.001, 0.0, 0.001, 0.0, 0.0])


def promises(change=None, spent=None):
    cells = [
        cell(r, value + STEADY, e, spent) for (r, e), value in (RIGHT | (change or {})).items()
    ]
    return judge([*cells, cell(WHOLE, [(RIGHT | (change or {}))[TOGETHER, 1.0]], 1.0, spent)])


def failing(found):
    return [line.line for line in found if line.verdict == FAILS]


def test_a_right_build_keeps_every_promise_and_each_fault_is_named():
    assert not failing(promises())
    assert {line.verdict for line in promises()} == {HOLDS}
    assert failing(promises({(SWARM, None): 0.75})) == [
        "swarm within 0.01 of federated",
        "swarm within 0.02 of pooled",
    ]
    # Better than the federation is not the same training either; worse than pooled is enough.
    assert failing(promises({(SWARM, None): 0.85})) == ["swarm within 0.01 of federated"]
    assert failing(promises({(CENTRAL, 1.0): 0.81})) == [
        "distributed noise within 0.02 of central DP-SGD at epsilon 1"
    ]
    assert failing(promises({(OWN, 1.0): 0.79})) == [
        "distributed noise above local noise at epsilon 1"
    ]
    assert failing(promises(spent=1.01)) == ["no more than epsilon 1 spent"]


@pytest.mark.parametrize(("value", "spent"), [(0.7, 1.0), (0.775, 0.9)])
def test_a_whole_run_that_is_not_one_of_the_loops_draws_is_seen(value, spent):
    cells = [cell(r, v + STEADY, e) for (r, e), v in RIGHT.items()]
    found = judge([*cells, cell(WHOLE, [value], 1.0, spent)])
    assert [line.split(" at ")[0] for line in failing(found)] == ["whole protocol and loop agree"]


def test_a_whole_run_is_rarely_called_foreign():
    rng = np.random.default_rng(2)
    alarms = [
        foreign(cell("a", rng.normal(0.7, 0.1, 1)), cell("b", rng.normal(0.7, 0.1, 5))) > 0
        for _ in range(2000)
    ]
    assert sum(alarms) <= 3  # 0.2 are expected


def a_study(lines):
    cells = [cell("local: here", [0.6, 0.7]), cell(TOGETHER, [0.7, 0.8], 4.0, 3.99)]
    return {
        "dataset": "made-up", "trained_on": [3, 4], "judged_on": {"patients": 9, "cases": 2},
        "delta": 1e-3, "cells": [one.to_json() for one in cells],
        "judged": [line.to_json() | {"words": str(line)} for line in lines],
    }  # fmt: skip


def test_the_exit_status_and_the_words_follow_the_verdicts(capsys):
    right, wrong = promises(), promises({(SWARM, None): 0.75})
    assert verdict([a_study(right)], 1.0) == 0
    assert "0 FAIL" in capsys.readouterr().out
    assert verdict([a_study(right), a_study(wrong)], 1.0) == 1
    said = capsys.readouterr().out
    assert "made-up: FAILS: swarm within 0.02 of pooled: +0.0500" in said
    assert "2 FAIL" in said
    unclear = judged("a line", Gap(value=1.0, low=-math.inf, high=math.inf), 0.0)
    assert verdict([a_study([unclear])], 1.0) == 0
    assert "1 cannot be told" in capsys.readouterr().out


def test_the_table_has_a_column_for_each_set_and_tells_what_was_spent():
    text = markdown([a_study(promises()), a_study([])])
    header, rule, row, *_ = text.splitlines()
    assert header.count("made-up: 7 train, 9 judge (2 cases), δ = 1e-03") == 2
    assert rule == "|---|---|---|---|"
    assert row.startswith("| swarm, distributed noise, ε ≤ 4 | a test | 0.750 [")
    assert row.count("(0.700 to 0.800) ε 3.990") == 2
    assert "made-up, each site alone: here 0.650" in text
    assert "- made-up: holds: swarm within 0.01 of federated" in text
