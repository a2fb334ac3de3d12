"""The engines that the clients are tested against, behind one port, and members as processes."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from chain_support import START
from eth_account import Account

from flwr_swarm._exceptions import LedgerError, TransactionRefused
from flwr_swarm.chain.client import ChainLedger
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.outbox import Outbox
from flwr_swarm.chain.provider import HttpNode
from flwr_swarm.chain.sender import Sender
from flwr_swarm.chain.server import ChainServer
from flwr_swarm.protocol.ledger import LedgerCall

CHAIN_ID = 4711
MONEY = 10**21
BUILDER = Path(__file__).resolve().parents[2] / "contracts" / "build.py"


class Engine:
    """A chain behind a URL whose time can be advanced and which gives money.

    Parameters
    ----------
    name : str
    url : str
    advance, fund : callable
        Seconds, and an address.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        advance: Callable[[int], object],
        fund: Callable[[str], object],
    ) -> None:
        self.name, self.url, self.chain_id = name, url, CHAIN_ID
        self.advance_clock, self.fund = advance, fund
        self._node = HttpNode(url, timeout=60)

    def request(self, method: str, params: Sequence[Any], *, timeout: float | None = None) -> Any:
        if method == "eth_getTransactionCount" and len(params) == 1:
            params = [*params, "latest"]  # anvil insists
        return self._node.request(method, params, timeout=timeout)


@contextmanager
def started(arguments: list[str], pattern: str) -> Iterator[str]:
    """Run a server until the block ends; the URL is what `pattern` finds in what it prints."""
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if found := re.search(pattern, line):
                break
        else:
            raise RuntimeError("it did not start: " + "".join(said))
        with ExitStack() as stack:
            # Whoever prints to a pipe that nobody empties stops one day.
            sink = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)  # noqa: S607
            stack.callback(sink.wait)
            process.stdout.close()
            stack.callback(process.wait)
            stack.callback(process.terminate)
            yield f"http://{found[1]}"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout is not None and not process.stdout.closed:
            process.stdout.close()


@contextmanager
def embedded(_: Path) -> Iterator[Engine]:
    chain = EmbeddedChain(chain_id=CHAIN_ID, clock=lambda: START)
    with ChainServer(chain) as server:
        yield Engine("embedded", server.url, advance=chain.advance_clock, fund=chain.fund)


@contextmanager
def serve(folder: Path) -> Iterator[Engine]:
    arguments = [sys.executable, "-m", "flwr_swarm.chain.server", "--dir", str(folder), "--port"]
    arguments += ["0", "--chain-id", str(CHAIN_ID), "--time-travel"]
    with started(arguments, r"http://(127\.0\.0\.1:\d+): chain") as url:
        node = HttpNode(url, timeout=60)
        yield Engine(
            "serve",
            url,
            advance=lambda seconds: node.request("evm_increaseTime", [seconds]),
            fund=lambda _: None,  # gas is free
        )


@contextmanager
def anvil(_: Path) -> Iterator[Engine]:
    arguments = [str(builder().foundry("anvil")), "--host", "127.0.0.1", "--port", "0"]
    arguments += ["--chain-id", str(CHAIN_ID), "--hardfork", "paris", "--no-cors"]
    with started(arguments, r"Listening on (127\.0\.0\.1:\d+)") as url:
        node = HttpNode(url, timeout=60)

        # Anvil alone gives blocks of one second the same time, which no other chain does.
        node.request("anvil_setBlockTimestampInterval", [1])

        def advance(seconds: int) -> None:
            newest = node.request("eth_getBlockByNumber", ["latest", False])
            then = int(newest["timestamp"], 16) + seconds
            node.request("evm_setNextBlockTimestamp", [then])
            node.request("evm_mine", [])

        yield Engine(
            "anvil",
            url,
            advance=advance,
            fund=lambda address: node.request("anvil_setBalance", [address, hex(MONEY)]),
        )


ENGINES = {"embedded": embedded, "serve": serve, "anvil": anvil}


def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("contracts_build", BUILDER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- what a member's process does ------------------------------------------------------------


def submit(url: str, contract: str, key: bytes, call: LedgerCall, outbox: str | None) -> str:
    """Submit one call as one member; return "done" or the name of the refusal."""
    ledger = ChainLedger(
        url=url,
        contract=contract,
        key=key,
        chain_id=CHAIN_ID,
        timeout=60,
        outbox=Outbox(Path(outbox)) if outbox else None,
    )
    try:
        ledger.submit(call)
    except TransactionRefused as error:
        return error.reason
    except LedgerError as error:
        return type(error).__name__
    return "done"


def send_all(url: str, contract: str, key: bytes, datas: list[bytes], outbox: str | None) -> int:
    """Send calldata after calldata from one account; return how many were mined."""
    sender = Sender(
        HttpNode(url, timeout=60),
        Account.from_key(key),
        chain_id=CHAIN_ID,
        timeout=60,
        outbox=Outbox(Path(outbox)) if outbox else None,
    )
    return sum(sender.send(to=contract, data=data)["status"] == "0x1" for data in datas)
