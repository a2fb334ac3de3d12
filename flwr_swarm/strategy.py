"""`SwarmStrategy`: what a ServerApp sees. Wraps a Flower strategy; a relay that holds no key."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from ._exceptions import LedgerError, RoundVoid
from .encryption import Precision, SharedNoise
from .encryption.profile import DEFAULT_PRECISION
from .flower.clock import Clock
from .flower.course import Course
from .flower.founding import Founding
from .flower.joining import Consortium
from .flower.outcome import check_same, comparable
from .flower.results import Evaluate, Results
from .flower.round_grid import RoundGrid
from .flower.wrapped import Wrapped, check_one_step
from .protocol.quorum import SMALLEST_ENCRYPTED_SWARM
from .protocol.relay import with_witnesses, witnesses_of
from .protocol.terms import ENCRYPTIONS, Encryption, Terms
from .relay import Relay
from .stopping import AdaptiveInterval, Rule

log = logging.getLogger("flwr.swarm")


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
    precision : {8, 12, 16, 24}, default 16
        Bits of a member's value at least: an update takes 1.9, 2.5, 3.8 or 7.5 bytes a parameter
        (8 and 12 bits take 2.5 and 3.8 in swarms with room for more than 16 members).
    layer_clips, entry_clips : mapping of str to float, optional
        Bounds of single arrays, by their names or patterns of them (``{"head.*": 0.5}``; the first
        that matches holds): of the L2 norm, and of each entry's magnitude. Such an array is
        rounded as much finer as its lower bound is below `clip`, which goes on to bound the whole.
        ``flwr-swarm doctor`` measures what a site's update takes.
    threshold, min_included : int, optional
        Openings that recover a sum, and smallest number of updates in one. Defaults: the
        smallest t with 2t > n + f, and max(3, t).
    epsilon_cap : float, optional
        Cumulative epsilon above which the contract refuses a member's seal.
    noise : SharedNoise, optional
        Members add the noise of differential privacy together, a share each. A round is then one
        step at each site, with ``make_private(noise_multiplier="shared")``.
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
    stop : sequence of Rule
        When to end the run before its last round: see `flwr_swarm.stopping`. The members' vote
        to stop the study always ends it.
    interval : AdaptiveInterval, optional
        How long members train locally in a round, from how the mean loss went.
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
        precision: Precision = DEFAULT_PRECISION,
        layer_clips: Mapping[str, float] | None = None,
        entry_clips: Mapping[str, float] | None = None,
        threshold: int | None = None,
        min_included: int | None = None,
        epsilon_cap: float | None = None,
        noise: SharedNoise | None = None,
        fixed_leader: int | None = None,
        members: int | None = None,
        seal_seconds: int = 600,
        merge_seconds: int = 60,
        enrol_seconds: float = 60.0,
        consortium: Consortium | None = None,
        stop: Sequence[Rule] = (),
        interval: AdaptiveInterval | None = None,
        evidence: str | Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._wrapped = Wrapped(strategy=strategy, encrypted=encryption == ENCRYPTIONS[0])
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
            noise=noise,
            precision=precision,
            layer_clips=dict(layer_clips or {}),
            entry_clips=dict(entry_clips or {}),
        )
        check_one_step(noise, strategy, interval)
        self._founding.check(self._wrapped.weight_key, self._wrapped.spec)
        smallest = SMALLEST_ENCRYPTED_SWARM if self._wrapped.encrypted else 1
        self._clock = clock or Clock()
        self._relay = Relay(
            wrapped=self._wrapped,
            founding=self._founding,
            consortium=consortium or Consortium.from_environment(),
            needed=max(members or self._wrapped.available(smallest), smallest),
            enrol_seconds=enrol_seconds,
            course=Course(stop=stop, interval=interval),
            directory=None if evidence is None else Path(evidence),
            clock=self._clock,
        )
        self._results = Results(model=ArrayRecord())

    # --- Flower's Strategy -----------------------------------------------------------------

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Evaluate | None = None,
    ) -> Result:
        """Flower's own loop; afterwards the evidence is completed and the chain stopped.

        Also if the loop fails: the last model that the swarm reached is then in the evidence.

        On a consortium's contract that holds rounds already, the run takes the study up where it
        stands, whoever began it: `num_rounds` counts from the study's first round, and
        `initial_arrays` is used only if no model came of it yet.
        """
        self._founding.check_model(initial_arrays, self._wrapped.weight_key, self._wrapped.spec)
        self._results = results = Results(model=initial_arrays)
        evaluate, relay = results.centrally(evaluate_fn), self._relay
        waiting = cast(Grid, RoundGrid(grid, clock=self._clock, patience=relay.seconds_left))
        try:
            seal_seconds = self._founding.seal_seconds
            if relay.consortium is not None:
                relay.take_up(waiting, results)
                seal_seconds = relay.connect(waiting)[0].policy.seal_seconds
            if results.ended:
                log.info("%d of %d rounds of this study have ended", results.ended, num_rounds)
            if results.ended < num_rounds or not results.ended:
                super().start(
                    waiting,
                    results.model,
                    num_rounds - results.ended,
                    min(timeout, float(seal_seconds)),
                    train_config,
                    evaluate_config,
                    evaluate,
                )
            elif evaluate is not None:
                evaluate(0, results.model)  # the loop has no round left to do it in
        except _Enough as enough:
            log.info("the run ends here: %s", enough)
        finally:
            relay.complete_evidence(results.model)
            self.close()
        return results.result

    def terms(self, capacity: int) -> Terms:
        """The numbers that all members of this strategy's swarm must share.

        A consortium pins them: ``json.dumps(strategy.terms(16).to_json())`` makes the file for
        ``flwr-swarm consortium found --terms``.

        Parameters
        ----------
        capacity : int
            Most members that one sum can hold, 1 to 256. More members round coarser.
        """
        return self._founding.terms(capacity, self._wrapped.weight_key, self._wrapped.spec)

    def policy_settings(self, members: int) -> list[str]:
        """What this strategy asks of the policy of `members` founders, as ``--policy`` takes it."""
        return [f"close_at={self._wrapped.sampled(members)}", *self._founding.settings()]

    def close(self) -> None:
        """Stop the chain that this strategy started. `start` calls it by itself."""
        self._relay.close()

    def summary(self) -> None:
        """Log the swarm's settings and the wrapped strategy's."""
        leader = "elected" if self._founding.fixed_leader is None else "fixed"
        log.info("\t├──> Swarm: encryption %s, leader %s", self._founding.encryption, leader)
        self._wrapped.strategy.summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Trip 1: the wrapped strategy's messages, with the round and the proof of the model.

        None if no round can begin now; the log says why, and the next one is tried.
        """
        swarm, driver = self._relay.connect(grid)
        number, course = self._results.number(server_round), self._relay.course
        try:
            view = driver.settle()
            if (reason := course.reason(view, swarm.terms)) is not None:
                raise _Enough(reason)
            swarm.roster.refresh()
            sampling = self._wrapped.sampling(grid, swarm, "min_train_nodes", self._clock)
            asked = course.config(config)
            messages = list(self._wrapped.strategy.configure_train(number, arrays, asked, sampling))
        except (RoundVoid, LedgerError) as error:
            log.warning("no round begins: %s", error)
            return []
        if self._wrapped.encrypted:
            check_same(messages)
        training = self._relay.begin(arrays, view)
        marked = self._relay.marked("seal", training.number, training.parent.state)
        member_of = {node: member for member, node in swarm.nodes.items()}
        connected = {member_of[node] for node in grid.get_node_ids() if node in member_of}
        sampled = [member_of[message.metadata.dst_node_id] for message in messages]
        chosen = with_witnesses(sampled, view, connected)
        nodes = [swarm.nodes[member] for member in chosen]
        return [_sent(m, marked, node) for m, node in zip(messages, nodes, strict=True)]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Trips 2 and 3, then the wrapped strategy's step on the opened mean."""
        arrays, metrics = self._relay.finish(replies)
        if arrays is not None:
            self._results.reached(arrays)
        self._results.trained(self._results.number(server_round), metrics)
        return arrays, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """The wrapped strategy's messages, with the proof of the model.

        Under encryption they go to the last round's officers: only these can check the model, and
        no member evaluates one that it cannot check.
        """
        swarm, driver = self._relay.connect(grid)
        sampling = self._wrapped.sampling(grid, swarm, "min_evaluate_nodes", self._clock)
        number = self._results.number(server_round)
        try:
            view = driver.ledger.view()
            self._relay.follow(view)
            asked = self._wrapped.strategy.configure_evaluate(number, arrays, config, sampling)
        except (RoundVoid, LedgerError) as error:
            log.warning("nobody evaluates: %s", error)
            return []
        if self._wrapped.encrypted:
            able = {swarm.nodes[member] for member in witnesses_of(view) if member in swarm.nodes}
            asked = [message for message in asked if message.metadata.dst_node_id in able]
        certified = self._relay.proof.round
        marked = self._relay.marked("evaluate", certified, self._wrapped.state())
        return [_sent(message, marked, message.metadata.dst_node_id) for message in asked]

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """The wrapped strategy's own, on the replies that go together."""
        inner, number = self._wrapped.strategy, self._results.number(server_round)
        metrics = inner.aggregate_evaluate(number, comparable(replies, inner))
        self._results.evaluated(server_round, metrics)
        return metrics


class _Enough(Exception):
    """A stop rule has a reason: the one way out of Flower's loop before its last round."""


def _sent(message: Message, marked: Mapping[str, Any], node: int) -> Message:
    content = RecordDict({**message.content, **marked})
    return Message(content, node, message.metadata.message_type)
