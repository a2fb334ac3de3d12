"""From the traffic of a real run to the views of it: each gets what it would have seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, RecordDict

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.encryption.mean import Mean
from flwr_swarm.flower.read import Fields
from flwr_swarm.flower.records import FIELDS, numpy_arrays, only_arrays
from flwr_swarm.protocol.hashing import Arrays
from flwr_swarm.protocol.payload import decode_plain
from flwr_swarm.protocol.update import apply_mean, difference

from .crossing import Crossing
from .opened import model_in, opened_mean, terms_of
from .views import (
    SUM,
    ChainObserver,
    Coalition,
    LeaderEncrypted,
    LeaderPlaintext,
    MaliciousRelay,
    Member,
    Outsider,
    State,
    Step,
)

TRAINING = ("seal", "train")


@dataclass(kw_only=True, eq=False)
class OwnUpdates:
    """What sites that collude tell one another: a mod that keeps their updates before sealing.

    Put `OwnUpdates().mod` behind `swarm_mod`, where the update is still in the clear. Only for
    nodes in this process.
    """

    models: dict[tuple[int, int], Arrays] = field(default_factory=dict, repr=False)
    weights: dict[tuple[int, int], float] = field(default_factory=dict, repr=False)

    def mod(self, message: Message, context: Context, call_next: Callable[..., Message]) -> Message:
        """Keep what this site trained, by (round, site)."""
        asked = message.content if message.metadata.message_type == "train" else None
        reply = call_next(message, context)
        if asked is not None and reply.has_content():
            key = (_turn(asked), int(context.node_config["partition-id"]))
            self.models[key] = numpy_arrays(only_arrays(reply.content, "the reply")[1])
            (metrics,) = reply.content.metric_records.values()
            self.weights[key] = float(metrics["num-examples"])  # type: ignore[arg-type]
        return reply


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """One run's traffic.

    Parameters
    ----------
    crossings : sequence of Crossing
        From a `RecordingGrid`.
    final : ArrayRecord
        The model that the run ended with.
    site_of : callable
        From Flower's node id to the site's number.
    threshold : int
        Openings that open a sum; of an encrypted swarm only.
    """

    crossings: Sequence[Crossing] = field(repr=False)
    final: ArrayRecord = field(repr=False)
    site_of: Callable[[int], int]
    threshold: int = 0

    def outsider(self) -> Outsider:
        """The final model."""
        return Outsider(model=_state(numpy_arrays(self.final)))

    def member(self) -> Member:
        """Every global model, the final one last."""
        models = [_state(model_in(self._asked(turn)[0].sent)) for turn in self._turns]
        return Member(models=(*models, _state(numpy_arrays(self.final))))

    def leader_plaintext(self) -> LeaderPlaintext:
        """Each site's model, from plain FedAvg's replies or an unencrypted swarm's payloads."""
        steps = []
        for turn in self._turns:
            asked = self._asked(turn)
            after = {self.site_of(c.node): _state(_plain(c)) for c in asked if c.answer is not None}
            steps.append(Step(before=_state(model_in(asked[0].sent)), after=after))
        return LeaderPlaintext(steps=tuple(steps))

    def leader_encrypted(self) -> LeaderEncrypted:
        """Ciphertexts, and the mean that the openings open."""
        steps, ciphertexts = [], []
        for turn in self._turns:
            asked = self._asked(turn)
            mean, before = self._opened(turn), model_in(asked[0].sent)
            steps.append(
                Step(before=_state(before), after={SUM: _state(apply_mean(before, mean.update))})
            )
            sealed = {c.node: Fields(c.answer).seal_reply() for c in asked if c.answer is not None}
            ciphertexts.append({self.site_of(n): s.payload for n, s in sealed.items()})
        return LeaderEncrypted(steps=tuple(steps), ciphertexts=tuple(ciphertexts))

    def coalition(self, members: Collection[int], own: OwnUpdates) -> Coalition:
        """The mean over everyone else: the opened sum less the coalition's own updates."""
        steps = []
        for turn in self._turns:
            before, mean = model_in(self._asked(turn)[0].sent), self._opened(turn)
            clip = terms_of(self._asked(turn)[0].sent).clip
            rest, weight = mean.update * mean.weight, mean.weight
            for member in members:
                update = difference(own.models[turn, member], before)
                length = float(np.linalg.norm(update))
                share = own.weights[turn, member] * min(1.0, clip / max(length, 1e-300))
                rest, weight = rest - share * update, weight - own.weights[turn, member]
            after = _state(apply_mean(before, rest / weight))
            steps.append(Step(before=_state(before), after={SUM: after}))
        return Coalition(members=tuple(sorted(members)), steps=tuple(steps))

    def malicious_relay(self, crafted: State) -> MaliciousRelay:
        """Whatever came back from sites that were sent exactly this model."""
        answers, sealed, refusals = {}, {}, {}
        for c in self.crossings:
            if c.phase not in TRAINING or not _same(_state(model_in(c.sent)), crafted):
                continue
            site = self.site_of(c.node)
            if c.answer is None:
                refusals[site] = c.error
            elif _encrypted(c):
                sealed[site] = bytes(Fields(c.answer).seal_reply().payload)
            else:
                answers[site] = _state(_plain(c))
        return MaliciousRelay(crafted=crafted, answers=answers, sealed=sealed, refusals=refusals)

    @property
    def _turns(self) -> list[int]:
        """Rounds in which a site trained."""
        answered = (c for c in self.crossings if c.phase in TRAINING and c.answer is not None)
        return sorted({_turn(c.sent) for c in answered})

    def _asked(self, turn: int) -> list[Crossing]:
        return [c for c in self.crossings if c.phase in TRAINING and _turn(c.sent) == turn]

    def _opened(self, turn: int) -> Mean:
        return opened_mean(self._asked(turn), self.crossings, self.threshold)


def chain_observer(evidence: Path) -> ChainObserver:
    """What the contract's history says; from the folder of a run's evidence."""
    return ChainObserver(ledger=json.loads((evidence / "chain.json").read_text(encoding="utf-8")))


def _turn(asked: RecordDict) -> int:
    """The round, as Flower's strategies tell the client."""
    for record in asked.config_records.values():
        if "server-round" in record:
            return int(record["server-round"])  # type: ignore[arg-type]
    raise ConfigurationError(
        "a train message names no server-round; use one of Flower's strategies"
    )


def _plain(crossing: Crossing) -> Arrays:
    """What a site trained, where it travels in the clear."""
    answer = crossing.answer or RecordDict()
    if FIELDS not in answer.config_records:
        return numpy_arrays(only_arrays(answer, "the reply")[1])
    if _encrypted(crossing):
        raise ConfigurationError(
            "this run was encrypted: no single update is in its traffic; take leader_encrypted()"
        )
    return decode_plain(Fields(answer).seal_reply().payload)[0]


def _encrypted(crossing: Crossing) -> bool:
    ours = crossing.answer is not None and FIELDS in crossing.answer.config_records
    return ours and terms_of(crossing.sent).encryption != "none"


def _state(arrays: Arrays) -> State:
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def _same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)
