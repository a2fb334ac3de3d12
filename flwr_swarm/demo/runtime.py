"""A private Flower simulation runtime: own SuperLink, own home, nothing left behind.

`flwr run` would start a SuperLink that outlives it and serves every project of the user on one
fixed port. The demo starts its own on a free loopback port, and ends it with all its children.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flwr_swarm._exceptions import FlowerRunError
from flwr_swarm.deployment import processes
from flwr_swarm.deployment.flower import (
    RunConfig,
    configure,
    end_of,
    program,
    surroundings,
    undisturbed,
)
from flwr_swarm.deployment.runs import Runner

_START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.2


class Runtime:
    """A SuperLink with simulated SuperNodes, for one run after another.

    Use `runtime(...)` to get one; it is ended with its `with` block.
    """

    def __init__(self, *, root: Path, env: Mapping[str, str], nodes: int) -> None:
        self.root = root
        self._runner = Runner(env=env, folder=root)
        self._nodes = nodes

    def run(
        self,
        app: Path,
        config: RunConfig,
        *,
        log: Path,
        every: Callable[[], None] = lambda: None,
    ) -> None:
        """Run the app in folder `app` to its end; see `Runner.run`.

        Raises
        ------
        FlowerRunError
            If the run did not complete; the message holds the end of its log.
        """
        # Two CPUs a client would leave one client at a time on the two cores we are made for.
        resources = f"num-supernodes={self._nodes} client-resources-num-cpus=1"
        resources += f" init-args-num-cpus={max(1, min(os.cpu_count() or 1, self._nodes))}"
        more = ("--federation-config", resources)
        self._runner.run(app, config, log=log, every=every, more=more)


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
            command = [program("flower-superlink"), "--insecure", "--simulation", "--isolation"]
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
        yield Runtime(root=root, env=environment, nodes=nodes)
    finally:
        with undisturbed():
            processes.end(mark, process.pid if process else None)
            if process:
                process.wait()
            shutil.rmtree(root, ignore_errors=True)


def _environment(root: Path, port: int) -> dict[str, str]:
    home = root / "flwr"
    configure(home, "demo", address=f"127.0.0.1:{port}")
    return {
        **surroundings(home),
        "OMP_NUM_THREADS": "1",
        "RAY_TMPDIR": str(root),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_DEDUP_LOGS": "0",
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
    raise FlowerRunError(f"Flower's SuperLink did not start on port {port}; {end_of(log)}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
