"""Before the first round: who the members are, and the contract that lists them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from eth_account import Account
from flwr.app import ArrayRecord
from flwr.serverapp import Grid

from .._exceptions import ConfigurationError
from ..chain.client import ReadOnlyLedger
from ..chain.deploy import contract_address, deploy
from ..chain.embedded import EmbeddedChain
from ..chain.patience import PatientLedger
from ..chain.server import ChainServer
from ..encryption import Precision, SharedNoise
from ..encryption.profile import DEFAULT_PRECISION
from ..protocol.messages import Place
from ..protocol.quorum import (
    SMALLEST_ENCRYPTED_SWARM,
    check_protects,
    signatures_needed,
    smallest_threshold,
    witnesses_needed,
)
from ..protocol.terms import Encryption, Terms, check_noise
from ..protocol.types import EPSILON_UNIT, NO_CAP, Card, Policy
from ..protocol.update import check_model, trained_names
from .clock import Clock
from .enrolment import Enrolling, connected, enrol, printable
from .records import numpy_arrays
from .replay import Spec
from .roster import Roster

log = logging.getLogger("flwr.swarm")

CHAIN_PATIENCE = 300.0
"""How long a relay waits for a chain that is away, in seconds."""
_LARGEST_COMMITTEE = 7


@dataclass(frozen=True, kw_only=True)
class Swarm:
    """A founded swarm, as its relay knows it."""

    place: Place
    terms: Terms
    policy: Policy
    roster: Roster = field(repr=False)
    ledger: PatientLedger[ReadOnlyLedger] = field(repr=False)
    first_round: int = 1
    resources: ExitStack = field(repr=False)

    @property
    def nodes(self) -> Mapping[int, int]:
        """Member to Flower node, as it is now."""
        return self.roster.nodes

    @property
    def labels(self) -> Mapping[int, str]:
        """What members call themselves."""
        return self.roster.labels

    def close(self) -> None:
        """Stop what founding started (the development chain, if it was ours)."""
        self.resources.close()


@dataclass(frozen=True, kw_only=True)
class Founding:
    """The choices with which a swarm is founded; None stands for a safe default.

    Parameters
    ----------
    encryption : {"threshold", "none"}
    clip, max_weight : float
        See `Terms`.
    threshold, min_included, fixed_leader : int or None
        See `Policy`.
    epsilon_cap : float or None
        Highest cumulative epsilon that the contract accepts from a member.
    noise : SharedNoise or None
        See `Terms`.
    precision, layer_clips, entry_clips
        See `Terms`.
    seal_seconds, merge_seconds : int
        See `Policy`.
    """

    encryption: Encryption
    clip: float
    max_weight: float
    threshold: int | None
    min_included: int | None
    fixed_leader: int | None
    epsilon_cap: float | None
    seal_seconds: int
    merge_seconds: int
    noise: SharedNoise | None = None
    precision: Precision = DEFAULT_PRECISION
    layer_clips: Mapping[str, float] = field(default_factory=dict)
    entry_clips: Mapping[str, float] = field(default_factory=dict)

    def check(self, weight_key: str, spec: Spec) -> None:
        """Refuse bad numbers before anything starts."""
        self.terms(SMALLEST_ENCRYPTED_SWARM, weight_key, spec)
        self._cap()

    def check_model(self, model: ArrayRecord, weight_key: str, spec: Spec) -> None:
        """Refuse a model that no site could seal, and say which of its arrays stay as they are."""
        arrays = numpy_arrays(model)
        check_model(self.terms(SMALLEST_ENCRYPTED_SWARM, weight_key, spec), arrays)
        if fixed := sorted(set(arrays) - set(trained_names(arrays))):
            log.info(
                "%d arrays are integer or bool, and stay as the initial model has them: %s",
                len(fixed),
                ", ".join(fixed[:8]) + (", ..." if len(fixed) > 8 else ""),
            )

    def terms(self, members: int, weight_key: str, spec: Spec) -> Terms:
        """The numbers that `members` members will share."""
        return Terms(
            encryption=self.encryption,
            members=members,
            clip=float(self.clip),
            max_weight=float(self.max_weight),
            weight_key=weight_key,
            strategy=spec.name,
            parameters=spec.parameters,
            noise=self.noise,
            precision=self.precision,
            layer_clips=tuple((name, float(bound)) for name, bound in self.layer_clips.items()),
            entry_clips=tuple((name, float(bound)) for name, bound in self.entry_clips.items()),
        )

    def policy(self, members: int, sampled: int, terms: Terms) -> Policy:
        """The rules for `members` members of which `sampled` train in a round.

        Raises
        ------
        ConfigurationError
            If they could not protect an update.
        """
        threshold = self.threshold or smallest_threshold(members)
        encrypted = self.encryption == "threshold"
        smallest = max(3, threshold) if encrypted else 1
        officers = min(sampled, _LARGEST_COMMITTEE)
        policy = Policy(
            threshold=threshold,
            min_included=self.min_included or min(smallest, members),
            witnesses=witnesses_needed(officers) if encrypted else 0,
            max_committee=_LARGEST_COMMITTEE,
            quorum=signatures_needed(officers) if encrypted else 0,
            close_at=sampled,
            fixed_leader=self.fixed_leader,
            epsilon_cap=self._cap(),
            seal_seconds=self.seal_seconds,
            merge_seconds=self.merge_seconds,
            terms=terms.hash(),
        )
        if encrypted:
            check_protects(policy, members)
        check_noise(terms, policy)
        if sampled < policy.min_included:
            raise ConfigurationError(
                f"the strategy trains {sampled} of {members} members in a round, but a sum needs "
                f"{policy.min_included}; raise fraction_train or min_train_nodes"
            )
        return policy

    def settings(self) -> list[str]:
        """What differs from a consortium's default policy, as ``--policy`` takes it."""
        chosen = {
            "threshold": self.threshold,
            "min_included": self.min_included,
            "fixed_leader": self.fixed_leader,
            "epsilon_cap": self.epsilon_cap,
            "seal_seconds": self.seal_seconds,
            "merge_seconds": self.merge_seconds,
        }
        return [f"{name}={value}" for name, value in chosen.items() if value is not None]

    def _cap(self) -> int:
        if self.epsilon_cap is None:
            return NO_CAP
        if not (math.isfinite(self.epsilon_cap) and self.epsilon_cap > 0):
            raise ConfigurationError(
                f"epsilon_cap must be > 0 and finite, got {self.epsilon_cap}; choose the budget "
                "that the consortium agreed on, or None for no cap"
            )
        return math.floor(self.epsilon_cap * EPSILON_UNIT)

    def found(
        self,
        grid: Grid,
        *,
        spec: Spec,
        weight_key: str,
        needed: int,
        sampled: Callable[[int], int],
        seconds: float,
        clock: Clock,
    ) -> Swarm:
        """Enrol all connected nodes and found a swarm of them on a fresh development chain.

        Parameters
        ----------
        spec, weight_key
            Of the wrapped strategy.
        needed : int
            Members to wait for.
        sampled : callable
            Members that train in a round, given their number.
        seconds : float
            Limit of the wait, and of the enrolment.

        Raises
        ------
        ConfigurationError
            If too few nodes connect, or the rules could not protect an update.
        """
        node_ids = connected(grid, needed, seconds, clock)
        terms = self.terms(len(node_ids), weight_key, spec)
        policy = self.policy(len(node_ids), sampled(len(node_ids)), terms)
        resources = ExitStack()
        try:
            chain = EmbeddedChain(clock=clock.now)
            server = resources.enter_context(ChainServer(chain))
            deployer = Account.create()  # pays for one transaction and gets no power from it
            contract = contract_address(deployer.address)
            enrolled = enrol(grid, node_ids, chain.chain_id, contract, seconds, clock)
            cards = []
            for _, reply in enrolled:
                chain.fund(reply.account)
                cards.append(
                    Card(
                        account=reply.account,
                        encryption_key=reply.encryption_key,
                        commitment=reply.commitment,
                    )
                )
            chain.fund(deployer.address)
            deploy(chain, cards=cards, policy=policy, key=bytes(deployer.key))
            ledger = PatientLedger(
                ledger=ReadOnlyLedger(url=server.url, contract=contract, chain_id=chain.chain_id),
                seconds=CHAIN_PATIENCE,
                now=clock.now,
                sleep=clock.sleep,
            )
        except BaseException:
            resources.close()
            raise
        place = Place(
            chain_url=server.url,
            chain_id=chain.chain_id,
            contract=contract,
            terms=terms.to_json(),
        )
        asked = Enrolling(
            grid=grid, chain_id=chain.chain_id, contract=contract, seconds=seconds, clock=clock
        )
        roster = Roster(
            enrolling=asked,
            view=ledger.view,
            nodes={index: node for index, (node, _) in enumerate(enrolled)},
            labels={index: printable(reply.label) for index, (_, reply) in enumerate(enrolled)},
        )
        log.info(
            "swarm of %d founded: contract %s on chain %d, threshold %d, encryption %s",
            len(cards),
            contract,
            chain.chain_id,
            policy.threshold,
            self.encryption,
        )
        return Swarm(
            place=place,
            terms=terms,
            policy=policy,
            roster=roster,
            ledger=ledger,
            resources=resources,
        )
