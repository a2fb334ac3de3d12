"""Kill the development chain's server during transactions, and look for what it acknowledged.

    python -m benchmarks.durability [--kills 10] [--transactions 1000] [--json FILE]

Each run starts ``flwr_swarm.chain.server`` on an empty folder, sends transactions from several
accounts at once, sends SIGKILL after a random number of acknowledgements, starts the server
again, and asks for every transaction that was acknowledged and every block that was read.
It then sends the rest, stops the server, and compares the last state root after one more start.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from eth_account import Account

from flwr_swarm._exceptions import ChainUnreachable
from flwr_swarm.chain.jsonrpc import RpcError
from flwr_swarm.chain.provider import HttpNode

SENDERS = 4
CHAIN_ID = 4242
RECEIVER = "0x" + "11" * 20
COMMAND = (sys.executable, "-m", "flwr_swarm.chain.server")


class Server:
    """One process that serves a folder's chain; `url` once it accepts connections."""

    def __init__(self, folder: Path, command: tuple[str, ...] = COMMAND) -> None:
        arguments = ["--dir", str(folder), "--port", "0", "--chain-id", str(CHAIN_ID)]
        self.process = subprocess.Popen(  # noqa: S603
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", self.said)
        if found is None:
            raise RuntimeError(f"the server did not start: {self.end(signal.SIGKILL)}")
        self.url = found[0]
        self.node = HttpNode(self.url, timeout=20)

    def end(self, number: signal.Signals) -> str:
        """Send a signal, wait for the end, and return what was logged."""
        self.process.send_signal(number)
        _, logged = self.process.communicate(timeout=20)
        return logged

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one kill did."""

    acknowledged: int
    found: int
    lost: int
    written_unacknowledged: int
    blocks_read: int
    blocks_changed: int
    cut_bytes: int
    state_root_equal: bool
    seconds_to_restart: float


class Load:
    """Signed transactions of a few accounts, sent by one thread each."""

    def __init__(self, transactions: int) -> None:
        self._signed = [_signed(i, transactions // SENDERS) for i in range(SENDERS)]
        self._changed = threading.Condition()
        self.acknowledged: set[str] = set()
        self.blocks: dict[str, tuple[str, str]] = {}

    def send(self, url: str) -> list[threading.Thread]:
        """Start sending what is not on the chain yet; each thread ends with the server."""
        threads = [
            threading.Thread(target=self._send, args=(HttpNode(url, timeout=20), *signed))
            for signed in self._signed
        ]
        for thread in threads:
            thread.start()
        return threads

    def wait_for(self, count: int) -> None:
        """Wait until `count` transactions were acknowledged."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.acknowledged) >= count, timeout=120):
                raise RuntimeError(f"{len(self.acknowledged)} of {count} were acknowledged")

    def _send(self, node: HttpNode, account: str, signed: list[str]) -> None:
        try:
            first = int(node.request("eth_getTransactionCount", [account, "latest"]), 16)
            for raw in signed[first:]:
                digest = node.request("eth_sendRawTransaction", [raw])
                with self._changed:
                    self.acknowledged.add(digest)
                    self._changed.notify_all()
                if int(raw[-1], 16) % 4 == 0:
                    self.read_newest(node)
        except ChainUnreachable:
            return

    def read_newest(self, node: HttpNode) -> tuple[str, str]:
        """Read and remember the newest block's hash and state root."""
        block = node.request("eth_getBlockByNumber", ["latest", False])
        self.blocks[block["number"]] = (block["hash"], block["stateRoot"])
        return self.blocks[block["number"]]


def _signed(index: int, count: int) -> tuple[str, list[str]]:
    account = Account.from_key((1000 + index).to_bytes(32, "big"))
    fields: dict[str, Any] = {
        "type": 2,
        "chainId": CHAIN_ID,
        "to": RECEIVER,
        "value": 0,
        "gas": 100_000,
        "maxFeePerGas": 0,
        "maxPriorityFeePerGas": 0,
        "data": "0x" + "ab" * 100,
    }
    signed = (account.sign_transaction(fields | {"nonce": n}) for n in range(count))
    return account.address, ["0x" + bytes(s.raw_transaction).hex() for s in signed]


def kill_once(
    folder: Path,
    *,
    transactions: int,
    after: int,
    delay: float = 0,
    command: tuple[str, ...] = COMMAND,
) -> Run:
    """Do one run in an empty folder; kill `delay` seconds after `after` were acknowledged."""
    load = Load(transactions)
    with Server(folder, command) as server:
        threads = load.send(server.url)
        load.wait_for(after)
        time.sleep(delay)
        server.end(signal.SIGKILL)
        for thread in threads:
            thread.join()
    acknowledged = sorted(load.acknowledged)
    start = time.perf_counter()
    with Server(folder, command) as server:
        seconds = time.perf_counter() - start
        node = server.node
        found = sum(
            node.request("eth_getTransactionReceipt", [digest]) is not None
            for digest in acknowledged
        )
        changed = 0
        for number, seen in load.blocks.items():
            block = node.request("eth_getBlockByNumber", [number, False])
            changed += block is None or (block["hash"], block["stateRoot"]) != seen
        height = int(node.request("eth_blockNumber", []), 16)
        blocks_read = len(load.blocks)
        try:
            for thread in load.send(server.url):
                thread.join()
        except RpcError as error:
            raise RuntimeError("the chain refused what follows on it") from error
        last = load.read_newest(node)
        logged = server.end(signal.SIGTERM)
    with Server(folder, command) as server:
        complete = int(server.node.request("eth_blockNumber", []), 16)
        equal = load.read_newest(server.node) == last
        equal = equal and complete == transactions // SENDERS * SENDERS
        server.end(signal.SIGTERM)
    cut = re.search(r"cut (\d+) bytes", logged)
    return Run(
        acknowledged=len(acknowledged),
        found=found,
        lost=len(acknowledged) - found,
        written_unacknowledged=height - found,
        blocks_read=blocks_read,
        blocks_changed=changed,
        cut_bytes=int(cut[1]) if cut else 0,
        state_root_equal=equal,
        seconds_to_restart=round(seconds, 2),
    )


def main(arguments: list[str] | None = None) -> int:
    """Print the table; exit code 1 if anything was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--transactions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    draw = random.Random(options.seed)  # noqa: S311 - moments to kill at, no secret
    runs = []
    columns = list(Run.__dataclass_fields__)
    print("run", *columns)
    for number in range(options.kills):
        after = draw.randint(1, options.transactions - SENDERS)
        with TemporaryDirectory() as folder:
            run = kill_once(
                Path(folder),
                transactions=options.transactions,
                after=after,
                delay=draw.uniform(0, 0.02),
            )
        runs.append(run)
        print(number + 1, *(getattr(run, name) for name in columns), flush=True)
    lost = sum(run.lost + run.blocks_changed + (not run.state_root_equal) for run in runs)
    if options.json:
        report = {
            "transactions": options.transactions,
            "cores": os.cpu_count(),
            "runs": [asdict(run) for run in runs],
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
