"""The relay behind a `SwarmStrategy`: one swarm, round after round, and the evidence of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from flwr.app import ArrayRecord, Message, MetricRecord
from flwr.serverapp import Grid

from ._exceptions import LedgerError, ProtocolError, RoundVoid, SwarmError
from .flower import records, write
from .flower.clock import Clock
from .flower.course import Course
from .flower.driver import RoundDriver
from .flower.ended import Outcome
from .flower.founding import Founding, Swarm
from .flower.joining import Consortium
from .flower.outcome import one_line, plain_replies, seal_replies, stepped
from .flower.results import Results
from .flower.resuming import resumption
from .flower.rounding import at_worst
from .flower.trips import Trips
from .flower.turning import Turn, look
from .flower.wrapped import Wrapped
from .protocol.hashing import Arrays, model_hash
from .protocol.member import last_certified
from .protocol.memory import Parent
from .protocol.messages import ModelProof, SealRequest
from .protocol.types import LedgerView, Phase
from .report.evidence import EvidenceWriter, default_directory

log = logging.getLogger("flwr.swarm")


@dataclass(frozen=True)
class Training:
    """The round that is out at the members."""

    parent: Parent
    started: float

    @property
    def number(self) -> int:
        """The round's number on the ledger."""
        return self.parent.round


@dataclass(kw_only=True)
class Relay:
    """Founds, joins or takes up a swarm, and brings its rounds to an end. Holds no key.

    Parameters
    ----------
    wrapped : Wrapped
    founding : Founding
        How a swarm is founded where there is no `consortium`.
    consortium : Consortium or None
    needed : int
        Sites to wait for.
    enrol_seconds : float
        Limit of that wait.
    course : Course
        When to stop, and how long members train.
    directory : Path or None
        Where the evidence goes; None for the default.
    clock : Clock
    """

    wrapped: Wrapped
    founding: Founding
    consortium: Consortium | None
    needed: int
    enrol_seconds: float
    course: Course
    directory: Path | None
    clock: Clock
    swarm: Swarm | None = None
    driver: RoundDriver | None = None
    evidence: EvidenceWriter | None = None
    training: Training | None = None
    proof: ModelProof = field(default_factory=ModelProof)
    failed: bytes = b""
    """Parent hash of the model that a void round offered without a proof."""
    given_up: int = 0
    """The certified round whose sum nobody is asked to open again."""
    turned_to: ArrayRecord | None = None
    """The model that the relay turned to instead of Flower's, until a round leads on from it."""

    def connect(self, grid: Grid) -> tuple[Swarm, RoundDriver]:
        """The swarm, which is founded or joined at the first call."""
        if self.swarm is None or self.driver is None:
            self.swarm = swarm = self._found(grid)
            self.driver = RoundDriver(
                place=swarm.place,
                terms=swarm.terms,
                ledger=swarm.ledger,
                trips=Trips(grid=grid, nodes=swarm.nodes, clock=self.clock),
                roster=swarm.roster,
            )
            self.evidence = EvidenceWriter(self.directory or default_directory(grid.run.run_id))
            if self.wrapped.encrypted:
                log.info("%s", at_worst(swarm.terms))
        return self.swarm, self.driver

    def _found(self, grid: Grid) -> Swarm:
        if self.consortium is not None:
            return self.consortium.join(
                grid,
                terms=lambda members: self.founding.terms(
                    members, self.wrapped.weight_key, self.wrapped.spec
                ),
                needed=self.needed,
                sampled=self.wrapped.sampled,
                seconds=self.enrol_seconds,
                clock=self.clock,
            )
        return self.founding.found(
            grid,
            spec=self.wrapped.spec,
            weight_key=self.wrapped.weight_key,
            needed=self.needed,
            sampled=self.wrapped.sampled,
            seconds=self.enrol_seconds,
            clock=self.clock,
        )

    def take_up(self, grid: Grid, results: Results) -> None:
        """Go on where the ledger stands: with another relay's last round, if it left one."""
        swarm, driver = self.connect(grid)
        fresh = records.numpy_arrays(results.model)
        taken = resumption(swarm, driver).take_up(fresh, self.wrapped.state())
        first = taken.parent.round if taken.outcome else taken.ended + 1
        self.swarm = swarm = replace(swarm, first_round=first)
        self.proof, results.ended = taken.proof, taken.ended
        if taken.resumed:
            results.reached(records.array_record(taken.parent.model))
            self.wrapped.restore(taken.parent.model, taken.parent.state)
        if taken.outcome is not None:
            if self.evidence is not None:
                self.evidence.start(swarm, taken.parent.model, taken.parent.state)
            arrays, metrics = self._step(taken.parent, taken.outcome, swarm, 0.0)
            if arrays is not None:
                results.reached(arrays)
            results.trained(taken.parent.round, metrics)

    def standing(self, arrays: ArrayRecord) -> ArrayRecord:
        """The newest model; Flower's loop may still hold one that was given up."""
        return arrays if self.turned_to is None else self.turned_to

    def ground(self, arrays: ArrayRecord, view: LedgerView) -> ArrayRecord:
        """The model to train on next, with all the proof of it that can be had.

        It is another than `arrays` if what was certified turns out to lead elsewhere, or if nobody
        can prove them and a round on them was void.
        """
        self.follow(view)
        arrays, certified = self.standing(arrays), last_certified(view)
        if certified is None or self.swarm is None or self.driver is None:
            return arrays
        if not self.wrapped.encrypted or self.proof.openings:
            return arrays
        model = model_hash(records.numpy_arrays(arrays), self.wrapped.state())
        if model == certified.parent and certified.number == self.given_up:
            return arrays
        resuming = resumption(self.swarm, self.driver)
        standing = look(resuming, view, certified, model=model, failed=self.failed)
        self.proof = standing.proof
        if standing.given_up:
            self.given_up = certified.number
        return arrays if standing.turn is None else self._turn(standing.turn)

    def _turn(self, turn: Turn) -> ArrayRecord:
        self.wrapped.restore(turn.model, turn.state)
        try:
            if self.evidence is not None:
                self.evidence.turned(turn)
        except OSError as error:  # as in `_step`
            log.warning("the evidence lacks the model after round %d: %s", turn.round, error)
        self.turned_to = records.array_record(turn.model)
        return self.turned_to

    def begin(self, arrays: ArrayRecord, view: LedgerView) -> Training:
        """Trip 1 goes out on this model, which is `ground`."""
        if self.swarm is None:
            raise ProtocolError("a round begins in a swarm; call connect first")
        model, state = records.numpy_arrays(arrays), self.wrapped.state()
        number = view.current.number + (view.current.phase is not Phase.SEALING)
        parent = Parent(round=number, hash=model_hash(model, state), model=model, state=state)
        if self.evidence is not None:
            self.evidence.start(self.swarm, model, state)
        self.training = Training(parent, self.clock.now())
        return self.training

    def finish(self, replies: Iterable[Message]) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Trips 2 and 3, and the step; None where the round came to no model."""
        training, driver, swarm = self.training, self.driver, self.swarm
        if driver is None or swarm is None:
            raise ProtocolError("aggregate_train was called before configure_train")
        if training is None:  # no round began
            return None, None
        self.training = None
        sealed = self.clock.now() - training.started
        try:
            outcome = driver.finish(training.number, seal_replies(replies, swarm))
        except (RoundVoid, LedgerError) as void:
            log.warning("%s", void)
            if isinstance(void, RoundVoid) and not self.proof.openings:
                self.failed = training.parent.hash
            self._record_void(training.number, driver, str(void), sealed)
            return None, None
        return self._step(training.parent, outcome, swarm, sealed)

    def _step(
        self, parent: Parent, outcome: Outcome, swarm: Swarm, sealed: float
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The wrapped strategy's step on what a round came to, on record."""
        number, inner = parent.round, self.wrapped.strategy
        arrays, metrics = None, None
        if not self.wrapped.encrypted:
            arrays, metrics = inner.aggregate_train(number, plain_replies(outcome))
        elif (taken := stepped(inner, parent, outcome, swarm)) is not None:
            arrays, metrics = records.array_record(taken.model), taken.metrics
        else:
            outcome = replace(outcome, opened=None)  # what leads nowhere counts as never opened
            self.given_up = number
        self.turned_to = self.turned_to if arrays is None else None
        openings = outcome.opened.openings if outcome.opened else {}
        self.proof = ModelProof(round=number, openings=openings)
        self.course.record(number, metrics if arrays is not None else None, outcome.view)
        log.info("%s", one_line(outcome, swarm))
        try:
            if self.evidence is not None:
                self.evidence.record(outcome, swarm, metrics, {"seal": sealed, **outcome.seconds})
        except OSError as error:  # a full disk must not cost the model
            log.warning("round %d is missing from the evidence: %s", number, error)
        return arrays, metrics

    def _record_void(self, number: int, driver: RoundDriver, why: str, sealed: float) -> None:
        self.course.record(number, None, None)
        try:
            if self.evidence is not None:
                view = driver.ledger.ledger.view()
                self.evidence.record_void(number, view, why, {"seal": sealed})
        except (LedgerError, OSError) as error:
            log.warning("round %d is missing from the evidence: %s", number, error)

    def follow(self, view: LedgerView) -> None:
        """Prove the model by the ledger's last certificate, also one that came unnoticed.

        A round that was certified after we gave it up led to no model: its proof is empty.
        """
        certified = last_certified(view)
        if certified is not None and certified.number != self.proof.round:
            self.proof = ModelProof(round=certified.number)

    def marked(self, phase: str, number: int, state: Arrays) -> write.Records:
        """What a message to a member holds beside the wrapped strategy's own."""
        if self.swarm is None:
            raise ProtocolError("messages go out in a swarm; call connect first")
        request = SealRequest(place=self.swarm.place, round=number, proof=self.proof)
        marked = write.seal_request(request, phase)
        if state:
            marked[records.STATE] = records.array_record(state)
        return marked

    def seconds_left(self, silent: set[int]) -> float | None:
        """`RoundGrid`'s patience: how long silent nodes are still waited for."""
        if self.training is None or self.driver is None or self.swarm is None:
            return None
        members = {member for member, node in self.swarm.nodes.items() if node in silent}
        return self.driver.seconds_for(self.training.number, members)

    def complete_evidence(self, final: ArrayRecord) -> None:
        """A finished training is never lost to a report that could not be written."""
        if self.evidence is None or self.swarm is None:
            return
        try:
            self.evidence.finish(self.swarm, records.numpy_arrays(final), self.wrapped.state())
        except (SwarmError, OSError) as error:
            log.warning("the run's evidence is incomplete: %s", error)

    def close(self) -> None:
        """Stop the chain that this relay started, if it did."""
        if self.swarm is not None:
            self.swarm.close()
        self.swarm = self.driver = self.evidence = self.training = None
        self.proof, self.failed, self.given_up, self.turned_to = ModelProof(), b"", 0, None
        self.course.forget()
