"""`SwarmStrategy`: what a ServerApp sees. Wraps a Flower strategy; a relay that holds no key."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from ._exceptions import ProtocolError, RoundVoid, SwarmError
from .flower import records, write
from .flower.driver import RoundDriver
from .flower.founding import Founding, Swarm
from .flower.joining import Consortium
from .flower.outcome import (
    check_same,
    comparable,
    one_line,
    plain_replies,
    seal_replies,
    stepped,
)
from .flower.replay import Spec, require_spec, server_state, spec_of
from .flower.trips import Clock, MemberGrid, Trips
from .protocol.hashing import Arrays, model_hash
from .protocol.member import last_certified
from .protocol.memory import Parent
from .protocol.messages import ModelProof, SealRequest
from .protocol.relay import with_witnesses, witnesses_of
from .protocol.terms import ENCRYPTIONS, Encryption, Terms
from .protocol.types import LedgerView, Phase
from .report.evidence import EvidenceWriter, default_directory

log = logging.getLogger("flwr.swarm")


@dataclass(frozen=True)
class _Training:
    """The round that is out at the members."""

    parent: Parent
    started: float

    @property
    def number(self) -> int:
        return self.parent.round


class SwarmStrategy(Strategy):
    """Run a Flower strategy as a swarm.

    Sampling, configuration and evaluation stay the wrapped strategy's; who merges is elected by a
    contract, nobody sees a single update, and a model is trained on only if the members can
    recompute it.

    Parameters
    ----------
    strategy : Strategy
        FedAvg, FedProx, FedAvgM, FedAdam, FedYogi or FedAdagrad (or a subclass that leaves
        aggregation alone). With ``encryption="none"`` any strategy.
    encryption : {"threshold", "none"}, default "threshold"
        ``"none"`` is a baseline for measurements: leader and relay read every update. Each site
        must agree to it by itself.
    clip : float, default 10.0
        L2 bound of a member's update, in the model's units; a longer update is scaled down.
    max_weight : float, default 65536.0
        Public bound of a site's number of training examples. The closer to the largest site,
        the finer the rounding.
    threshold, min_included : int, optional
        Openings that recover a sum, and smallest number of updates in one. Defaults: the
        smallest t with 2t > n + f, and max(3, t).
    epsilon_cap : float, optional
        Cumulative epsilon above which the contract refuses a member's seal.
    fixed_leader : int, optional
        Member that leads every round; by default a shuffle bag elects.
    members : int, optional
        How many sites to wait for before the swarm is founded. Default: the wrapped strategy's
        ``min_available_nodes``, and three at least under encryption.
    seal_seconds, merge_seconds : int
        Limit for training and sealing, and for one leader's merge. A round that misses them all
        is void, and training goes on from the last model.
    enrol_seconds : float
        Limit of waiting for sites.
    consortium : Consortium, optional
        A swarm that its members founded before, on their own chain. Its policy then holds:
        `threshold`, `min_included`, `epsilon_cap`, `fixed_leader`, `seal_seconds` and
        `merge_seconds` are the contract's. By default it is the one that the environment names
        (``FLWR_SWARM_CHAIN`` and ``FLWR_SWARM_CONTRACT``, as ``flwr-swarm relay`` sets them), else
        the run founds a swarm of whoever is connected, on a development chain of its own.
    evidence : path, optional
        Where to keep the run's evidence for ``flwr-swarm verify``. Default: ``$FLWR_SWARM_DIR``,
        else ``swarm-runs/<run id>``.

    Raises
    ------
    UnsupportedStrategy
        If the strategy needs individual updates and encryption is on.

    Notes
    -----
    Guarantee and assumptions are in SECURITY.md. Without `consortium` the chain is the embedded
    development chain, on this machine's loopback interface.
    """

    def __init__(
        self,
        strategy: Strategy,
        *,
        encryption: Encryption = "threshold",
        clip: float = 10.0,
        max_weight: float = 65536.0,
        threshold: int | None = None,
        min_included: int | None = None,
        epsilon_cap: float | None = None,
        fixed_leader: int | None = None,
        members: int | None = None,
        seal_seconds: int = 600,
        merge_seconds: int = 60,
        enrol_seconds: float = 60.0,
        consortium: Consortium | None = None,
        evidence: str | Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._inner = strategy
        self._encrypted = encryption == ENCRYPTIONS[0]
        self._spec = _spec(strategy, self._encrypted)
        self._founding = Founding(
            encryption=encryption,
            clip=clip,
            max_weight=max_weight,
            threshold=threshold,
            min_included=min_included,
            fixed_leader=fixed_leader,
            epsilon_cap=epsilon_cap,
            seal_seconds=seal_seconds,
            merge_seconds=merge_seconds,
        )
        self._founding.check(self._weight_key(), self._spec)
        smallest = 3 if self._encrypted else 1
        available = int(_option(strategy, "min_available_nodes", smallest))
        self._needed = max(members or available, smallest)
        self._enrol_seconds = enrol_seconds
        self._consortium = consortium or Consortium.from_environment()
        self._evidence_path = evidence
        self._clock = clock or Clock()
        self._swarm: Swarm | None = None
        self._driver: RoundDriver | None = None
        self._evidence: EvidenceWriter | None = None
        self._training: _Training | None = None
        self._proof = ModelProof()
        self._model = ArrayRecord()

    # --- Flower's Strategy -----------------------------------------------------------------

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        """Flower's own loop; afterwards the evidence is completed and the chain stopped.

        Also if the loop fails: the last model that the swarm reached is then in the evidence.
        """
        self._model = initial_arrays
        try:
            return super().start(
                grid,
                initial_arrays,
                num_rounds,
                min(timeout, float(self._seal_seconds())),
                train_config,
                evaluate_config,
                evaluate_fn,
            )
        finally:
            self._complete_evidence(self._model)
            self.close()

    def terms(self, capacity: int) -> Terms:
        """The numbers that all members of this strategy's swarm must share.

        A consortium that founds its swarm first pins them:
        ``json.dumps(strategy.terms(16).to_json())`` makes the file for
        ``flwr-swarm consortium found --terms``.

        Parameters
        ----------
        capacity : int
            Most members that one sum can hold, 1 to 256. More members round coarser.
        """
        return self._founding.terms(capacity, self._weight_key(), self._spec)

    def policy_settings(self, members: int) -> list[str]:
        """What this strategy asks of a consortium's policy, as ``--policy`` takes it.

        Parameters
        ----------
        members : int
            How many found the consortium.
        """
        return [f"close_at={self._sampled(members)}", *self._founding.settings()]

    def close(self) -> None:
        """Stop the chain that this strategy started. `start` calls it by itself."""
        if self._swarm is not None:
            self._swarm.close()
        self._swarm = self._driver = self._evidence = self._training = None
        self._proof = ModelProof()

    def summary(self) -> None:
        """Log the swarm's settings and the wrapped strategy's."""
        log.info(
            "\t├──> Swarm: encryption %s, leader %s",
            self._founding.encryption,
            "elected" if self._founding.fixed_leader is None else "fixed",
        )
        self._inner.summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Trip 1: the wrapped strategy's messages, with the round and the proof of the model."""
        swarm, driver = self._founded(grid)
        view = driver.settle()
        model = records.numpy_arrays(arrays)
        state: Arrays = server_state(self._inner) if self._encrypted else {}
        open_ = view.current.phase is Phase.SEALING
        number = view.current.number if open_ else view.current.number + 1
        parent = Parent(round=number, hash=model_hash(model, state), model=model, state=state)
        if self._evidence is not None:
            self._evidence.start(swarm, model, state)
        messages = list(
            self._inner.configure_train(
                server_round, arrays, config, self._members_only(swarm, grid, "min_train_nodes")
            )
        )
        if self._encrypted:
            check_same(messages)
        self._follow(view)
        self._training = _Training(parent, self._clock.now())
        marked = self._marked("seal", parent.round, swarm, state)
        member_of = {node: member for member, node in swarm.nodes.items()}
        connected = {member_of[node] for node in grid.get_node_ids() if node in member_of}
        sampled = [member_of[message.metadata.dst_node_id] for message in messages]
        chosen = with_witnesses(sampled, view, connected)
        return [
            Message(
                _merged(message.content, marked),
                swarm.nodes[member],
                message.metadata.message_type,
            )
            for message, member in zip(messages, chosen, strict=True)
        ]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Trips 2 and 3, then the wrapped strategy's step on the opened mean."""
        training, driver, swarm = self._training, self._driver, self._swarm
        if training is None or driver is None or swarm is None:
            raise ProtocolError("aggregate_train was called before configure_train")
        self._training = None
        sealed = self._clock.now() - training.started
        try:
            outcome = driver.finish(training.number, seal_replies(replies, swarm))
        except RoundVoid as void:
            log.warning("%s", void)
            self._record_void(training, driver, str(void), sealed)
            return None, None
        arrays, metrics = None, None
        if not self._encrypted:
            arrays, metrics = self._inner.aggregate_train(training.number, plain_replies(outcome))
        elif (taken := stepped(self._inner, training.parent, outcome, swarm)) is not None:
            arrays, metrics = records.array_record(taken.model), taken.metrics
        else:
            outcome = replace(outcome, opened=None)  # what leads nowhere counts as never opened
        self._proof = ModelProof(
            round=training.number, openings=outcome.opened.openings if outcome.opened else {}
        )
        log.info("%s", one_line(outcome, swarm))
        try:
            if self._evidence is not None:
                self._evidence.record(outcome, swarm, metrics, {"seal": sealed, **outcome.seconds})
        except OSError as error:  # a full disk must not cost the model
            log.warning("round %d is missing from the evidence: %s", training.number, error)
        self._model = arrays or self._model
        return arrays, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """The wrapped strategy's messages, with the proof of the model.

        Under encryption they go to the last round's officers: only these can check the model, and
        no member evaluates one that it cannot check.
        """
        swarm, driver = self._founded(grid)
        view = driver.ledger.view()
        self._follow(view)
        messages = self._inner.configure_evaluate(
            server_round, arrays, config, self._members_only(swarm, grid, "min_evaluate_nodes")
        )
        if self._encrypted:
            able = {swarm.nodes[member] for member in witnesses_of(view) if member in swarm.nodes}
            messages = [m for m in messages if m.metadata.dst_node_id in able]
        state: Arrays = server_state(self._inner) if self._encrypted else {}
        marked = self._marked("evaluate", self._proof.round, swarm, state)
        return [
            Message(
                _merged(message.content, marked),
                message.metadata.dst_node_id,
                message.metadata.message_type,
            )
            for message in messages
        ]

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """The wrapped strategy's own, on the replies that go together."""
        return self._inner.aggregate_evaluate(server_round, comparable(replies, self._inner))

    # --- parts -----------------------------------------------------------------------------

    def _follow(self, view: LedgerView) -> None:
        """Prove the model by the ledger's last certificate, also one that came unnoticed.

        A round that was certified after we gave it up led to no model: its proof is empty.
        """
        certified = last_certified(view)
        if certified is not None and certified.number != self._proof.round:
            self._proof = ModelProof(round=certified.number)

    def _founded(self, grid: Grid) -> tuple[Swarm, RoundDriver]:
        if self._swarm is None or self._driver is None:
            swarm = self._found(grid) if self._consortium is None else self._join(grid)
            self._swarm = swarm
            self._driver = RoundDriver(
                place=swarm.place,
                terms=swarm.terms,
                ledger=swarm.ledger,
                trips=Trips(grid=grid, nodes=swarm.nodes, clock=self._clock),
            )
            self._evidence = EvidenceWriter(
                default_directory(grid.run.run_id)
                if self._evidence_path is None
                else Path(self._evidence_path)
            )
        return self._swarm, self._driver

    def _found(self, grid: Grid) -> Swarm:
        return self._founding.found(
            grid,
            spec=self._spec,
            weight_key=self._weight_key(),
            needed=self._needed,
            sampled=self._sampled,
            seconds=self._enrol_seconds,
            clock=self._clock,
        )

    def _join(self, grid: Grid) -> Swarm:
        assert self._consortium is not None  # noqa: S101 - its one caller looked
        return self._consortium.join(
            grid,
            terms=self.terms,
            needed=self._needed,
            sampled=self._sampled,
            seconds=self._enrol_seconds,
            clock=self._clock,
        )

    def _weight_key(self) -> str:
        return str(_option(self._inner, "weighted_by_key", "num-examples"))

    def _seal_seconds(self) -> int:
        if self._consortium is None:
            return self._founding.seal_seconds
        return self._consortium.ledger().view().policy.seal_seconds

    def _sampled(self, members: int) -> int:
        fraction = float(_option(self._inner, "fraction_train", 1.0))
        fewest = int(_option(self._inner, "min_train_nodes", 1))
        return min(members, max(int(members * fraction), fewest))

    def _members_only(self, swarm: Swarm, grid: Grid, least: str) -> Grid:
        """The grid for sampling: as many members as the wrapped strategy waits for, or an error.

        Not all of them: with fraction 1 the absence of one must not stop the others.
        """
        needed = max(int(_option(self._inner, n, 1)) for n in ("min_available_nodes", least))
        return cast(
            Grid,
            MemberGrid(
                grid,
                swarm.nodes.values(),
                needed=needed,
                seconds=swarm.policy.seal_seconds,
                clock=self._clock,
            ),
        )

    def _marked(self, phase: str, number: int, swarm: Swarm, state: Arrays) -> write.Records:
        request = SealRequest(place=swarm.place, round=number, proof=self._proof)
        marked = write.seal_request(request, phase)
        if state:
            marked[records.STATE] = records.array_record(state)
        return marked

    def _complete_evidence(self, final: ArrayRecord) -> None:
        """A finished training is never lost to a report that could not be written."""
        if self._evidence is None or self._swarm is None:
            return
        state: Arrays = server_state(self._inner) if self._encrypted else {}
        try:
            self._evidence.finish(self._swarm, records.numpy_arrays(final), state)
        except (SwarmError, OSError) as error:
            log.warning("the run's evidence is incomplete: %s", error)

    def _record_void(
        self, training: _Training, driver: RoundDriver, why: str, sealed: float
    ) -> None:
        if self._evidence is not None and self._swarm is not None:
            self._evidence.record_void(training.number, driver.ledger.view(), why, {"seal": sealed})


def _option(strategy: Strategy, name: str, default: Any) -> Any:
    return getattr(strategy, name, default)


def _spec(strategy: Strategy, encrypted: bool) -> Spec:
    if encrypted:
        return require_spec(strategy)
    return spec_of(strategy) or Spec(name=type(strategy).__name__, parameters={})


def _merged(content: RecordDict, marked: Mapping[str, Any]) -> RecordDict:
    return RecordDict({**content, **marked})
