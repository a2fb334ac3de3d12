"""Benches for tests of the swap: each closes its chain when the test is over."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "encryption"))  # the crooked dealer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Flower's typer still uses a deprecated name of click's
    from founded_support import Founded
    from swarm_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Opens a `Bench` with the given options."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(Bench(tmp_path / "run", **options))


@pytest.fixture
def founded(tmp_path: Path) -> Iterator[Callable[..., Founded]]:
    """Founds a consortium with the given options."""
    made: list[Founded] = []

    def build(n: int, **options: Any) -> Founded:
        made.append(Founded(tmp_path / "evidence", n, **options))
        return made[-1]

    yield build
    for one in made:
        one.close()
