"""A run that begins where another relay's ended: from the ledger, and from what members kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from .._exceptions import ConfigurationError, RoundVoid
from ..chain import history
from ..chain.replay import replay
from ..chain.state import Record
from ..protocol.hashing import Arrays, model_hash
from ..protocol.lineage import carried
from ..protocol.memory import Parent
from ..protocol.messages import HeldSum, ModelProof, SealReply
from ..protocol.payload import aggregate_hash, merge_plain
from ..protocol.recall import LedTo, led_to, open_again, running_model, to_open
from ..protocol.relay import Merged, Opened, accepted_seals
from ..protocol.terms import Terms
from ..protocol.types import Certificate, LedgerView, Phase, Round
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

    @cache
    def record(number: int) -> Record:
        past = replay(history.export(place.chain_url, place.contract))
        return past.rounds[number - 1]

    recaller = Recaller(
        place=place,
        trips=driver.trips,
        roster=swarm.roster,
        seconds=float(swarm.policy.seal_seconds),
    )
    return Resumption(driver=driver, recaller=recaller, record=record)


@dataclass(frozen=True, kw_only=True)
class Resumption:
    """Takes a swarm up whatever it was doing.

    Parameters
    ----------
    driver : RoundDriver
    recaller : Recaller
    record : callable
        Round -> under which policy it ran and who signed its certificate, by the chain's history.
    """

    driver: RoundDriver
    recaller: Recaller
    record: Callable[[int], Record] = field(repr=False)

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
        parent = _parent(certified.number, self._carried(certified, (parent.model, parent.state)))
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
        if later and self.driver.terms.encryption == "none":
            return None  # members take any model, and nobody can recompute this one
        before = self._found(certified.number, certified.parent, fresh)
        again = None if before is None else self._reopened(view, certified)
        if before is None or again is None:
            return None
        outcome, held = again
        changed = held.terms != self.driver.terms
        if (later or changed) and outcome.opened is None:
            return None  # nobody can recompute what came of a round without encryption
        parent = _parent(certified.number, before)
        ended = number - (view.current.phase is Phase.SEALING)
        if (later or changed) and outcome.opened is not None:
            led = led_to(parent, held, outcome.opened, to=self.driver.terms, replay=step)
            if changed or led.hash == running_model(view):
                parent = _parent(number, (led.model, led.state))
                return TakenUp(parent=parent, proof=led.proof, ended=ended)
            log.warning(
                "member %s opened round %d on model %s…, but round %d leads to %s…; training goes "
                "on from that, as all who can recompute it refuse any other",
                view.current.opener,
                number,
                view.current.parent.hex()[:16],
                certified.number,
                led.hash.hex()[:16],
            )
        return TakenUp(parent=parent, outcome=outcome, proof=ModelProof(), ended=ended)

    def _reopened(self, view: LedgerView, certified: Round) -> tuple[Outcome, HeldSum] | None:
        """What `certified` came to: opened again, or for the first time."""
        number, certificate = certified.number, certified.certificate
        record = self.record(number)
        if certificate is None or record.policy is None:
            return None
        then = replace(view, current=certified, policy=record.policy)
        held = self.recaller.held(certified, record.policy)
        terms = self.driver.terms if held is None else held.terms
        if terms.hash() != record.policy.terms:  # changed since, and nobody is here who knows them
            return None
        encrypted = terms.encryption == "threshold"
        opened: Opened | None = None
        seals: Mapping[int, SealReply] = {}
        if held is not None and encrypted:
            opened = open_again(view, certified, held, self.recaller.openings(number))
        if opened is None:  # perhaps nobody was asked to open it yet
            seals = accepted_seals(then, self.recaller.seals(number), terms)
            held = held or _summed(then, certificate, seals, terms)
        if held is None:
            return None
        # The ledger has the certificate, so nobody is sent its signatures again.
        merged = Merged(certificate=certificate, signatures=(), merged=held.merged)
        if opened is None and not seals.keys() >= set(certificate.included):
            return None
        if opened is None and encrypted:
            opened = replace(self.driver, terms=terms).open(then, merged, seals)
            if opened is None:
                return None
        if not seals:
            # Of an opened sum only the layout is read, and all in it share one.
            seals = {member: _layout_only(member, number, held) for member in held.included}
        merged = replace(merged, signatures=tuple((m, b"") for m in record.signers))
        then, seconds = replace(view, current=certified), {"merge": 0.0, "open": 0.0}
        outcome = Outcome(view=then, seals=seals, merged=merged, opened=opened, seconds=seconds)
        return outcome, held

    def led_to(self, view: LedgerView, certified: Round) -> LedTo | None:
        """Where `certified` leads, from what was released for it; None if that is not to be had.

        Then ask again later: its officers or holders may be connected.
        """
        policy = self.record(certified.number).policy
        held = None if policy is None else self.recaller.held(certified, policy)
        before = None if held is None else self._recalled(certified)
        if held is None or before is None:
            return None
        opened = open_again(view, certified, held, self.recaller.openings(certified.number))
        if opened is None:
            return None
        parent = _parent(certified.number, before)
        return led_to(parent, held, opened, to=self.driver.terms, replay=step)

    def before(self, certified: Round) -> tuple[Arrays, Arrays] | None:
        """What to go back to from `certified`; None if no connected member has its model."""
        found = self._recalled(certified)
        return None if found is None else self._carried(certified, found)

    def _carried(self, certified: Round, before: tuple[Arrays, Arrays]) -> tuple[Arrays, Arrays]:
        """The model that `certified` trained on, as the terms of today go on from it."""
        model, state = before
        policy = self.record(certified.number).policy
        if policy is None or policy.terms == self.driver.terms.hash():
            return before
        held = self.recaller.held(certified, policy)
        return model, state if held is None else carried(state, held.terms, self.driver.terms)

    def _recalled(self, certified: Round) -> tuple[Arrays, Arrays] | None:
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


def _summed(
    then: LedgerView, certificate: Certificate, seals: Mapping[int, SealReply], terms: Terms
) -> HeldSum | None:
    """The certified sum, added up again from the sealed updates."""
    included = certificate.included
    if not seals.keys() >= set(included):
        return None
    if terms.encryption == "threshold":
        merged = terms.scheme().merge([seals[m].payload for m in included])
    else:
        sealed = {seal.member: seal.payload_hash for seal in then.current.seals}
        merged = merge_plain([sealed[member] for member in included])
    if aggregate_hash(terms, merged) != certificate.aggregate_hash:
        return None
    return HeldSum(
        terms=terms,
        threshold=then.policy.threshold,
        included=included,
        layout=seals[included[0]].layout,
        body=b"",
        merged=merged,
    )
