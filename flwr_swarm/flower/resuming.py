"""A run that begins where another relay's ended: from the ledger, and from what members kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .._exceptions import ConfigurationError, RoundVoid
from ..chain import history
from ..chain.replay import replay as replay_chain
from ..protocol.hashing import Arrays, model_hash
from ..protocol.memory import Parent
from ..protocol.messages import HeldSum, ModelProof, SealReply
from ..protocol.payload import aggregate_hash, merge_plain
from ..protocol.recall import LedTo, led_to, open_again, running_model, to_open
from ..protocol.relay import Merged, Opened, accepted_seals
from ..protocol.types import LedgerView, Phase, Round
from .driver import RoundDriver
from .ended import Outcome
from .founding import Swarm
from .recalling import Recaller
from .replay import replay as step

log = logging.getLogger("flwr.swarm")


@dataclass(frozen=True, kw_only=True)
class TakenUp:
    """Where the new relay stands.

    Parameters
    ----------
    parent : Parent
        The model to go on with; if `outcome` is there, the one that its sum is added to.
    outcome : Outcome or None
        A round that the other relay left without a step.
    proof : ModelProof
        Of `parent.model`, for the members that can recompute it; empty if there is an outcome.
    ended : int
        Rounds of the study that have ended, the one in `outcome` included.
    resumed : bool
        Whether the model is another run's.
    """

    parent: Parent
    outcome: Outcome | None = None
    proof: ModelProof
    ended: int
    resumed: bool = True


def resumption(swarm: Swarm, driver: RoundDriver) -> Resumption:
    """What takes `swarm` up, over its relay's own trips."""
    place = swarm.place

    def signers(number: int) -> Sequence[int]:
        past = replay_chain(history.export(place.chain_url, place.contract))
        return past.state.records[number - 1].signers

    recaller = Recaller(
        place=place,
        terms=swarm.terms,
        trips=driver.trips,
        roster=swarm.roster,
        seconds=float(swarm.policy.seal_seconds),
    )
    return Resumption(driver=driver, recaller=recaller, signers=signers)


@dataclass(frozen=True, kw_only=True)
class Resumption:
    """Takes a swarm up whatever it was doing.

    Parameters
    ----------
    driver : RoundDriver
    recaller : Recaller
    signers : callable
        Round -> members that signed its certificate, by the chain's history.
    """

    driver: RoundDriver
    recaller: Recaller
    signers: Callable[[int], Sequence[int]] = field(repr=False)

    def take_up(self, model: Arrays, state: Arrays) -> TakenUp:
        """From the ledger's newest round to the model to go on with.

        Parameters
        ----------
        model, state : Arrays
            The run's own initial model: used if the ledger names it, or names none yet.

        Raises
        ------
        ConfigurationError
            If no connected member has the model that the ledger names.
        """
        view = self.driver.ledger.view()
        fresh = (model, state)
        number = view.current.number
        if number > 0:
            log.info(
                "round %d of this study is %s; taking it up from there",
                number,
                view.current.phase.name.lower(),
            )
        if view.current.phase is Phase.MERGING:
            taken = self._finished(view, fresh)
            if taken is not None:
                return taken
            view = self.driver.ledger.view()
        certified = to_open(view)
        if certified is not None and (taken := self._led_on(view, certified, fresh)) is not None:
            return taken
        ended = number - (view.current.phase is Phase.SEALING)
        later = certified is None or number > certified.number
        wanted = running_model(view) if later else None
        proof = ModelProof() if certified is None else ModelProof(round=certified.number)
        found = None if wanted is None else self._found(number, wanted, fresh)
        if found is not None:
            return TakenUp(parent=_parent(number, found), proof=proof, ended=ended)
        # Nothing was ever sealed, or somebody opened a round on a model that no honest member has.
        if certified is None:
            parent = _parent(number + 1, fresh)
            return TakenUp(parent=parent, proof=proof, ended=ended, resumed=False)
        parent = self._parent(certified.number, certified.parent, fresh)
        log.warning(
            "round %d is certified, but its sum cannot be opened any more: too few of its members "
            "are connected, or they lost what they kept; training goes on from the model before it",
            certified.number,
        )
        return TakenUp(parent=parent, proof=proof, ended=ended)

    def _finished(self, view: LedgerView, fresh: tuple[Arrays, Arrays]) -> TakenUp | None:
        """A round that is merging, brought to its end; None if it is void."""
        number, wanted = view.current.number, view.current.parent
        parent = self._parent(number, wanted, fresh)
        try:
            outcome = self.driver.finish(number, self.recaller.seals(number))
        except RoundVoid as void:
            log.warning("%s", void)
            return None
        return TakenUp(parent=parent, outcome=outcome, proof=ModelProof(), ended=number)

    def _led_on(
        self, view: LedgerView, certified: Round, fresh: tuple[Arrays, Arrays]
    ) -> TakenUp | None:
        """The model after `certified`; None if its sum cannot be opened.

        If a later round names that model, another relay stepped to it; else the step is ours.
        """
        number, later = view.current.number, view.current.number > certified.number
        if later and not self._encrypted:
            return None  # members take any model, and cannot recompute this one
        before = self._found(certified.number, certified.parent, fresh)
        outcome = None if before is None else self._outcome(view, certified)
        if before is None or outcome is None:
            return None
        parent = _parent(certified.number, before)
        ended = number - (view.current.phase is Phase.SEALING)
        if later and outcome.opened is not None:
            included = outcome.merged.certificate.included
            led = self._led_to(parent, outcome.opened, outcome.seals[included[0]].layout, included)
            if led.hash == running_model(view):
                parent = _parent(number, (led.model, led.state))
                return TakenUp(parent=parent, proof=led.proof, ended=ended)
        return TakenUp(parent=parent, outcome=outcome, proof=ModelProof(), ended=ended)

    def _outcome(self, view: LedgerView, certified: Round) -> Outcome | None:
        number, certificate = certified.number, certified.certificate
        then = replace(view, current=certified)
        held = self.recaller.held(certified)
        opened: Opened | None = None
        seals: Mapping[int, SealReply] = {}
        if held is not None and self._encrypted:
            opened = open_again(
                view, certified, held, self.recaller.openings(number), self.driver.terms
            )
        if opened is None:  # perhaps nobody was asked to open it yet
            seals = accepted_seals(then, self.recaller.seals(number), self.driver.terms)
            held = held or self._summed(view, certified, seals)
        if held is None or certificate is None:
            return None
        # The ledger has the certificate, so nobody is sent its signatures again.
        merged = Merged(certificate=certificate, signatures=(), merged=held.merged)
        if opened is None:
            if not seals.keys() >= set(certificate.included):
                return None
            policy = replace(view.policy, threshold=held.threshold)
            opened = self.driver.open(replace(then, policy=policy), merged, seals)
            if opened is None and self._encrypted:
                return None
        if not seals:
            # Of an opened sum only the layout is read, and all in it share one.
            seals = {member: _layout_only(member, number, held) for member in held.included}
        merged = replace(merged, signatures=tuple((m, b"") for m in self.signers(number)))
        seconds = {"merge": 0.0, "open": 0.0}
        return Outcome(view=then, seals=seals, merged=merged, opened=opened, seconds=seconds)

    @property
    def _encrypted(self) -> bool:
        return self.driver.terms.encryption == "threshold"

    def _summed(
        self, view: LedgerView, certified: Round, seals: Mapping[int, SealReply]
    ) -> HeldSum | None:
        """The certified sum, added up again from the sealed updates."""
        certificate = certified.certificate
        if certificate is None or not seals.keys() >= set(certificate.included):
            return None
        if self._encrypted:
            merged = self.driver.terms.scheme().merge(
                [seals[m].payload for m in certificate.included]
            )
        else:
            inside = set(certificate.included)
            merged = merge_plain([s.payload_hash for s in certified.seals if s.member in inside])
        if aggregate_hash(self.driver.terms, merged) != certificate.aggregate_hash:
            return None
        return HeldSum(
            threshold=view.policy.threshold,
            included=certificate.included,
            layout=seals[certificate.included[0]].layout,
            merged=merged,
        )

    def led_to(self, view: LedgerView, certified: Round) -> LedTo | None:
        """Where `certified` leads, from what was released for it; None if that is not to be had.

        Then ask again later: its officers or holders may be connected.
        """
        held, before = self.recaller.held(certified), self.before(certified)
        if held is None or before is None:
            return None
        openings = self.recaller.openings(certified.number)
        opened = open_again(view, certified, held, openings, self.driver.terms)
        if opened is None:
            return None
        parent = _parent(certified.number, before)
        return self._led_to(parent, opened, held.layout, held.included)

    def _led_to(
        self, before: Parent, opened: Opened, layout: bytes, included: Sequence[int]
    ) -> LedTo:
        size, terms = len(included), self.driver.terms
        return led_to(before, opened, layout=layout, included=size, terms=terms, replay=step)

    def before(self, certified: Round) -> tuple[Arrays, Arrays] | None:
        """What `certified` trained on; None if no connected member has it."""
        return self.recaller.model(certified.parent, certified.number)

    def _parent(self, number: int, wanted: bytes, fresh: tuple[Arrays, Arrays]) -> Parent:
        found = self._found(number, wanted, fresh)
        if found is None:
            raise ConfigurationError(
                f"round {number} trains on model {wanted.hex()[:16]}…, and none of the connected "
                "members has it; start a site that took part in that round, and resume again"
            )
        return _parent(number, found)

    def _found(
        self, number: int, wanted: bytes, fresh: tuple[Arrays, Arrays]
    ) -> tuple[Arrays, Arrays] | None:
        return fresh if model_hash(*fresh) == wanted else self.recaller.model(wanted, number)


def _parent(number: int, found: tuple[Arrays, Arrays]) -> Parent:
    return Parent(round=number, hash=model_hash(*found), model=found[0], state=found[1])


def _layout_only(member: int, number: int, held: HeldSum) -> SealReply:
    return SealReply(round=number, member=member, layout=held.layout, payload=b"", envelopes=())
