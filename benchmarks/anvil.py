"""Start npm's anvil, a real node, on a free loopback port for a benchmark or a test."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import IO

TOOLS = Path(__file__).resolve().parent.parent / "contracts" / "node_modules" / "@foundry-rs"
LIMIT = 30.0


def program() -> Path:
    """Return the pinned anvil that `make contracts` installs."""
    found = sorted(TOOLS.glob("anvil-*/bin/anvil*"))
    if not found:
        raise SystemExit("anvil is not installed; run: make contracts")
    return found[0]


@contextmanager
def anvil(chain_id: int) -> Iterator[str]:
    """Serve a fresh chain while the context is open; yields its URL."""
    arguments = [str(program()), "--port", "0", "--host", "127.0.0.1", "--chain-id", str(chain_id)]
    # Paris, as the contracts are compiled for; Shanghai would limit how many found at once.
    arguments += ["--hardfork", "paris", "--gas-limit", "100000000"]
    arguments += ["--base-fee", "0", "--gas-price", "0", "--order", "fifo"]
    process = subprocess.Popen(  # noqa: S603
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said: Queue[str] = Queue()
    assert process.stdout is not None
    reader = Thread(target=_drain, args=(process.stdout, said), daemon=True)
    reader.start()  # it talks on about every request; a full pipe would stop it
    try:
        yield _listening(said)
    finally:
        process.kill()
        process.wait(LIMIT)
        reader.join(LIMIT)
        process.stdout.close()


def _drain(stream: IO[str], said: Queue[str]) -> None:
    for line in stream:
        said.put(line)


def _listening(said: Queue[str]) -> str:
    end = time.monotonic() + LIMIT
    while (left := end - time.monotonic()) > 0:
        try:
            line = said.get(timeout=left)
        except Empty:
            break
        if listening := re.search(r"Listening on (127\.0\.0\.1:\d+)", line):
            return f"http://{listening[1]}"
    raise RuntimeError(f"anvil did not start within {LIMIT:g} s")
