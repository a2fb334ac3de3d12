"""Send one account's transactions: simulated first, never doubled, final when it returns."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from eth_account.signers.local import LocalAccount

from flwr_swarm._exceptions import AccountBusy, ChainUnreachable, NodeBehind, TransactionRefused

from .errors import UNREADABLE, Answer, answer_to_sending, refusal
from .jsonrpc import RpcError
from .outbox import Entry, Outbox, Status
from .provider import LONGEST_PAUSE, PAUSE, Node, ask
from .transactions import parse

DRAW_GAS: Final = 1_000_000
"""Added to every estimate: between estimate and block, another member's seal can make this
transaction the one that closes sealing and pays for the draw."""
_RESEND_SECONDS: Final = 5.0
_SURE_SECONDS: Final = 1.0
"""How long a receipt may lag behind the nonce, as where several nodes share one URL."""

_locks: dict[tuple[int, str], threading.Lock] = {}
_locks_guard: Final = threading.Lock()


def _lock_of(chain_id: int, account: str) -> threading.Lock:
    with _locks_guard:
        return _locks.setdefault((chain_id, account), threading.Lock())


class Sender:
    """Signs and sends as one account, one transaction at a time.

    Guarantee: a `send` that returns had its effect once. One that raises a refusal had none. One
    that raises `ChainUnreachable` may have had it, or may have it yet; with an outbox, the same
    `send` repeated then returns the fate of that transaction instead of signing another, in
    this process or in the next. It assumes that a node tells of a mined transaction at most a
    second after it counts its nonce, not that it keeps or relays pending ones.

    Parameters
    ----------
    node : Node
    account : LocalAccount
    chain_id : int
        Every signature is for this chain and no other.
    timeout : float
        Seconds for one `send`, all repetitions included.
    outbox : Outbox or None
        Records every transaction before it is sent, and makes this the only sender of the
        account among all processes with the same outbox. None: only within this process.
    """

    def __init__(
        self,
        node: Node,
        account: LocalAccount,
        *,
        chain_id: int,
        timeout: float,
        outbox: Outbox | None = None,
    ) -> None:
        self._node = node
        self._account = account
        self._chain_id = chain_id
        self._timeout = timeout
        self._outbox = outbox

    def __repr__(self) -> str:
        return f"Sender({self._account.address})"

    def send(self, *, to: str | None, data: bytes, end: float | None = None) -> dict[str, Any]:
        """Send calldata, or init code where `to` is None, and wait for its receipt.

        A refusal is seen in a simulation, so costs nothing. After a lost answer the same signed
        bytes are sent again, which no chain executes twice. A nonce that was used meanwhile is
        looked up by hash, for it may be this transaction that used it, before it is replaced.

        Parameters
        ----------
        end : float or None
            When to give up, on the monotonic clock; None counts `timeout` from now.

        Raises
        ------
        TransactionRefused, NotAMember
            The contract refuses, by its own error name.
        OutOfFunds
            The account cannot pay for gas.
        WrongChain
            The node is of another chain.
        AccountBusy
            Another process or thread sends as this account until the time limit.
        NodeBehind
            The node does not know transactions that this account has sent.
        ChainUnreachable
            No receipt within the time limit. The transaction may still be mined: repeat the
            same `send` where there is an outbox, and read the ledger before that where not.
        """
        end = time.monotonic() + self._timeout if end is None else end
        with self._turn(end):
            receipt = self._settle_open(to, data, end)
            call = self._call(to, data)
            while receipt is None:
                gas = self._estimate(call, end)
                nonce = self._nonce("pending", end)
                signed = self._account.sign_transaction(self._fields(to, data, gas, nonce, end))
                entry = Entry(
                    nonce=nonce,
                    hash=bytes(signed.hash),
                    raw=bytes(signed.raw_transaction),
                    status=Status.PENDING,
                )
                self._record(entry)
                receipt = self._deliver(entry, end)
                if receipt is None:
                    self._wait(LONGEST_PAUSE / 10, end)
        if int(receipt["status"], 16) != 1:
            self._explain(call, receipt, end)
        return receipt

    # --- one at a time, on record ------------------------------------------------------------

    @contextmanager
    def _turn(self, end: float) -> Iterator[None]:
        here = _lock_of(self._chain_id, self._account.address)
        if not here.acquire(timeout=max(end - time.monotonic(), 0)):
            raise self._busy("thread of this process")
        try:
            if self._outbox is None:
                yield
                return
            lock = self._outbox.lock(self._chain_id, self._account.address)
            if not lock.acquire(end=end):
                raise self._busy("process")
            try:
                yield
            finally:
                lock.release()
        finally:
            here.release()

    def _busy(self, who: str) -> AccountBusy:
        return AccountBusy(
            f"another {who} sends as {self._account.address} and did not end within "
            f"{self._timeout:g} s; nothing was sent: wait for it, or end it"
        )

    def _record(self, entry: Entry) -> None:
        if self._outbox is not None:
            self._outbox.add(
                chain_id=self._chain_id,
                account=self._account.address,
                nonce=entry.nonce,
                digest=entry.hash,
                raw=entry.raw,
            )

    def _mark(self, entry: Entry, status: Status) -> None:
        if self._outbox is not None:
            self._outbox.mark(entry.hash, status)

    def _settle_open(self, to: str | None, data: bytes, end: float) -> dict[str, Any] | None:
        """Learn what became of earlier transactions; return the receipt if one is this call."""
        if self._outbox is None:
            return None
        same = None
        for entry in self._outbox.entries(self._chain_id, self._account.address, Status.PENDING):
            try:
                receipt = self._deliver(entry, end)
            except TransactionRefused:
                continue  # it is marked, and its nonce is free for what comes now
            if receipt is not None and int(receipt["status"], 16) == 1:
                sent = parse(entry.raw)
                if (sent.to, sent.data) == (to, data):
                    same = receipt
        return same

    # --- on the chain ------------------------------------------------------------------------

    def _call(self, to: str | None, data: bytes) -> dict[str, Any]:
        call = {"from": self._account.address, "data": "0x" + data.hex()}
        return call if to is None else call | {"to": to}

    def _estimate(self, call: dict[str, Any], end: float) -> int:
        try:
            estimate = int(self._ask("eth_estimateGas", [call], end), 16)
        except RpcError as error:
            raise refusal(error.as_object(), account=self._account.address) from error
        return estimate + estimate // 4 + DRAW_GAS

    def _nonce(self, block: str, end: float) -> int:
        return int(self._ask("eth_getTransactionCount", [self._account.address, block], end), 16)

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

    def _deliver(self, entry: Entry, end: float) -> dict[str, Any] | None:
        """Return the receipt, or None if the transaction cannot be mined any more."""
        pause, resend_at, in_doubt = PAUSE, 0.0, False
        answer, gone_since = Answer.LOST, None
        while True:
            if answer in {Answer.LOST, Answer.TOO_HIGH} or time.monotonic() >= resend_at:
                answer, error = self._offer(entry, end)
                resend_at = time.monotonic() + _RESEND_SECONDS
                in_doubt = in_doubt or answer is not Answer.REFUSED
            used = answer is Answer.NONCE_USED and self._nonce("latest", end) > entry.nonce
            # Asked after the nonce: if it is used and this is not mined, another one used it.
            if (receipt := self._receipt(entry.hash, end)) is not None:
                good = int(receipt["status"], 16) == 1
                self._mark(entry, Status.MINED if good else Status.FAILED)
                return receipt
            if used and gone_since is None:
                gone_since = time.monotonic()
            if gone_since is not None and time.monotonic() >= gone_since + _SURE_SECONDS:
                self._mark(entry, Status.REPLACED)
                return None
            # A refusal after a lost answer does not say what the first try did.
            if error is not None and answer is Answer.REFUSED and not in_doubt:
                self._mark(entry, Status.REFUSED)
                raise refusal(error.as_object(), account=self._account.address) from error
            self._wait(pause, end, behind=answer is Answer.TOO_HIGH)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _offer(self, entry: Entry, end: float) -> tuple[Answer, RpcError | None]:
        try:
            self._node.request(
                "eth_sendRawTransaction",
                ["0x" + entry.raw.hex()],
                timeout=max(end - time.monotonic(), 0),
            )
        except ChainUnreachable:
            return Answer.LOST, None
        except RpcError as error:
            return answer_to_sending(error.message), error
        return Answer.TAKEN, None

    def _receipt(self, digest: bytes, end: float) -> dict[str, Any] | None:
        found = self._ask("eth_getTransactionReceipt", ["0x" + digest.hex()], end)
        # Some nodes tell of a receipt before its block.
        return found if isinstance(found, dict) and found.get("blockNumber") else None

    def _ask(self, method: str, params: list[Any], end: float) -> Any:
        return ask(self._node, method, params, end=end)

    def _wait(self, pause: float, end: float, *, behind: bool = False) -> None:
        if (left := end - time.monotonic()) > 0:
            time.sleep(min(pause, left))
        elif behind:
            raise NodeBehind(
                f"the node does not know earlier transactions of {self._account.address}; use a "
                "node that is in step with the chain, or remove the outbox if the chain was "
                "begun anew"
            )
        else:
            raise ChainUnreachable(
                f"no receipt within {self._timeout:g} s; the transaction may still be mined: "
                "read the ledger before repeating it"
            )

    def _explain(self, call: dict[str, Any], receipt: dict[str, Any], end: float) -> None:
        """Find out why a mined transaction failed: another one came first."""
        try:
            self._ask("eth_call", [call, receipt["blockNumber"]], end)
        except RpcError as error:
            raise refusal(error.as_object(), account=self._account.address) from error
        except ChainUnreachable:
            why = "the transaction failed in its block, and the node does not say why"
        else:
            why = "the transaction failed in its block and gave no reason"
        raise TransactionRefused(UNREADABLE, f"{why}; read the ledger")
