"""The chain as a command meets it: read by anybody, written with the keys that the chain lists."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._exceptions import ConfigurationError, LedgerError, NoContract, NotAMember
from ..chain.client import ChainLedger, ReadOnlyLedger
from ..chain.jsonrpc import RpcError
from ..chain.outbox import Outbox
from ..chain.provider import ask, node_of
from ..keystore import Generation, Keystore
from ..keystore.keys import MemberKeys
from ..protocol.types import LedgerView, Member
from . import passwords


def read_only(url: str, contract: str, timeout: float) -> ReadOnlyLedger:
    """The swarm at `contract`, its code checked."""
    return ReadOnlyLedger(url=url, contract=contract, timeout=timeout).connect()


@dataclass(frozen=True, kw_only=True)
class Acting:
    """A member that is about to send a transaction.

    Parameters
    ----------
    ledger : ChainLedger
    member : Member
    view : LedgerView
        What the swarm was when the command looked.
    store : Keystore
    password : str
    keys : MemberKeys
    """

    ledger: ChainLedger
    member: Member
    view: LedgerView
    store: Keystore = field(repr=False)
    password: str = field(repr=False)
    keys: MemberKeys = field(repr=False)


def seat_of(view: LedgerView, store: Keystore) -> tuple[Member, Generation]:
    """Return the seat that one of the generations has, and the generation.

    Raises
    ------
    NotAMember
        None has one.
    """
    for member in view.seated:
        for generation in store.generations:
            if (generation.account, generation.encryption_key) == (
                member.account,
                member.encryption_key,
            ):
                return member, generation
    known = ", ".join(dict.fromkeys(generation.account for generation in store.generations))
    raise NotAMember(
        f"no keys in {store.folder} ({known}) have a seat in {view.contract}; apply with "
        "flwr-swarm member apply, or give the folder of a member's keys"
    )


def as_member(
    url: str, contract: str, folder: Path, password_file: Path | None, timeout: float
) -> Acting:
    """Open the keys that have a seat; the password is asked for after everything else is right."""
    view = read_only(url, contract, timeout).view()
    store = Keystore(folder)
    member, generation = seat_of(view, store)
    password = passwords.existing(password_file)
    keys = store.unlock(generation, password)
    ledger = ChainLedger(
        url=url,
        contract=view.contract,
        key=keys.account_key,
        chain_id=view.chain_id,
        timeout=timeout,
        outbox=Outbox(store.outbox),
    )
    return Acting(
        ledger=ledger, member=member, view=view, store=store, password=password, keys=keys
    )


def asked(url: str, method: str, params: list[Any], timeout: float) -> Any:
    """Ask a node one question outside any contract.

    Raises
    ------
    ChainUnreachable
    LedgerError
        The node refuses to answer.
    """
    try:
        return ask(node_of(url, timeout=timeout), method, params, end=time.monotonic() + timeout)
    except RpcError as error:
        raise LedgerError(f"the node refused {method}: {error.message}") from error


def chain_id_of(url: str | None, given: int | None, timeout: float) -> int:
    """The chain's id, from the node or as given; both must agree.

    Raises
    ------
    ConfigurationError
        Neither is there, or they differ.
    """
    if url is None:
        if given is None:
            raise ConfigurationError("give --url of a node of the chain, or --chain-id")
        return given
    found = int(asked(url, "eth_chainId", [], timeout), 16)
    if given is not None and given != found:
        raise ConfigurationError(f"the node's chain has id {found}, --chain-id says {given}")
    return found


def nonce_of(url: str, account: str, timeout: float) -> int:
    """How many transactions `account` has sent, waiting ones included."""
    return int(asked(url, "eth_getTransactionCount", [account, "pending"], timeout), 16)


def check_no_seat(url: str, contract: str, store: Keystore, timeout: float) -> None:
    """Refuse to apply where the keys have a seat; where nothing is founded yet, nobody has one.

    Raises
    ------
    ConfigurationError
        The newest keys have a seat.
    WrongContract
        Something else is at the address.
    """
    try:
        view = read_only(url, contract, timeout).view()
    except NoContract:
        return
    member = view.member_at(store.newest.account)
    if member is not None:
        raise ConfigurationError(
            f"{member.account} has seat {member.index} already; to change its keys, use "
            "flwr-swarm member rotate"
        )
