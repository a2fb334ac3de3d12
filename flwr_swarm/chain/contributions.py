"""Who contributed what: the contract's events, added up for every member there ever was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from flwr_swarm.protocol.types import Card, Member

from .codec import decode_struct
from .state import Event
from .translate import card_from, unbits

Standing = Literal["seated", "suspended", "removed"]


@dataclass(frozen=True, kw_only=True)
class Contribution:
    """What one member did, from its admission on.

    Parameters
    ----------
    seat : int
        Its seat; members of the past had the same one before.
    account : str
        Its newest chain address; empty for a founder that no event names.
    sealed : int
        Rounds that hold a seal of it.
    included : int
        Certified sums that hold an update of it.
    late : int
        Rounds for which it trained too late, and said so.
    abstained : int
        Rounds from which it abstained.
    missed : int
        Rounds whose sealing deadline passed without a word of it, late ones among them.
    led : int
        Rounds that it led to their certificate.
    stalled : int
        Turns of leading that passed without a certificate.
    blamed : int
        Rounds that it opened and too many refused.
    signed : int
        Certificates with its signature.
    witnessed : int
        Seals with which it confirmed, from the last committee, the model that it trained on.
    faults : int
        Equivocations proven.
    weight_class : int
        As on its newest card: binary logarithm of its number of examples, 0 for undeclared.
    epsilon : int
        Cumulative micro-epsilon that it last reported.
    status : str
        "seated", "suspended" or "removed".
    """

    seat: int
    account: str = ""
    sealed: int = 0
    included: int = 0
    late: int = 0
    abstained: int = 0
    missed: int = 0
    led: int = 0
    stalled: int = 0
    blamed: int = 0
    signed: int = 0
    witnessed: int = 0
    faults: int = 0
    weight_class: int = 0
    epsilon: int = 0
    status: Standing = "seated"


def contributions(
    events: Iterable[Event], members: Sequence[Member] = ()
) -> tuple[Contribution, ...]:
    """Add up the contract's events.

    Parameters
    ----------
    events : iterable of (str, dict)
        All of them from `Founded` on, in the order of the chain, as `codec.decode_event` gives
        them.
    members : sequence of Member
        The ledger's seats after these events. Events do not tell what founders had on their
        cards; this completes those who still have their seat.

    Returns
    -------
    tuple of Contribution
        By seat, and for each seat the members of the past first.

    Raises
    ------
    WireError
        A proposal among the events holds no change.
    """
    ledger = _Tally()
    for name, fields in events:
        reader = _READERS.get(name)
        if reader is not None:
            reader(ledger, fields)
    for member in members:
        if not member.vacant and member.index in ledger.seated:
            ledger.note(
                member.index,
                account=member.account,
                weight_class=member.weight_class,
                epsilon=member.epsilon,
            )
    everyone = [*ledger.past, *ledger.seated.values()]
    return tuple(sorted(everyone, key=lambda contribution: contribution.seat))


class _Tally:
    """Contributions so far, and what later events need of earlier ones."""

    def __init__(self) -> None:
        self.past: list[Contribution] = []
        self.seated: dict[int, Contribution] = {}
        self._since: dict[int, int] = {}
        self._cards: dict[int, Card] = {}  # by proposal
        self._passed = 0
        self._leader = 0
        self._committee: frozenset[int] = frozenset()
        # Of the newest certified round, and of the one before the round that runs.
        self._final: tuple[int, frozenset[int]] = (0, frozenset())
        self._base = self._final

    def note(self, seat: int, **values: Any) -> None:
        self.seated[seat] = replace(self.seated[seat], **values)

    def add(self, what: str, *seats: int) -> None:
        for seat in seats:
            self.note(seat, **{what: getattr(self.seated[seat], what) + 1})

    # --- members ------------------------------------------------------------------------------

    def founded(self, e: dict[str, Any]) -> None:
        for seat in range(e["members"]):
            self.seated[seat], self._since[seat] = Contribution(seat=seat), 0

    def proposed(self, e: dict[str, Any]) -> None:
        change = decode_struct("propose", "change", e["change"])
        self._cards[e["id"]] = card_from(change["card"])

    def passed(self, e: dict[str, Any]) -> None:
        self._passed = e["id"]

    def admitted(self, e: dict[str, Any]) -> None:
        card, seat = self._cards[self._passed], e["member"]
        self._since[seat] = e["since"]
        self.seated[seat] = Contribution(
            seat=seat,
            account=card.account,
            weight_class=card.weight_class,
            epsilon=card.epsilon,
        )

    def removed(self, e: dict[str, Any]) -> None:
        gone = self.seated.pop(e["member"])
        status: Final[Standing] = "removed"
        self.past.append(replace(gone, account=e["account"], epsilon=e["epsilon"], status=status))

    def rotated(self, e: dict[str, Any]) -> None:
        card = self._cards[self._passed]
        self.note(e["member"], account=card.account, weight_class=card.weight_class)

    # --- rounds -------------------------------------------------------------------------------

    def opened(self, _: dict[str, Any]) -> None:
        self._base = self._final

    def sealed(self, e: dict[str, Any]) -> None:
        seat = e["member"]
        self.add("sealed", seat)
        self.note(seat, epsilon=e["epsilon"])
        number, committee = self._base
        if e["verified"] and seat in committee and self._since[seat] <= number:
            self.add("witnessed", seat)

    def sealed_late(self, e: dict[str, Any]) -> None:
        seat = e["member"]
        self.add("late", seat)
        self.note(seat, epsilon=e["epsilon"])

    def missing(self, e: dict[str, Any]) -> None:
        self.add("missed", *unbits(e["missing"]))

    def drawn(self, e: dict[str, Any]) -> None:
        self._committee = frozenset(e["committee"])

    def view_started(self, e: dict[str, Any]) -> None:
        self._leader = e["leader"]

    def certified(self, e: dict[str, Any]) -> None:
        self.add("led", self._leader)
        self.add("included", *unbits(e["included"]))
        self.add("signed", *unbits(e["signers"]))
        self._final = (e["round"], self._committee)


_READERS: Final[dict[str, Callable[[_Tally, dict[str, Any]], None]]] = {
    "Founded": _Tally.founded,
    "Proposed": _Tally.proposed,
    "ProposalPassed": _Tally.passed,
    "MemberAdmitted": _Tally.admitted,
    "MemberRemoved": _Tally.removed,
    "KeysRotated": _Tally.rotated,
    "MemberSuspended": lambda tally, e: tally.note(e["member"], status="suspended"),
    "MemberReinstated": lambda tally, e: tally.note(e["member"], status="seated"),
    "SealingOpened": _Tally.opened,
    "Sealed": _Tally.sealed,
    "SealedLate": _Tally.sealed_late,
    "Abstained": lambda tally, e: tally.add("abstained", e["member"]),
    "MembersMissed": _Tally.missing,
    "Drawn": _Tally.drawn,
    "ViewStarted": _Tally.view_started,
    "Certified": _Tally.certified,
    "LeaderMissed": lambda tally, e: tally.add("stalled", e["leader"]),
    "OpenerBlamed": lambda tally, e: tally.add("blamed", e["member"]),
    "FaultProven": lambda tally, e: tally.add("faults", e["member"]),
}
