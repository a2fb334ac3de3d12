"""A chain whose effects can be counted, and a node in front of it that loses what it is told to.

Time is the test's: sleeping and slow answers move it, nothing waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address

from flwr_swarm._exceptions import ChainUnreachable
from flwr_swarm.chain import client, deploy, locks, provider, sender
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.jsonrpc import RpcError
from flwr_swarm.chain.sender import Sender

# The contract logs its calldata: CALLDATACOPY(0, 0, size), LOG0(0, size).
ECHO = bytes.fromhex("6a" + "366000600037366000a000" + "600052600b6015f3")
LIMIT = 30.0


def begun() -> tuple[EmbeddedChain, str]:
    """A fresh chain and the address of its echoing contract."""
    chain = EmbeddedChain(chain_id=77, clock=lambda: 1_700_000_000)
    founder = Account.from_key(b"\x07" * 32)
    receipt = Sender(chain, founder, chain_id=77, timeout=5).send(to=None, data=ECHO)
    return chain, to_checksum_address(receipt["contractAddress"])


def effects(chain: EmbeddedChain, contract: str) -> list[bytes]:
    """What was ever sent to the echoing contract, in the chain's order."""
    wanted = {"address": contract, "fromBlock": "0x0", "toBlock": "latest"}
    return [bytes.fromhex(log["data"][2:]) for log in chain.request("eth_getLogs", [wanted])]


class Clock:
    """Time that only sleeping and waiting for answers move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@contextmanager
def virtual_time() -> Iterator[Clock]:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        for module in (client, deploy, locks, provider, sender):
            fake = SimpleNamespace(monotonic=clock.monotonic, sleep=clock.sleep)
            patch.setattr(module, "time", fake)
        yield clock


class Crash(BaseException):
    """The process dies here."""


class Faulty:
    """A node that does to each request what the next word of `plan` says, then all it can.

    `lose` loses the request, `lose answer` the answer, `slow` takes three seconds, `twice`
    delivers it twice, `stale` tells a nonce or a receipt from before, `steal` lets another
    process with the same key use the nonce first, `pool` takes the bytes and forgets them,
    `later` says that another transaction has the nonce and mines these bytes two seconds on,
    `crash before` and `crash after` end the process. What is mined already is "nonce too low".
    """

    WORDS = ("ok", "lose", "lose answer", "slow", "twice", "stale", "steal", "pool", "later")
    CRASHES = ("crash before", "crash after")

    def __init__(
        self, chain: EmbeddedChain, clock: Clock, plan: Sequence[str], account: LocalAccount
    ) -> None:
        self._chain, self._clock, self._account = chain, clock, account
        self._plan = list(plan)
        self._later: list[tuple[float, Sequence[Any]]] = []

    def request(self, method: str, params: Sequence[Any], *, timeout: float | None = None) -> Any:
        assert timeout is not None, "every request has the time that is left"
        word = self._plan.pop(0) if self._plan else "ok"
        sending = method == "eth_sendRawTransaction"
        if word in {"lose", "slow"} and timeout < 3:
            self._clock.now += timeout
            raise ChainUnreachable("lost")
        if word == "lose":
            raise ChainUnreachable("lost")
        if word == "slow":
            self._clock.now += 3
        if word == "crash before":
            raise Crash
        if word == "steal":
            self.steal()
        if word == "pool" and sending:
            return "0x" + "00" * 32
        if word == "twice" and sending:
            self._try(method, params)
        self._mine_what_is_due()
        if word == "later" and sending:
            self._later.append((self._clock.now + 2, params))
            raise RpcError(-32000, "replacement transaction underpriced")
        if word == "stale" and method == "eth_getTransactionReceipt":
            return None
        result = self._asked(method, params)
        if word == "stale" and method == "eth_getTransactionCount" and int(result, 16):
            return hex(int(result, 16) - 1)
        if word == "crash after":
            raise Crash
        if word == "lose answer":
            raise ChainUnreachable("lost")
        return result

    def _asked(self, method: str, params: Sequence[Any]) -> Any:
        try:
            return self._chain.request(method, params)
        except RpcError as error:
            if error.message == "already known":  # as geth says of what is mined
                raise RpcError(-32000, "nonce too low") from error
            raise

    def _mine_what_is_due(self) -> None:
        for due in [due for due in self._later if due[0] <= self._clock.now]:
            self._later.remove(due)
            self._try("eth_sendRawTransaction", due[1])

    def _try(self, method: str, params: Sequence[Any]) -> None:
        try:
            self._chain.request(method, params)
        except RpcError:
            return

    def steal(self) -> None:
        """Use the account's next nonce for something else."""
        nonce = int(self._chain.request("eth_getTransactionCount", [self._account.address]), 16)
        signed = self._account.sign_transaction(
            {
                "type": 2,
                "chainId": 77,
                "nonce": nonce,
                "to": self._account.address,
                "value": 0,
                "gas": 21_000,
                "maxFeePerGas": 0,
                "maxPriorityFeePerGas": 0,
            }
        )
        self._chain.request("eth_sendRawTransaction", ["0x" + bytes(signed.raw_transaction).hex()])
