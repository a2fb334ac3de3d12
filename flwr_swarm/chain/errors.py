"""What a node's refusal means: JSON-RPC error data to the project's exceptions, in one place."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, Final

from flwr_swarm._exceptions import (
    LedgerError,
    NotAMember,
    OutOfFunds,
    TransactionRefused,
    WireError,
    WrongChain,
)

from .codec import Fields, decode_error

UNREADABLE: Final = "Reverted"
OUT_OF_FUNDS: Final = "OutOfFunds"
REJECTED: Final = "Rejected"
"""Reasons of a refusal that does not come from the contract itself."""

_REMEDIES: Final = {
    "AlreadyAbstained": "a member seals or abstains once a round; wait for the next",
    "AlreadyCertified": "the round has its certificate; read it from the ledger",
    "AlreadySealed": "the round holds this member's seal; wait for the next",
    "BadSignature": "collect the signature again, for this chain, contract, round and view",
    "BelowQuorum": "collect more signatures of the committee",
    "BudgetExceeded": "the member has spent its budget; abstain, or found a swarm with another cap",
    "DeadlineNotReached": "try again once a block is younger than the deadline (seconds, 1970)",
    "DuplicatePayload": "another seal of the round names this ciphertext; encrypt afresh",
    "EpsilonDecreased": "epsilon is cumulative; restore the accountant's state",
    "ParentMismatch": "the round trains on another model; ask the relay for that one",
    "SealingClosed": "wait for the next round",
    "WrongReveal": "derive the secret from the account key and the ledger's count of reveals",
    "WrongRound": "read the ledger again and use its round",
    "WrongView": "another leader's turn has come; read the ledger again",
}


class Answer(Enum):
    """What a node said to a signed transaction, as far as its words can be trusted."""

    TAKEN = auto()
    """It has these bytes."""
    NONCE_USED = auto()
    """It has a transaction with this nonce; it may be this one."""
    TOO_HIGH = auto()
    """It misses an earlier transaction of the account."""
    REFUSED = auto()
    """It does not take these bytes."""
    LOST = auto()
    """It said nothing; it may have these bytes."""


_SAID: Final = (
    (Answer.TAKEN, ("already known", "known transaction", "already imported", "already in pool")),
    (Answer.TOO_HIGH, ("nonce too high", "nonce_too_high", "nonce too distant", "nonce gap")),
    (
        Answer.NONCE_USED,
        ("nonce too low", "nonce_too_low", "nonce below", "below sender account nonce", "oldnonce"),
    ),
    (Answer.NONCE_USED, ("old nonce", "nonce is too low", "nonce already used", "replacement")),
)
"""The words of geth, Besu, Nethermind, anvil and this package's own chain."""


def answer_to_sending(message: str) -> Answer:
    """Return what a node's error message to `eth_sendRawTransaction` says of the transaction."""
    lower = message.lower()
    for answer, words in _SAID:
        if any(word in lower for word in words):
            return answer
    return Answer.REFUSED


def refusal(error: dict[str, Any], *, account: str = "") -> LedgerError:
    """Return the exception that a JSON-RPC error stands for.

    Parameters
    ----------
    error : dict
        The error object of the answer. Nodes put the revert data in `data` as hex, or in a
        dictionary below it.
    account : str
        Chain address that asked, for the message.
    """
    data = _revert_data(error.get("data"))
    if data is not None:
        return _from_contract(data)
    message = str(error.get("message", "no message"))
    lower = message.lower()
    if "insufficient funds" in lower or "upfront cost exceeds" in lower:
        details = f"account {account} cannot pay for gas; fund it, or use a chain with free gas"
        return OutOfFunds(OUT_OF_FUNDS, details)
    if "chain id" in lower or "chainid" in lower:
        return WrongChain(
            f"the node refuses a signature for the pinned chain ({message}); give the URL of a "
            "node of the swarm's own chain"
        )
    if "revert" in lower:
        return TransactionRefused(UNREADABLE, message)
    return TransactionRefused(REJECTED, f"the node answered: {message}")


def _from_contract(data: bytes) -> LedgerError:
    try:
        decoded = decode_error(data)
    except WireError:
        decoded = None
    if decoded is None:
        details = f"revert data 0x{data[:36].hex()} is no error of the contract; check its address"
        return TransactionRefused(UNREADABLE, details)
    name, fields = decoded
    if name == "NotAMember":
        return NotAMember(f"{fields['account']} is not a member of this swarm; use a member's key")
    return TransactionRefused(name, _details(name, fields))


def _details(name: str, fields: Fields) -> str:
    values = ", ".join(f"{key.rstrip('_')}={_text(value)}" for key, value in fields.items())
    return "; ".join(part for part in (values, _REMEDIES.get(name, "")) if part)


def _text(value: Any) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)


def _revert_data(data: Any) -> bytes | None:
    if isinstance(data, dict):
        nested = (_revert_data(value) for value in data.values())
        return next((found for found in nested if found is not None), None)
    if not isinstance(data, str):
        return None
    digits = data.removeprefix("Reverted ").removeprefix("0x")
    try:
        return bytes.fromhex(digits) or None
    except ValueError:
        return None
