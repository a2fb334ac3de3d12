"""What a fault scenario is, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .study import Study

Order = tuple[str, str, Mapping[str, Any]]
"""Who ("all", members' names, "relay"), in which phase, does what."""
Act = Callable[["Study"], bool]
"""Does the fault; False while what it is about is not there yet."""

TRIPS = ("seal", "merge", "open")
BEGIN = "begin"
"""The fault happens before the round's first trip."""

SLOW: Order = ("d", "seal", {"slow": 5.0})
"""The last member trains for longer, so that there is a sealing phase to hit."""
HOLD_MERGE: Order = ("all", "merge", {"linger_before": 4.0})
HOLD_OPEN: Order = ("all", "open", {"linger_after": 4.0})
"""Officers and holders take their time, so that there is a process to hit."""
WINDOW: dict[str, tuple[Order, ...]] = {
    "seal": (SLOW,),
    "merge": (HOLD_MERGE,),
    "open": (HOLD_OPEN,),
}


NOT_JUDGED = "its study has not ended"
BAD = ("hung", "not reached", "not done")
"""Outcomes of a scenario that came to no end: no model, no moment for the fault, no fault."""


def nothing(_: Study) -> bool:
    """The orders are all of the fault."""
    return True


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One fault in one round of a study.

    Parameters
    ----------
    name : str
        Unique.
    role : str
        Who fails.
    trip : str
        In which trip, or `BEGIN`.
    fault : str
        What happens, for the table.
    group : str
        Scenarios of one group follow one another in one study.
    act : callable
    orders : sequence of Order
        For the round, written before it begins.
    after : callable
        Puts right what the fault left behind, once the swarm has a model again.
    lost : int
        Rounds that may be lost: 0 unless fewer members than a sum needs took part.
    lead : int
        Rounds to let pass before.
    final : bool
        Whether the study ends with the round.
    ends : bool
        Whether the fault is meant to end the run.
    names : str
        What the logs of relays and keepers must say of the fault, as a regular expression.
    unnamed : str
        Why there is nothing to say; exactly one of the two is empty.
    """

    name: str
    role: str
    trip: str
    fault: str
    group: str
    act: Act = nothing
    orders: Sequence[Order] = ()
    after: Act = nothing
    lost: int = 0
    lead: int = 0
    final: bool = False
    ends: bool = False
    names: str = ""
    unnamed: str = ""

    @property
    def kills(self) -> bool:
        """Whether it is a kill -9."""
        return "kill -9" in self.fault


@dataclass(kw_only=True)
class Record:
    """What came of one scenario; plain data, as the file holds it.

    Rounds, model and log are those from the fault to the next scenario of its study.
    """

    name: str
    role: str
    trip: str
    fault: str
    group: str
    round: int = 0
    outcome: str = "not reached"
    rounds_asked: int = 0
    rounds_certified: int = 0
    rounds_opened: int = 0
    rounds_lost: int = 0
    lost_allowed: int = 0
    included: list[int] = field(default_factory=list)
    final_kept: bool = False
    model_right: bool = False
    seconds_to_recover: float | None = None
    log: list[str] = field(default_factory=list)
    named: bool = True
    unnamed: str = ""
    passed: bool = False
    why: str = NOT_JUDGED


def record_of(scenario: Scenario) -> Record:
    """Nothing came of it yet."""
    return Record(
        name=scenario.name,
        role=scenario.role,
        trip=scenario.trip,
        fault=scenario.fault,
        group=scenario.group,
        lost_allowed=scenario.lost,
        unnamed=scenario.unnamed,
    )


def one(group: str, name: str, role: str, trip: str, fault: str, **more: Any) -> Scenario:
    """A scenario in few words."""
    return Scenario(name=name, role=role, trip=trip, fault=fault, group=group, **more)


def told(who: str, phase: str, act: str, value: Any = 1) -> tuple[Order, ...]:
    """One order."""
    return ((who, phase, {act: value}),)
