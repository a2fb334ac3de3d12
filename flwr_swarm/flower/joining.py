"""Before the first round of a run: find the members of a consortium that exists already."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, Self

from flwr.serverapp import Grid

from .._exceptions import ConfigurationError, NotAMember, SwarmError, WireError, WrongChain
from ..chain.client import ReadOnlyLedger
from ..chain.patience import PatientLedger
from ..protocol.messages import Place
from ..protocol.quorum import check_protects
from ..protocol.stopped import is_stopped
from ..protocol.terms import Terms, check_capacity, default_capacity
from ..protocol.types import Phase
from .clock import Clock
from .enrolment import Enrolling, connected, printable
from .founding import CHAIN_PATIENCE, Swarm
from .roster import Roster, seat_of

log = logging.getLogger("flwr.swarm")

CHAIN_VARIABLE: Final = "FLWR_SWARM_CHAIN"
CONTRACT_VARIABLE: Final = "FLWR_SWARM_CONTRACT"


@dataclass(frozen=True, kw_only=True)
class Consortium:
    """A swarm that was founded before (`flwr-swarm consortium found`), as a run names it.

    Parameters
    ----------
    chain : str
        JSON-RPC address of the relay's own node. Members use theirs.
    contract : str
        Address of the swarm's contract.
    chain_id : int or None
        Pinned chain id; None pins the one that is found first.
    capacity : int or None
        Most members that one sum can hold, as the consortium's terms state it; None stands for
        the default of `flwr-swarm consortium found`: 16, or 64 where they are more.
    """

    chain: str
    contract: str
    chain_id: int | None = None
    capacity: int | None = None

    @classmethod
    def from_environment(cls) -> Self | None:
        """The swarm that the environment names, as `flwr-swarm relay` tells its ServerApp.

        Raises
        ------
        ConfigurationError
            It names a chain and no contract. A contract alone is for the commands.
        """
        chain = os.environ.get(CHAIN_VARIABLE)
        contract = os.environ.get(CONTRACT_VARIABLE)
        if not chain:
            return None
        if not contract:
            raise ConfigurationError(
                f"${CHAIN_VARIABLE} names the chain {chain}, and nothing the swarm on it; set "
                f"${CONTRACT_VARIABLE}, or unset ${CHAIN_VARIABLE}"
            )
        return cls(chain=chain, contract=contract)

    def ledger(self) -> ReadOnlyLedger:
        """The contract, as anyone may read it."""
        return ReadOnlyLedger(url=self.chain, contract=self.contract, chain_id=self.chain_id)

    def join(
        self,
        grid: Grid,
        *,
        terms: Callable[[int], Terms],
        needed: int,
        sampled: Callable[[int], int],
        seconds: float,
        clock: Clock,
    ) -> Swarm:
        """Enrol the connected nodes, and match each with the seat of its account.

        Parameters
        ----------
        terms : callable
            This run's terms for a capacity; they must be those that the contract pins.
        needed : int
            Nodes to wait for, and members that the run needs.
        sampled : callable
            Members that train in a round, given their number.
        seconds : float
            Limit of the wait, and of the enrolment.

        Raises
        ------
        WrongChain
            Chain, contract or terms are others.
        NotAMember
            Too few of the nodes enrolled with the account and encryption key of a seat.
        ConfigurationError
            Two nodes have one account, the policy waits for more members than the strategy trains,
            or it could not protect an update.
        """
        ledger = PatientLedger(
            ledger=self.ledger(), seconds=CHAIN_PATIENCE, now=clock.now, sleep=clock.sleep
        )
        view = ledger.view()
        ours = terms(self.capacity or default_capacity(len(view.seated)))
        # The relay of a stopped study trains nothing, but opens what was certified last.
        if ours.hash() != view.policy.terms and not is_stopped(view, ours):
            raise WrongChain(
                f"the contract pins terms with hash {view.policy.terms.hex()}, this strategy's "
                f"have {ours.hash().hex()}: {ours.to_json()}; use the numbers that the "
                "consortium agreed on"
            )
        if ours.encryption == "threshold":
            check_protects(view.policy, len(view.seated))
            check_capacity(ours, view.policy, len(view.seated))
        eligible = sum(not member.suspended for member in view.seated)
        waited = min(view.policy.close_at, eligible)
        if sampled(eligible) < waited:
            raise ConfigurationError(
                f"the strategy trains {sampled(eligible)} of {eligible} members in a round, but "
                f"the policy waits for {waited} (close_at), and would count the others as missing; "
                "train all, or have the members lower close_at"
            )
        asked = Enrolling(
            grid=grid,
            chain_id=view.chain_id,
            contract=view.contract,
            seconds=seconds,
            clock=clock,
        )
        nodes: dict[int, int] = {}
        labels: dict[int, str] = {}
        for node, reply in asked.ask(connected(grid, needed, seconds, clock)).items():
            try:
                if isinstance(reply, SwarmError):
                    raise reply
                member = seat_of(view, node, reply)
            except (NotAMember, WireError) as error:
                # A stranger's node, or a former member's, must not stop the members' run.
                log.warning("left out: %s", error)
                continue
            if member in nodes:
                raise ConfigurationError(
                    f"nodes {nodes[member]} and {node} both enrolled as member {member}; stop one "
                    "of them"
                )
            nodes[member], labels[member] = node, printable(reply.label)
        if len(nodes) < needed:
            raise NotAMember(
                f"{len(nodes)} of the connected nodes are members of {view.contract}, the run "
                f"needs {needed}; the log says why the others were left out"
            )
        log.info(
            "joined contract %s on chain %d: %d of %d members connected",
            view.contract,
            view.chain_id,
            len(nodes),
            len(view.seated),
        )
        place = Place(
            chain_url=self.chain,
            chain_id=view.chain_id,
            contract=view.contract,
            terms=ours.to_json(),
        )
        return Swarm(
            place=place,
            terms=ours,
            policy=view.policy,
            roster=Roster(enrolling=asked, view=ledger.view, nodes=nodes, labels=labels),
            ledger=ledger,
            first_round=view.current.number + (view.current.phase is not Phase.SEALING),
            resources=ExitStack(),
        )
