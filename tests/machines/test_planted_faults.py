"""Each promise's test bites: a machine or a scenario finds the fault that is planted against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import planted
import pytest
import test_each_way as each_way
import test_false_openers as opener
import test_rare_events as rare
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from machine_memo import memoised
from machine_ways import OPENS
from planted import FAULTS, Patch

FOUND_WITHIN = 600
"""Examples, the same ones each time; most faults are found in a tenth of them."""
FOUND_FOR_CERTAIN: tuple[tuple[Callable[[Patch], None], Callable[[], None], str], ...] = (
    (
        planted.any_server_state_is_taken,
        rare.test_nobody_trains_beside_an_impossible_state,
        "somebody trains beside",
    ),
    (planted.payloads_are_not_compared, rare.test_nobody_adds_up_what_was_not_sealed, "wrong sum"),
    (planted.signatures_are_forgotten, rare.test_nobody_signs_two_sums_of_one_view, "two merges"),
    (planted.complaints_are_not_heard, rare.test_a_crooked_dealer_is_blamed, "was not named"),
    (
        planted.complaints_are_believed,
        lambda: each_way.test_a_faulty_member_harms_nobody(
            "open", OPENS.index("a false complaint"), 3
        ),
        "honest dealers were blamed",
    ),
    (
        planted.intents_are_ignored,
        lambda: each_way.test_a_crash_after_any_step_loses_no_promise(
            "seal", each_way.STEPS["seal"].index("saving what it seals"), True
        ),
        "drew two keys",
    ),
    (
        planted.recalled_sums_are_not_compared,
        lambda: opener.test_another_relay_goes_on_from_what_was_certified(
            "the model before", opener.OPENED, False, 0
        ),
        "another relay lost",
    ),
    (
        planted.recalled_models_are_not_compared,
        lambda: opener.test_another_relay_goes_on_from_what_was_certified(
            "another model", opener.OPENED, False, 0
        ),
        "another relay lost",
    ),
)
"""With what finds them: machines would need luck for these."""


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("plant", "machine", "broken"), FAULTS, ids=[plant.__name__ for plant, *_ in FAULTS]
)
def test_a_planted_fault_is_found(
    plant: Callable[[Patch], None], machine: Any, broken: str, monkeypatch: Patch
) -> None:
    with memoised():
        plant(monkeypatch)
        with pytest.raises((AssertionError, KeyError, ValueError), match=broken):
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=FOUND_WITHIN,
                    stateful_step_count=8,
                    deadline=None,
                    derandomize=True,
                    database=None,
                    report_multiple_bugs=False,
                    phases=[Phase.generate],
                    print_blob=False,
                    suppress_health_check=list(HealthCheck),
                ),
            )


@pytest.mark.parametrize(
    ("plant", "scenario", "broken"),
    FOUND_FOR_CERTAIN,
    ids=[plant.__name__ for plant, *_ in FOUND_FOR_CERTAIN],
)
def test_a_planted_fault_is_found_for_certain(
    plant: Callable[[Patch], None], scenario: Callable[[], None], broken: str, monkeypatch: Patch
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=broken):
        scenario()
