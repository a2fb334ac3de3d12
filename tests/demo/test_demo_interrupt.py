"""Ctrl-C, or a polite kill, in the middle of a real Flower run leaves nothing behind."""

import os
import secrets
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from flwr_swarm.deployment import processes

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")
_MARK = "FLWR_SWARM_TEST"

_PREFACE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from pathlib import Path
from flwr_swarm.demo.apps import STOCK, stage
from flwr_swarm.demo.job import _terminated_like_interrupted
from flwr_swarm.demo.runtime import runtime
work = Path(sys.argv[1])
"""
_RUNNING = _PREFACE + textwrap.dedent("""
    log, told = work / "log", []
    def every():
        if not told and log.exists() and "[ROUND 1/" in log.read_text():
            told.append(print("now", flush=True))
    with _terminated_like_interrupted(), runtime(nodes=4) as flower:
        print(flower.root, flush=True)
        config = {"dataset": "breast-cancer", "rounds": 500, "output": str(work / "m.pt")}
        flower.run(stage(STOCK, work), config, log=log, every=every)
""")
_IDLE = _PREFACE + textwrap.dedent("""
    import signal
    with _terminated_like_interrupted(), runtime(nodes=4) as flower:
        print(flower.root, flush=True)
        print("now", flush=True)
        signal.pause()
""")


@pytest.mark.parametrize(
    ("script", "number", "fewest"),
    [(_RUNNING, signal.SIGINT, 6), (_IDLE, signal.SIGTERM, 2)],
    ids=["Ctrl-C in a round", "SIGTERM between runs"],
)
def test_no_process_and_no_file_survives(tmp_path, monkeypatch, script, number, fewest):
    mark = secrets.token_hex(8)
    monkeypatch.setattr(processes, "MARK", _MARK)  # ours: the demo's own mark is a secret of it
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, _MARK: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        root = Path(demo.stdout.readline().strip())
        assert demo.stdout.readline().strip() == "now"
        assert root.is_dir()
        before = processes.family(mark)
        assert len(before) >= fewest  # this script, SuperLink, SuperExec, simulation, Ray, ...
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=240)
    assert "KeyboardInterrupt" in errors.splitlines()[-1]
    table = processes._table()
    assert not [p for p in before if p.pid in table and table[p.pid].born == p.born]
    assert processes.family(mark) == set()
    assert not root.exists()
