"""Peak memory of a member's encryption, measured in a process of its own.

    python -m benchmarks.encryption_memory SIZE

The peak of the process's resident memory while it encodes and seals, and while anybody merges and
opens, over what it held before: the update, or the payloads. A first small run is not counted: it
loads libraries. Linux only: the peak is set back between the stages.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from .encryption_ours import Ours, contestants
from .encryption_task import CLIP, ENCODE, ENCRYPT, Clock, Task

SEAL: Final = "seal"
MEMBERS: Final = 3
"""Enough for a sum: the memory of merging does not grow with them."""
FLOAT32: Final = 4
_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_WARM: Final = 20_000


def measured(size: int) -> dict[str, Any] | None:
    """What a fresh process measures; None where the system does not tell."""
    command = [sys.executable, "-m", "benchmarks.encryption_memory", str(size)]
    done = subprocess.run(  # noqa: S603 - ourselves
        command, stdout=subprocess.PIPE, check=True, cwd=Path(__file__).resolve().parents[1]
    )
    found: dict[str, Any] | None = json.loads(done.stdout)
    return found


def stages(size: int) -> dict[str, Any] | None:
    """Extra bytes of each stage, and the milliseconds of CPU of encoding and sealing."""
    if not can_reset():
        return None
    ours = contestants(thorough=False)[0]
    ours.streamed = True
    _run(ours, _WARM)
    return {"size": size, "model_bytes": FLOAT32 * size} | _run(ours, size)


def can_reset() -> bool:
    """Whether the peak can be read and set back."""
    try:
        _RESET.write_text("5")
        return _peak() > 0
    except (OSError, StopIteration):
        return False


def _run(ours: Ours, size: int) -> dict[str, Any]:
    task = Task.drawn(size=size, members=MEMBERS, distinct=1)
    extra: dict[str, int] = {}
    clock = Clock()
    ours.begin(task)
    with _extra(SEAL, extra):
        first = ours.client(0, clock)
    (update,) = task.updates
    np.multiply(update, 2 * CLIP, out=update)  # its norm was 1
    with _extra("seal, clipped", extra):
        ours.client(0, Clock())
    uploads = [first, *(ours.client(member, Clock()) for member in range(1, MEMBERS))]
    with _extra("merge and open", extra):
        mean = ours.finish(uploads, Clock()).mean
    assert mean.dtype == np.float64
    spent = sum(clock.parts[part][0][0] for part in (ENCODE, ENCRYPT))
    return {"extra_bytes": extra, "client_ms": round(1000 * spent, 4)}


@contextmanager
def _extra(stage: str, extra: dict[str, int]) -> Iterator[None]:
    _RESET.write_text("5")
    before = _peak()
    yield
    extra[stage] = _peak() - before


def _peak() -> int:
    """Bytes at the peak since it was set back, of this program alone."""
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    print(json.dumps(stages(int(sys.argv[1]))))
