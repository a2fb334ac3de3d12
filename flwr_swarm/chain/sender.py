"""Send one account's transactions: simulated first, never doubled, final when it returns."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

from eth_account.signers.local import LocalAccount

from flwr_swarm._exceptions import ChainUnreachable, TransactionRefused

from .errors import UNREADABLE, refusal
from .jsonrpc import RpcError
from .provider import Node

DRAW_GAS: Final = 1_000_000
"""Added to every estimate: between estimate and block, another member's seal can make this
transaction the one that closes sealing and pays for the draw."""
_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 1.0

_locks: dict[tuple[int, str], threading.Lock] = {}
_locks_guard: Final = threading.Lock()


def _lock_of(chain_id: int, account: str) -> threading.Lock:
    with _locks_guard:
        return _locks.setdefault((chain_id, account), threading.Lock())


class Sender:
    """Signs and sends as one account; one transaction at a time per account and process.

    Parameters
    ----------
    node : Node
    account : LocalAccount
    chain_id : int
        Every signature is for this chain and no other.
    timeout : float
        Seconds for one `send`, all repetitions included.
    """

    def __init__(self, node: Node, account: LocalAccount, *, chain_id: int, timeout: float) -> None:
        self._node = node
        self._account = account
        self._chain_id = chain_id
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"Sender({self._account.address})"

    def send(self, *, to: str | None, data: bytes) -> dict[str, Any]:
        """Send calldata, or init code where `to` is None, and wait for its receipt.

        A refusal is seen in a simulation, so costs nothing. After a lost answer the same signed
        bytes are sent again, which no chain executes twice; a nonce that another process used
        meanwhile is looked up by hash before it is replaced.

        Raises
        ------
        TransactionRefused, NotAMember
            The contract refuses, by its own error name.
        ChainUnreachable
            No receipt within the time limit. The transaction may still be mined: read the
            ledger before repeating it.
        """
        end = time.monotonic() + self._timeout
        with _lock_of(self._chain_id, self._account.address):
            while True:
                call = self._call(to, data)
                gas = self._estimate(call, end)
                nonce = int(
                    self._ask("eth_getTransactionCount", [self._account.address, "pending"], end),
                    16,
                )
                signed = self._account.sign_transaction(self._fields(to, data, gas, nonce, end))
                receipt = self._deliver(bytes(signed.raw_transaction), bytes(signed.hash), end)
                if receipt is not None:
                    break
                self._wait(_LONGEST_PAUSE / 10, end)
        if int(receipt["status"], 16) != 1:
            self._explain(call, receipt)
        return receipt

    def _call(self, to: str | None, data: bytes) -> dict[str, Any]:
        call = {"from": self._account.address, "data": "0x" + data.hex()}
        return call if to is None else call | {"to": to}

    def _estimate(self, call: dict[str, Any], end: float) -> int:
        try:
            estimate = int(self._ask("eth_estimateGas", [call], end), 16)
        except RpcError as error:
            raise refusal(error.as_object(), account=self._account.address) from error
        return estimate + estimate // 4 + DRAW_GAS

    def _fields(
        self, to: str | None, data: bytes, gas: int, nonce: int, end: float
    ) -> dict[str, Any]:
        block = self._ask("eth_getBlockByNumber", ["latest", False], end)
        base_fee = int(block.get("baseFeePerGas") or "0x0", 16)
        tip = int(self._ask("eth_maxPriorityFeePerGas", [], end), 16) if base_fee else 0
        fields = {
            "type": 2,
            "chainId": self._chain_id,
            "nonce": nonce,
            "value": 0,
            "gas": min(gas, int(block["gasLimit"], 16)),
            "maxFeePerGas": 2 * base_fee + tip,
            "maxPriorityFeePerGas": tip,
            "data": "0x" + data.hex(),
        }
        return fields if to is None else fields | {"to": to}

    def _deliver(self, raw: bytes, digest: bytes, end: float) -> dict[str, Any] | None:
        """Return the receipt, or None if another transaction took the nonce."""
        pause = _PAUSE
        while True:
            try:
                self._node.request("eth_sendRawTransaction", ["0x" + raw.hex()])
                break
            except ChainUnreachable:
                if time.monotonic() + pause > end:
                    raise
            except RpcError as error:
                message = error.message.lower()
                if "already known" in message or "known transaction" in message:
                    break
                if "nonce" in message or "underpriced" in message:
                    # Ours from an earlier try, or another process's with the same key.
                    return self._receipt(digest, end)
                raise refusal(error.as_object(), account=self._account.address) from error
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        pause = _PAUSE
        while (receipt := self._receipt(digest, end)) is None:
            self._wait(pause, end)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return receipt

    def _receipt(self, digest: bytes, end: float) -> dict[str, Any] | None:
        found = self._ask("eth_getTransactionReceipt", ["0x" + digest.hex()], end)
        return found if isinstance(found, dict) else None

    def _ask(self, method: str, params: list[Any], end: float) -> Any:
        return ask(self._node, method, params, end=end)

    def _wait(self, pause: float, end: float) -> None:
        if time.monotonic() + pause > end:
            raise ChainUnreachable(
                f"no receipt within {self._timeout:g} s; the transaction may still be mined: "
                "read the ledger before repeating it"
            )
        time.sleep(pause)

    def _explain(self, call: dict[str, Any], receipt: dict[str, Any]) -> None:
        """Find out why a mined transaction failed: another one came first."""
        try:
            self._node.request("eth_call", [call, receipt["blockNumber"]])
        except RpcError as error:
            raise refusal(error.as_object(), account=self._account.address) from error
        raise TransactionRefused(
            UNREADABLE, "the transaction failed in its block and gave no reason; read the ledger"
        )


def ask(node: Node, method: str, params: list[Any], *, end: float) -> Any:
    """Ask what changes nothing, again and again while the node cannot be reached.

    Parameters
    ----------
    end : float
        When to give up, on the monotonic clock.
    """
    pause = _PAUSE
    while True:
        try:
            return node.request(method, params)
        except ChainUnreachable:
            if time.monotonic() + pause > end:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
