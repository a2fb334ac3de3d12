"""`flwr-swarm demo`: the study, its tables, `result.json` and `report.html`."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rich.console import Console

from flwr_swarm.report.evidence import write_manifest
from flwr_swarm.report.html import render

from .result import result
from .settings import Settings
from .study import run_study
from .tables import print_tables


def run_demo(settings: Settings, console: Console) -> dict[str, Any]:
    """Run the main job and write its results into `settings.out`.

    Every process that it starts is ended on every way out, signals included.

    Returns
    -------
    dict
        The content of `result.json`.
    """
    with _terminated_like_interrupted():
        found = result(run_study(settings, console))
    text = json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False)
    (settings.out / "result.json").write_text(text + "\n", encoding="utf-8")
    (settings.out / "report.html").write_text(render(found), encoding="utf-8")
    write_manifest(settings.out)
    print_tables(found, console)
    console.print(f"\nReport     {settings.out / 'report.html'}", highlight=False, soft_wrap=True)
    console.print(f"Result     {settings.out / 'result.json'}", highlight=False, soft_wrap=True)
    console.print(f"Check it   flwr-swarm verify {settings.out}", highlight=False, soft_wrap=True)
    return found


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind the stack as Ctrl-C does; by default they would not."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
