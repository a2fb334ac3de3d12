"""A ledger that outlasts a restart of its chain: it asks again, says so, and gives up in time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from flwr_swarm._exceptions import ChainUnreachable
from flwr_swarm.protocol.ledger import Ledger, LedgerCall
from flwr_swarm.protocol.types import LedgerView, Proposal

log = logging.getLogger("flwr.swarm")
T = TypeVar("T")

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 5.0


class Readable(Protocol):
    """Whatever shows the ledger."""

    def view(self) -> LedgerView:
        """Read one consistent view of the contract."""
        ...

    def proposals(self) -> int:
        """Read how many proposals were ever made; their ids are 1, 2, ..."""
        ...

    def proposal(self, number: int) -> Proposal | None:
        """Read one proposal, or None if there is none of that number."""
        ...


L = TypeVar("L", bound=Readable)


@dataclass(frozen=True, kw_only=True)
class PatientLedger(Generic[L]):
    """Repeats what failed for want of a chain, for at most `seconds`.

    A repeated call had its effect once if the ledger behind has an outbox, or if the contract
    takes the call once only, as it does all of a member's calls in a round.

    Parameters
    ----------
    ledger : Ledger or ReadOnlyLedger
    seconds : float
        How long a chain may be away before `ChainUnreachable` is raised.
    now, sleep : callable
        A clock for that, in seconds.
    """

    ledger: L
    seconds: float
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def view(self) -> LedgerView:
        """Read one consistent view of the contract."""
        return self._patiently("reading the ledger", self.ledger.view)

    def proposals(self) -> int:
        """Read how many proposals were ever made; their ids are 1, 2, ..."""
        return self._patiently("reading the ledger", self.ledger.proposals)

    def proposal(self, number: int) -> Proposal | None:
        """Read one proposal, or None if there is none of that number."""
        return self._patiently("reading the ledger", lambda: self.ledger.proposal(number))

    def _patiently(self, what: str, act: Callable[[], T]) -> T:
        end = self.now() + self.seconds
        pause = _FIRST_PAUSE
        while True:
            try:
                return act()
            except ChainUnreachable as error:
                left = end - self.now()
                if left <= 0:
                    raise
                log.warning("%s: %s; trying for another %.0f s", what, error, left)
                self.sleep(min(pause, left))
                pause = min(2 * pause, _LONGEST_PAUSE)


@dataclass(frozen=True, kw_only=True)
class PatientMember(PatientLedger[Ledger]):
    """The same for a member's own ledger."""

    @property
    def account(self) -> str:
        """Chain address that signs this connection's transactions."""
        return self.ledger.account

    def submit(self, call: LedgerCall) -> None:
        """Send `call` and wait until it is mined."""
        self._patiently(f"submitting {type(call).__name__}", lambda: self.ledger.submit(call))
