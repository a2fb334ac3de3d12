"""What is told of each round, by the chain's history: also of rounds that ended without the relay.

While a run goes on its relay tells of every round that it saw end. One that ended before the
relay's first message, or was certified after the relay gave it up, is known from the history only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from ..chain.state import Record
from ..protocol.types import EPSILON_UNIT, Phase, Round

Line = Mapping[str, Any]

VOID: Final[dict[str, Any]] = {
    "status": "void",
    "included": [],
    "aggregate_hash": None,
    "certificate": None,
}
UNSEEN: Final[dict[str, Any]] = {
    **VOID,
    "leader": None,
    "succession": [],
    "committee": [],
    "sealed": [],
    "abstained": [],
}
"""A round in which nobody sealed: the chain never saw it."""


def seen(current: Round) -> dict[str, Any]:
    """Who did what in a round, as the ledger tells it."""
    return {
        "parent_hash": current.parent.hex(),
        "leader": current.leader,
        "succession": list(current.succession),
        "committee": list(current.committee),
        "sealed": [seal.member for seal in current.seals],
        "abstained": list(current.abstained),
    }


def facts(record: Record) -> dict[str, Any]:
    """What the members' transactions prove of a round."""
    proven, certificate = seen(record.round), record.round.certificate
    if certificate is None:
        return proven | VOID
    return proven | {
        "included": list(certificate.included),
        "aggregate_hash": certificate.aggregate_hash.hex(),
        "certificate": {"view": certificate.view, "signers": list(record.signers)},
    }


def spent(before: Mapping[str, float], current: Round) -> dict[str, float]:
    """Cumulative epsilon by member after a round, from what it was before."""
    sealed = {str(seal.member): seal.epsilon / EPSILON_UNIT for seal in current.seals}
    return {**before, **sealed}


def settled(
    lines: Sequence[Line],
    records: Iterable[Record],
    *,
    first: int,
    members: Iterable[str],
    opened: Collection[int],
) -> list[dict[str, Any]]:
    """`lines` as the history has them, with a line for each round that they leave out.

    Parameters
    ----------
    lines : sequence of mapping
        As the relay told them. Those of attempts that the chain never saw stay as they are.
    records : iterable of Record
        Every round of the contract.
    first : int
        The run's first round.
    members : iterable of str
        Seats whose spending is told from the first line on.
    opened : collection of int
        Rounds of which the evidence holds the sum and its openings.
    """
    told = {line["round"]: line for line in lines if line["parent_hash"] is not None}
    unseen = [dict(line) for line in lines if line["parent_hash"] is None]
    epsilon = dict.fromkeys(members, 0.0)
    on_chain: list[dict[str, Any]] = []
    for record in records:
        if record.round.number >= first:
            epsilon = spent(epsilon, record.round)
            line = told.get(record.round.number) or _unheard(record)
            on_chain.append(
                {**line, **facts(record), "epsilon": epsilon} | _status(line, record, opened)
            )
    # An attempt that the chain never saw came before the one that has its number.
    return sorted(
        [*unseen, *on_chain], key=lambda line: (line["round"], line["parent_hash"] is not None)
    )


def _status(line: Line, record: Record, opened: Collection[int]) -> dict[str, Any]:
    if record.round.certificate is None or line["status"] == "certified":
        return {}
    return {"status": "certified" if record.round.number in opened else "unopened"}


def _unheard(record: Record) -> Line:
    phase = record.round.phase
    how = "ended" if phase in (Phase.CERTIFIED, Phase.VOID) else f"is {phase.name.lower()}"
    reason = f"the round {how} without this relay"
    return {
        "round": record.round.number,
        "status": "void",
        "reason": reason,
        "loss": None,
        "seconds": {},
    }
