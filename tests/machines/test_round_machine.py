"""Rounds under a hostile relay, faulty members, crashes and forks: promises hold in all.

The examples are the same in each run, so that CI judges the change that it is given.
`HYPOTHESIS_PROFILE=nightly` runs twenty times as many, and others each time: what they find is
somebody's work of the day after, not a change's bad luck.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from machine_base import NIGHTLY, REACHED, RoundMachine
from machine_memo import memoised
from machine_rules import Anything, Byzantine, Crashing, Forking, Hostile, Resuming

MORE = 20 if NIGHTLY else 1
LIMIT = 0 if NIGHTLY else 1200
RANDOM = {Hostile: 4, Byzantine: 3, Crashing: 3, Anything: 2, Resuming: 1, Forking: 3}
"""How many tests, each of `A_PART` examples of its own."""
A_PART, FIXED = 240, 200
"""Together 5,040: 16 parts by their number, and each of six machines once with fixed examples."""
PARTS = [(machine, part) for machine, parts in RANDOM.items() for part in range(parts)]
REACHED_BY_ALL = {
    "Certified",
    "opened",
    "recomputed",
    "evaluated",
    "another leader",
    "resumed: merging",
}
WANTED: dict[type[RoundMachine], set[str]] = {
    Hostile: {"RoundVoided", "ModelRefused", "SealMismatch", "StaleRound"},
    Byzantine: {"RoundVoided", "ModelRefused", "SealMismatch"},
    Crashing: {"ChainUnreachable", "sealed again", "resumed: sealing"},
    Anything: {"RoundVoided", "SealMismatch", "sealed again"},
    Resuming: {"resumed: certified", "opened again by another relay"},
    Forking: {"fork", "AlreadyOpened", "ModelRefused"},
}
"""What happens often, 20 times at least; what is rare is tried for certain in `test_rare_events`.

Keys and roundings are seeded too, so that fixed examples do the same in every run.
"""


def run(machine: type[RoundMachine], examples: int, **changes: Any) -> None:
    REACHED.clear()
    with memoised():
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=8,
                deadline=None,
                phases=[Phase.reuse, Phase.generate],  # shrinking takes minutes; examples are short
                suppress_health_check=list(HealthCheck),
                **changes,
            ),
        )
    print(f"{machine.__name__}: {dict(sorted(REACHED.items()))}")
    assert REACHED["examples"] >= examples, "fewer examples came to their end than were asked for"


@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize(
    ("machine", "part"), PARTS, ids=[f"{machine.__name__}-{part}" for machine, part in PARTS]
)
def test_promises_hold(machine: type[RoundMachine], part: int) -> None:
    if NIGHTLY:
        run(machine, A_PART * MORE)
    else:
        numbered = seed(part)(type(machine.__name__, (machine,), {}))
        run(numbered, A_PART, database=None)


@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize("machine", WANTED, ids=lambda machine: machine.__name__)
def test_promises_hold_and_everything_is_tried(machine: type[RoundMachine]) -> None:
    """The same examples in each run, so that what they reach is no matter of luck."""
    run(machine, FIXED * MORE, derandomize=True, database=None)
    missing = (REACHED_BY_ALL | WANTED[machine]) - set(REACHED)
    assert not missing, f"never reached: {missing}"
