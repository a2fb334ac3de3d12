"""Whatever a start began, however it hid, is ended; what others began is left alone."""

import os
import secrets
import subprocess
import sys

import pytest

from flwr_swarm.deployment import processes

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes of POSIX systems")

# In one write: `print` makes two where Python is unbuffered, and two processes share the pipe.
_SLEEPER = "import os, time; os.write(1, b'ready\\n'); time.sleep(600)"
_STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + _SLEEPER
# In a session of its own: a grandchild that loses its parent, and throws its environment away.
_MIDDLE = f"""
import os, sys, time
if os.fork() == 0:
    if os.fork() == 0:
        os.execve(sys.executable, [sys.executable, "-c", {_SLEEPER!r}], {{}})
    os._exit(0)
os.wait()
time.sleep(600)
"""
_ROOT = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {_MIDDLE!r}], start_new_session=True)
subprocess.Popen([sys.executable, "-c", {_STUBBORN!r}])
time.sleep(600)
"""


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(processes, "_GRACE_SECONDS", 0.5)


def _start(mark):
    return subprocess.Popen(
        [sys.executable, "-c", _ROOT],
        env={**os.environ, processes.MARK: mark},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_whole_tree_ends_the_stubborn_and_the_disguised_included(fast):
    mark = secrets.token_hex(8)
    with _start(mark) as root:
        assert [root.stdout.readline().strip() for _ in range(2)] == ["ready", "ready"]
        # One between the middle and the disguised ends at once, or as soon as it gets its turn.
        while len(before := processes.family(mark)) > 4:
            pass
        assert len(before) == 4
        assert root.pid in {process.pid for process in before}
        processes.end(mark, root.pid)
        root.stdout.close()
    assert processes.family(mark) == set()
    table = processes._table()
    assert not [p for p in before if p.pid in table and table[p.pid].born == p.born]


def test_a_stranger_is_left_alone(fast):
    mine, other = secrets.token_hex(8), secrets.token_hex(8)
    command = [sys.executable, "-c", "input()"]
    env = {**os.environ, processes.MARK: other}
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE) as stranger:
        processes.end(mine)
        assert stranger.poll() is None
        assert stranger.pid in {process.pid for process in processes.family(other)}
        stranger.kill()


def test_ending_nothing_is_no_error(fast):
    processes.end(secrets.token_hex(8))
