"""Re-execute a run from its chain history, offline: no EVM, no node, no trust in either.

From the signed bytes alone follow who called what; from the calls, by the contract's rules in
Python, follow seals, draws, certificates and voids. Whatever the history claims beyond that
(hashes, senders, events, the draw itself) must agree, or it is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from flwr_swarm._exceptions import EvidenceError, NotAMember, TransactionRefused, WireError
from flwr_swarm.protocol.ledger import CarryCall
from flwr_swarm.protocol.types import LedgerView

from . import sealing
from .address import contract_address
from .calldata import decode_call, decode_creation
from .codec import Fields, decode_event
from .envelopes import parse
from .founding import found
from .history import VERSION
from .replica import apply, seat_of
from .state import Event, Record, State
from .transactions import SignedTransaction
from .translate import call_from, card_from, policy_from

_KEYS: Final = frozenset({"version", "chain_id", "contract", "transactions"})
_ENTRY_KEYS: Final = frozenset(
    [
        "hash",
        "block_number",
        "index",
        "timestamp",
        "from",
        "to",
        "nonce",
        "input",
        "raw",
        "status",
        "events",
    ]
)


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What a history proves.

    Parameters
    ----------
    state : State
        Everything that the contract stored in the end; `state.records` holds every round.
    time : int
        Timestamp of the newest transaction.
    transactions : int
        How many were re-executed, the deployment included.
    """

    state: State
    time: int
    transactions: int

    @property
    def rounds(self) -> tuple[Record, ...]:
        """Rounds 1, 2, ... with reveals, signers, and who was missing."""
        return self.state.records

    @property
    def view(self) -> LedgerView:
        """The ledger as a member would have read it after the newest transaction."""
        return self.state.view(self.time)


def replay(history: dict[str, Any]) -> Replay:
    """Re-execute what `history.export` returned.

    Parameters
    ----------
    history : dict
        As exported, or as read back from JSON.

    Returns
    -------
    Replay
        Every sender recovered from a signature, every draw recomputed, every certificate's
        signers recovered.

    Raises
    ------
    EvidenceError
        Something does not follow; the message names the transaction and what is wrong.
    """
    if not isinstance(history, dict) or set(history) != _KEYS:
        raise EvidenceError(f"a history has exactly the entries {sorted(_KEYS)}")
    if history["version"] != VERSION:
        raise EvidenceError(
            f"history of version {history['version']!r}, this package reads {VERSION}; "
            "verify with the version that wrote it"
        )
    entries = history["transactions"]
    if not isinstance(entries, list) or not entries:
        raise EvidenceError("the history holds no transaction; export the run again")
    player = _Player(history)
    for number, entry in enumerate(entries):
        try:
            player.play(entry)
        except (WireError, EvidenceError, TransactionRefused, NotAMember) as error:
            name = entry.get("hash") if isinstance(entry, dict) else None
            raise EvidenceError(f"transaction {number} ({name}): {error}") from error
    return player.result()


class _Player:
    """Holds the state between transactions."""

    def __init__(self, history: dict[str, Any]) -> None:
        self._chain_id = history["chain_id"]
        self._contract = history["contract"]
        self._state: State | None = None
        self._place = (-1, -1)
        self._time = -1
        self._nonces: dict[str, int] = {}
        self._count = 0

    def result(self) -> Replay:
        assert self._state is not None  # noqa: S101 - play() raised otherwise
        return Replay(state=self._state, time=self._time, transactions=self._count)

    def play(self, entry: Any) -> None:
        transaction = _checked(entry, self._chain_id)
        self._follow(entry, transaction)
        claimed = _events(entry["events"])
        if self._state is None:
            self._state, events = self._found(transaction)
        else:
            self._state, events = self._call(self._state, transaction, claimed)
        _compare(events, claimed)
        self._count += 1

    def _follow(self, entry: dict[str, Any], transaction: SignedTransaction) -> None:
        if transaction.chain_id != self._chain_id:
            raise EvidenceError(
                f"signed for chain {transaction.chain_id}, the history is of {self._chain_id!r}"
            )
        if transaction.value:
            raise EvidenceError(f"carries {transaction.value} wei; nothing here is payable")
        place = (entry["block_number"], entry["index"])
        if place <= self._place:
            raise EvidenceError(f"its place {place} is not after {self._place}")
        now = entry["timestamp"]
        same_block = place[0] == self._place[0]
        if (now != self._time) if same_block else (now <= self._time):
            raise EvidenceError(f"its time {now} does not fit the block before ({self._time})")
        if transaction.nonce <= self._nonces.get(transaction.sender, -1):
            raise EvidenceError(f"its sender's nonce {transaction.nonce} was used before")
        self._place, self._time = place, now
        self._nonces[transaction.sender] = transaction.nonce

    def _found(self, transaction: SignedTransaction) -> tuple[State, list[Event]]:
        if transaction.to is not None:
            raise EvidenceError("the first transaction must be the deployment")
        address = contract_address(transaction.sender, transaction.nonce)
        if address != self._contract:
            raise EvidenceError(f"deploys {address}, the history is of {self._contract!r}")
        fields = decode_creation(transaction.data)
        return found(
            [card_from(card) for card in fields["genesis"]],
            policy_from(fields["policy_"]),
            chain_id=self._chain_id,
            contract=self._contract,
        )

    def _call(
        self, state: State, transaction: SignedTransaction, claimed: Sequence[Event]
    ) -> tuple[State, list[Event]]:
        if transaction.to != self._contract:
            raise EvidenceError(f"goes to {transaction.to}, not to the contract")
        name, fields = decode_call(transaction.data)
        if name == "certify" and fields["signers"].bit_count() != len(fields["signatures"]):
            raise TransactionRefused("SignatureCount", f"{len(fields['signatures'])} signatures")
        call = call_from(name, fields)
        if name == "sealSigned":
            raise NotAMember(f"{transaction.sender} is not the contract itself")
        if call is None:  # it reads, or enacts what has been enacted: for anyone, and to no effect
            return state, []
        if isinstance(call, CarryCall):
            seat_of(state, transaction.sender)
            return sealing.carry(state, call, self._time, spent=_skipped(claimed))
        return apply(state, transaction.sender, call, self._time)


def _skipped(claimed: Sequence[Event]) -> list[tuple[int, bytes]]:
    """Positions and reasons of the carried seals that the chain says were skipped."""
    return [(f["position"], f["reason"]) for name, f in claimed if name == "SealSkipped"]


def _checked(entry: Any, chain_id: int) -> SignedTransaction:
    """Parse an entry's signed bytes and hold everything else in it against them."""
    if not isinstance(entry, dict) or set(entry) != _ENTRY_KEYS:
        raise EvidenceError(f"a transaction has exactly the entries {sorted(_ENTRY_KEYS)}")
    for key in ("block_number", "index", "timestamp", "nonce", "status"):
        if type(entry[key]) is not int or entry[key] < 0:
            raise EvidenceError(f"{key} must be an integer >= 0, got {entry[key]!r}")
    transaction = parse(_bytes(entry["raw"]), chain_id)
    derived = {
        "hash": "0x" + transaction.hash.hex(),
        "from": transaction.sender,
        "to": transaction.to,
        "nonce": transaction.nonce,
        "input": "0x" + transaction.data.hex(),
        "status": 1,
    }
    for key, value in derived.items():
        if entry[key] != value:
            raise EvidenceError(f"{key} is not what its signed bytes say")
    return transaction


def _compare(expected: Sequence[Event], claimed: Sequence[Event]) -> None:
    """Hold the recorded events against those that the rules make."""
    if [name for name, _ in expected] != [name for name, _ in claimed]:
        raise EvidenceError(
            f"its events are {[name for name, _ in claimed]}, "
            f"by the rules they are {[name for name, _ in expected]}"
        )
    for (name, fields), (_, told) in zip(expected, claimed, strict=True):
        wrong = [key for key, value in fields.items() if told.get(key) != value]
        if wrong:
            raise EvidenceError(f"its event {name} differs from the recomputed one in {wrong}")


def _events(entries: Any) -> list[Event]:
    if not isinstance(entries, list):
        raise EvidenceError("events must be a list")
    return [_event(entry) for entry in entries]


def _event(entry: Any) -> tuple[str, Fields]:
    if not isinstance(entry, dict) or set(entry) != {"topics", "data"}:
        raise EvidenceError("an event has exactly the entries ['data', 'topics']")
    topics = entry["topics"]
    if not isinstance(topics, list):
        raise EvidenceError("topics must be a list")
    return decode_event([_bytes(topic) for topic in topics], _bytes(entry["data"]))


def _bytes(text: Any) -> bytes:
    if not isinstance(text, str) or not text.startswith("0x") or text != text.lower():
        raise EvidenceError("bytes must be lower-case hex with its 0x")
    try:
        value = bytes.fromhex(text[2:])
    except ValueError as error:
        raise EvidenceError("bytes must be lower-case hex with its 0x") from error
    if 2 * len(value) != len(text) - 2:  # fromhex skips spaces
        raise EvidenceError("bytes must be lower-case hex with its 0x")
    return value
