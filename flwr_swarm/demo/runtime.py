"""A private Flower simulation runtime: own SuperLink, own home, nothing left behind.

`flwr run` would start a SuperLink that outlives it and serves every project of the user on one
fixed port. The demo starts its own on a free loopback port, and ends it with all its children.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flwr_swarm._exceptions import SwarmError

from . import processes

_START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.2
_LOG_LINES_IN_ERROR: Final = 15

RunConfig = Mapping[str, str | int | float | bool]


class FlowerRunError(SwarmError):
    """A Flower run of the demo did not complete."""


class Runtime:
    """A SuperLink with simulated SuperNodes, for one run after another.

    Use `runtime(...)` to get one; it is ended with its `with` block.
    """

    def __init__(self, *, root: Path, port: int, env: Mapping[str, str], nodes: int) -> None:
        self.root = root
        self._port = port
        self._env = dict(env)
        self._nodes = nodes

    def run(
        self,
        app: Path,
        config: RunConfig,
        *,
        log: Path,
        every: Callable[[], None] = lambda: None,
    ) -> None:
        """Run the app in folder `app` to its end.

        Parameters
        ----------
        app : Path
            Folder with the app's `pyproject.toml`.
        config : mapping
            Overrides of its run config; every key must exist there.
        log : Path
            File that receives Flower's log.
        every : callable
            Called a few times a second while the run goes on.

        Raises
        ------
        FlowerRunError
            If the run did not complete; the message holds the end of its log.
        """
        overrides = " ".join(f"{key}={_toml(value)}" for key, value in config.items())
        # Two CPUs a client would leave one client at a time on the two cores we are made for.
        resources = f"num-supernodes={self._nodes} client-resources-num-cpus=1"
        resources += f" init-args-num-cpus={max(1, min(os.cpu_count() or 1, self._nodes))}"
        command = [_program("flwr"), "run", str(app), "--stream", "--run-config", overrides]
        command += ["--federation-config", resources]
        with log.open("wb") as sink:
            done = self._watch(command, sink.fileno(), every)
        text = log.read_text(encoding="utf-8", errors="replace")
        if done != 0:
            raise FlowerRunError(
                f"flwr run {app.name} ended with code {done}; {_end_of(text, log)}"
            )
        status, details = self._status(app, text)
        if status != "finished:completed":
            raise FlowerRunError(
                f"the run of {app.name} ended as {status} ({details}); {_end_of(text, log)}"
            )

    def _watch(self, command: list[str], sink: int, every: Callable[[], None]) -> int:
        # A session of its own: the terminal's Ctrl-C is for us, we end the others in order.
        with subprocess.Popen(  # noqa: S603 - a program of this environment
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=self._env,
            cwd=self.root,
            start_new_session=True,
        ) as flwr:
            try:
                while True:
                    every()
                    try:
                        flwr.wait(timeout=_POLL_SECONDS)
                    except subprocess.TimeoutExpired:
                        continue
                    every()
                    return flwr.returncode
            finally:
                if flwr.poll() is None:
                    flwr.kill()

    def _status(self, app: Path, text: str) -> tuple[str, str]:
        marker = "Successfully started run "
        if marker not in text:
            raise FlowerRunError(f"flwr run {app.name} did not start a run")
        run_id = text.split(marker, 1)[1].split(maxsplit=1)[0]
        done = subprocess.run(  # noqa: S603 - a program of this environment
            [_program("flwr"), "list", "--run-id", run_id, "--format", "json"],
            capture_output=True,
            text=True,
            env=self._env,
            cwd=self.root,
            check=False,
        )
        try:
            run = json.loads(done.stdout)["runs"][0]
            return str(run["status"]), str(run["status-details"])
        except (ValueError, LookupError):
            raise FlowerRunError(f"flwr list does not know run {run_id}: {done.stdout!r}") from None


@contextmanager
def runtime(*, nodes: int, env: Mapping[str, str] | None = None) -> Iterator[Runtime]:
    """Start a private simulation runtime, and end all of it on every way out.

    Parameters
    ----------
    nodes : int
        Simulated SuperNodes.
    env : mapping, optional
        Further environment variables for everything that runs in it.

    Raises
    ------
    FlowerRunError
        If the SuperLink does not answer within a minute.
    """
    mark = secrets.token_hex(8)
    # Ray puts sockets below this folder, and their paths must stay under 108 bytes.
    root = Path(tempfile.mkdtemp(prefix="fs-"))
    port = _free_port()
    environment = {**os.environ, **_environment(root, port), **(env or {}), processes.MARK: mark}
    process: subprocess.Popen[bytes] | None = None
    try:
        log = root / "superlink.log"
        with log.open("wb") as sink:
            command = [_program("flower-superlink"), "--insecure", "--simulation", "--isolation"]
            command += ["subprocess", "--host", "127.0.0.1", "--port", str(port)]
            process = subprocess.Popen(  # noqa: S603 - a program of this environment
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=root,
                start_new_session=True,
            )
        _await(process, port, log)
        yield Runtime(root=root, port=port, env=environment, nodes=nodes)
    finally:
        with _undisturbed():
            processes.end(mark, process.pid if process else None)
            if process:
                process.wait()
            shutil.rmtree(root, ignore_errors=True)


def _environment(root: Path, port: int) -> dict[str, str]:
    home = root / "flwr"
    home.mkdir()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "demo"\n\n[superlink.demo]\naddress = "127.0.0.1:{port}"\n'
        "insecure = true\n",
        encoding="utf-8",
    )
    scripts = str(Path(sys.executable).parent)  # SuperLink finds SuperExec on the path
    return {
        "PATH": scripts + os.pathsep + os.environ.get("PATH", ""),
        "FLWR_HOME": str(home),
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "RAY_TMPDIR": str(root),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_DEDUP_LOGS": "0",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
    }


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(_POLL_SECONDS)
    text = log.read_text(encoding="utf-8", errors="replace")
    raise FlowerRunError(f"Flower's SuperLink did not start on port {port}; {_end_of(text, log)}")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C while we clean up must not leave half of it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _program(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise FlowerRunError(
            f"{name} is not installed beside {sys.executable}; install the demo's extra: "
            "pip install 'flwr-swarm[demo]'"
        )
    return found


def _toml(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _end_of(text: str, log: Path) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    last = "\n  ".join(lines[-_LOG_LINES_IN_ERROR:])
    return f"the end of {log}:\n  {last}"
