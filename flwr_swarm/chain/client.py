"""The ledger of a member: reads the contract, signs and sends the member's calls."""

from __future__ import annotations

import threading
import time
from typing import Any, Final, Self

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from flwr_swarm._exceptions import (
    ChainUnreachable,
    ConfigurationError,
    LedgerError,
    NoContract,
    NodeBehind,
    NotAMember,
    WrongChain,
    WrongContract,
)
from flwr_swarm.protocol.ledger import LedgerCall
from flwr_swarm.protocol.types import LedgerView, Proposal

from . import artifact
from .address import charter_address
from .codec import Fields, decode_result, encode_call
from .errors import refusal
from .jsonrpc import RpcError
from .outbox import Outbox
from .provider import Node, ask, node_of
from .sender import Sender
from .translate import call_data, proposal_from, view_from

TIMEOUT: Final = 30.0
_CHECKED: Final[set[tuple[str, int, str]]] = set()
"""URL, chain and contract whose code this process has checked."""


class ReadOnlyLedger:
    """The contract as anyone may read it; it holds no key, as the relay does not.

    Parameters
    ----------
    url : str or Node
        JSON-RPC address of a node of the chain, or an `EmbeddedChain` of this process.
    contract : str
        Address of the swarm's contract.
    chain_id : int or None
        Pinned chain id; None pins the one that is found first.
    timeout : float
        Seconds after which a call gives up, repetitions included.
    """

    def __init__(
        self,
        *,
        url: str | Node,
        contract: str,
        chain_id: int | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        if timeout <= 0:
            raise ConfigurationError(f"timeout must be > 0 seconds, got {timeout}; try {TIMEOUT}")
        try:
            self._contract = to_checksum_address(contract)
        except ValueError as error:
            raise ConfigurationError(
                f"contract must be a chain address, got {contract!r}; give 0x and 40 hex digits"
            ) from error
        self._node = node_of(url, timeout=timeout)
        self._node_name = url if isinstance(url, str) else ""
        self._timeout = timeout
        self._pinned = chain_id
        self._checked: int | None = None
        self._guard = threading.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._contract})"

    @property
    def contract(self) -> str:
        """Checksummed address of the contract."""
        return self._contract

    @property
    def account(self) -> str:
        """Chain address that signs; there is none here."""
        raise NotAMember("this ledger is read-only; open a ChainLedger with a member's key")

    def connect(self) -> Self:
        """Check once that chain and contract are the pinned ones.

        Raises
        ------
        WrongChain
            The chain's id differs.
        NoContract, WrongContract
            The address holds no contract, or another one.
        NodeBehind
            The address holds no contract yet: the node is still catching up.
        ChainUnreachable
            No answer within the time limit.
        """
        self._chain_id(self._end())
        return self

    def view(self) -> LedgerView:
        """Read one consistent view of the contract, in one call.

        `now` is the time that a block mined at this moment would carry, or the newest block's
        on nodes that answer so.
        """
        end = self._end()
        chain_id = self._chain_id(end)
        return view_from(self._call("look", end=end), chain_id=chain_id, contract=self._contract)

    def proposals(self) -> int:
        """Read how many proposals were ever made; their ids are 1, 2, ..."""
        return int(decode_result("proposals", self._read("proposals"))[""])

    def proposal(self, number: int) -> Proposal | None:
        """Read one proposal, or None if there is none of that number."""
        return proposal_from(number, self._read("proposalAt", {"id": number}))

    def endpoints(self) -> tuple[str, ...]:
        """Read where each seat's site is reached; empty for a vacant seat."""
        return tuple(decode_result("endpoints", self._read("endpoints"))["found"])

    def submit(self, call: LedgerCall) -> None:
        """Refuse: there is no key to sign with."""
        raise NotAMember(
            f"cannot submit {type(call).__name__}: this ledger is read-only; "
            "open a ChainLedger with a member's key"
        )

    def _end(self) -> float:
        return time.monotonic() + self._timeout

    def _chain_id(self, end: float) -> int:
        if not self._guard.acquire(timeout=max(end - time.monotonic(), 0)):
            raise ChainUnreachable(
                f"the chain was not known within {self._timeout:g} s; check that the node runs"
            )
        try:
            if self._checked is None:
                found = int(self._ask("eth_chainId", [], end), 16)
                if self._pinned is not None and found != self._pinned:
                    raise WrongChain(
                        f"chain id is {found}, pinned is {self._pinned}; "
                        "give the URL of a node of the swarm's own chain"
                    )
                # A simulation's process opens a ledger for every message; the code never changes.
                if (known := (self._node_name, found, self._contract)) not in _CHECKED:
                    self._check_code(end)
                    if self._node_name:
                        _CHECKED.add(known)
                self._checked = found
            return self._checked
        finally:
            self._guard.release()

    def _check_code(self, end: float) -> None:
        shipped = artifact.load()
        charter = charter_address(self._contract)
        for address, expected in (
            (self._contract, shipped.code_hash),
            (charter, shipped.charter_hash),
        ):
            code = bytes.fromhex(self._ask("eth_getCode", [address, "latest"], end)[2:])
            if not code:
                raise self._no_contract(address, end)
            if keccak(code) != expected:
                raise WrongContract(
                    f"the contract at {address} has code hash 0x{keccak(code).hex()}, this "
                    f"version ships 0x{expected.hex()}; install the version of flwr_swarm that "
                    "founded the swarm"
                )

    def _no_contract(self, address: str, end: float) -> LedgerError:
        try:
            syncing = self._ask("eth_syncing", [], end)
        except LedgerError:
            syncing = False
        if syncing:
            return NodeBehind(
                f"no contract at {address} yet: the node is catching up with its chain; wait for "
                "it, or use another node"
            )
        return NoContract(
            f"no contract at {address}; check the address, and that the node is of this chain"
        )

    def _read(self, name: str, fields: Fields | None = None) -> bytes:
        end = self._end()
        self._chain_id(end)
        return self._call(name, fields, end=end)

    def _call(self, name: str, fields: Fields | None = None, *, end: float) -> bytes:
        call = {"to": self._contract, "data": "0x" + encode_call(name, fields or {}).hex()}
        answer: str = self._ask("eth_call", [call, "latest"], end)
        if answer == "0x":  # the node holds no contract there now: it was begun anew, perhaps
            self._check_code(end)
        return bytes.fromhex(answer[2:])

    def _ask(self, method: str, params: list[Any], end: float) -> Any:
        try:
            return ask(self._node, method, params, end=end)
        except RpcError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: RpcError) -> LedgerError:
        return refusal(error.as_object())


class ChainLedger(ReadOnlyLedger):
    """A member's connection to the contract: `flwr_swarm.protocol.ledger.Ledger` over JSON-RPC.

    Parameters
    ----------
    key : bytes or LocalAccount
        The member's private key. It signs here and never leaves the process.
    url, contract, chain_id, timeout
        As for `ReadOnlyLedger`; the time limit holds for a whole `submit`.
    outbox : Outbox or None
        Keeps what is sent, so that a crash neither loses nor doubles a call, and makes this the
        only sender of the account among all processes with the same outbox.
    """

    def __init__(
        self,
        *,
        url: str | Node,
        contract: str,
        key: bytes | LocalAccount,
        chain_id: int | None = None,
        timeout: float = TIMEOUT,
        outbox: Outbox | None = None,
    ) -> None:
        super().__init__(url=url, contract=contract, chain_id=chain_id, timeout=timeout)
        self._signer = account_of(key)
        self._outbox = outbox

    def __repr__(self) -> str:
        return f"ChainLedger({self._contract}, account={self._signer.address})"

    @property
    def account(self) -> str:
        """Chain address that signs this connection's transactions."""
        return str(self._signer.address)

    def submit(self, call: LedgerCall) -> None:
        """Send `call` and wait until it is mined.

        Raises
        ------
        TransactionRefused
            The contract refuses; `reason` is its error's name. Nothing was sent, unless another
            member's transaction came first.
        NotAMember
            The account is no member.
        OutOfFunds
            The account cannot pay for gas.
        AccountBusy
            Another process or thread sends as this account until the time limit.
        ChainUnreachable
            No receipt within the time limit. The call may still be mined: with an outbox, submit
            the same call again to learn its fate; without, read the ledger before.
        WrongChain
            Chain or contract is not the pinned one.
        """
        end = self._end()
        sender = Sender(
            self._node,
            self._signer,
            chain_id=self._chain_id(end),
            timeout=self._timeout,
            outbox=self._outbox,
        )
        sender.send(to=self._contract, data=call_data(call), end=end)


def account_of(key: bytes | LocalAccount) -> LocalAccount:
    """Return the account of a 32-byte private key, or the account that was given."""
    if not isinstance(key, bytes):
        return key
    try:
        account: LocalAccount = Account.from_key(key)
    except Exception:  # whatever it says may quote the key, so its text and chain are dropped
        account = None  # type: ignore[assignment]
    if account is None:
        raise ConfigurationError(
            f"a private key is a 32-byte number below the curve's order, got {len(key)} bytes; "
            "make one with eth_account.Account.create()"
        )
    return account
