"""Each promise's test bites: a machine finds the fault that is planted against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from machine_memo import memoised
from planted import FAULTS, Patch

FOUND_WITHIN = 600
"""Examples, always the same ones: whether a fault is found is no matter of luck."""


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
