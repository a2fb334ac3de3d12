"""Rounds under a hostile relay, faulty members, crashes and forks: promises hold in all."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from machine_memo import memoised
from machine_rules import NIGHTLY, REACHED, Byzantine, Crashing, Forking, Hostile

EXAMPLES = {Hostile: 300, Byzantine: 300, Crashing: 300, Forking: 100}


@pytest.mark.parametrize("machine", EXAMPLES, ids=lambda machine: machine.__name__.lower())
def test_promises_hold(machine) -> None:
    with memoised():
        started = time.process_time()
        REACHED.clear()
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=EXAMPLES[machine] * (20 if NIGHTLY else 1),
                stateful_step_count=8,
                deadline=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
        print(machine.__name__, time.process_time() - started, REACHED)
