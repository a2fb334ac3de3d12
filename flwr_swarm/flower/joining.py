"""Before the first round of a run: find the members of a consortium that exists already."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from flwr.serverapp import Grid

from .._exceptions import ConfigurationError, NotAMember, WrongChain
from ..chain.client import ReadOnlyLedger
from ..protocol.messages import Place
from ..protocol.quorum import check_protects
from ..protocol.terms import Terms, default_capacity
from .enrolment import connected, enrol, printable
from .founding import Swarm
from .trips import Clock

log = logging.getLogger("flwr.swarm")


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

    def ledger(self) -> ReadOnlyLedger:
        """The contract, as anyone may read it."""
        return ReadOnlyLedger(url=self.chain, contract=self.contract, chain_id=self.chain_id)

    def join(
        self,
        grid: Grid,
        *,
        terms: Callable[[int], Terms],
        needed: int,
        seconds: float,
        clock: Clock,
    ) -> Swarm:
        """Enrol the connected nodes, and match each with the seat of its account.

        Parameters
        ----------
        terms : callable
            This run's terms for a capacity; they must be those that the contract pins.
        needed : int
            Nodes to wait for.
        seconds : float
            Limit of the wait, and of the enrolment.

        Raises
        ------
        WrongChain
            Chain, contract or terms are others.
        NotAMember
            A node's account has no seat, or another encryption key there.
        ConfigurationError
            The contract holds rounds already, two nodes have one account, or the policy could
            not protect an update.
        """
        ledger = self.ledger()
        view = ledger.view()
        if view.current.number:
            raise ConfigurationError(
                f"contract {view.contract} holds {view.current.number} rounds already, and this "
                "version cannot resume another run's; a contract is one study: found the next one "
                "with `flwr-swarm consortium found`"
            )
        ours = terms(self.capacity or default_capacity(len(view.seated)))
        if ours.hash() != view.policy.terms:
            raise WrongChain(
                f"the contract pins terms with hash {view.policy.terms.hex()}, this strategy's "
                f"have {ours.hash().hex()}: {ours.to_json()}; use the numbers that the "
                "consortium agreed on"
            )
        if ours.encryption == "threshold":
            check_protects(view.policy, len(view.seated))
        nodes: dict[int, int] = {}
        labels: dict[int, str] = {}
        enrolled = enrol(
            grid,
            connected(grid, needed, seconds, clock),
            view.chain_id,
            view.contract,
            seconds,
            clock,
        )
        for node, reply in enrolled:
            member = view.member_at(reply.account)
            if member is None or member.encryption_key != reply.encryption_key:
                raise NotAMember(
                    f"node {node} enrolled as {reply.account}, which has no seat in "
                    f"{view.contract} with that encryption key; start the site with the keys of a "
                    "member, or have it admitted"
                )
            if member.index in nodes:
                raise ConfigurationError(
                    f"nodes {nodes[member.index]} and {node} both enrolled as member "
                    f"{member.index}; stop one of them"
                )
            nodes[member.index], labels[member.index] = node, printable(reply.label)
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
            nodes=nodes,
            labels=labels,
            ledger=ledger,
            resources=ExitStack(),
        )
