"""A relay's questions to members about a round that it did not see: seals, sum, openings, model."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ..protocol.hashing import Arrays
from ..protocol.messages import HeldSum, Place, RecallReply, RecallRequest, SealReply
from ..protocol.recall import found_model, found_sum
from ..protocol.relay import officers
from ..protocol.types import ZERO_HASH, Policy, Round
from . import write
from .read import Fields
from .roster import Roster
from .trips import Trips

log = logging.getLogger("flwr.swarm")

_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class Recaller:
    """Asks all members for what is small, and one after another for what is large.

    Parameters
    ----------
    place : Place
    trips : Trips
    roster : Roster
    seconds : float
        Limit of one trip.
    """

    place: Place
    trips: Trips
    roster: Roster
    seconds: float

    def seals(self, number: int, members: Collection[int] | None = None) -> list[SealReply]:
        """The own sealed replies of round `number`, of all members or of some."""
        here = self.roster.refresh()
        asked = here if members is None else [member for member in here if member in members]
        replies = self._ask(number, {"given"}, asked, tries=_TRIES)
        return [reply.given for reply in replies if reply.given is not None]

    def openings(self, number: int) -> dict[int, bytes]:
        """What holders released for round `number`, by holder."""
        replies = self._ask(number, {"opening"}, self.roster.refresh())
        return {reply.member: reply.opening for reply in replies if reply.opening}

    def held(self, certified: Round, policy: Policy) -> HeldSum | None:
        """The certified sum, from an officer that merged it under `policy`."""
        here = self.roster.refresh()
        for member in officers(certified):
            if member in here:
                replies = self._ask(certified.number, {"held"}, [member])
                if (found := found_sum(certified, replies, policy)) is not None:
                    return found
        return None

    def model(self, wanted: bytes, number: int) -> tuple[Arrays, Arrays] | None:
        """The model and server state of hash `wanted`, from whoever has it."""
        for member in self.roster.refresh():
            replies = self._ask(number, {"model"}, [member], model=wanted)
            offered = (reply.model for reply in replies if reply.model is not None)
            if (found := found_model(wanted, offered)) is not None:
                log.info("the model of round %d came from member %d", number, member)
                return found
        return None

    def _ask(
        self,
        number: int,
        want: set[str],
        members: Iterable[int],
        *,
        model: bytes = ZERO_HASH,
        tries: int = 1,
    ) -> list[RecallReply]:
        request = write.recall_request(
            RecallRequest(place=self.place, round=number, want=frozenset(want), model=model)
        )
        return self.trips.send(
            f"recall of round {number} ({', '.join(sorted(want))})",
            dict.fromkeys(members, request),
            Fields.recall_reply,
            seconds=self.seconds,
            tries=tries,
        )
