"""What anyone computes who has a round's openings: the mean of all updates, and no single one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flwr.app import ArrayRecord, RecordDict

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.encryption import RoundContext
from flwr_swarm.encryption.mean import Mean
from flwr_swarm.flower.read import Fields
from flwr_swarm.flower.records import STATE, numpy_arrays, only_arrays
from flwr_swarm.protocol.hashing import Arrays, model_hash
from flwr_swarm.protocol.messages import MergeReply
from flwr_swarm.protocol.payload import decode_layout
from flwr_swarm.protocol.terms import Terms
from flwr_swarm.protocol.update import layers_of, trained_names

from .crossing import Crossing


def opened_mean(asked: Sequence[Crossing], crossings: Iterable[Crossing], threshold: int) -> Mean:
    """The opened mean of one round.

    Parameters
    ----------
    asked : sequence of Crossing
        The round's messages to train, and their answers.
    crossings : iterable of Crossing
        The run's.
    threshold : int
        Openings that open a sum.
    """
    request = Fields(asked[0].sent).seal_request()
    model = model_in(asked[0].sent)
    state = numpy_arrays(asked[0].sent.array_records.get(STATE, ArrayRecord()))
    seals = [Fields(c.answer).seal_reply() for c in asked if c.answer is not None]
    merged = _merged(request.round, kept := list(crossings))
    included = len(merged.certificate.included)
    terms = terms_of(asked[0].sent)
    lanes = terms.scheme().open(
        merged.merged,
        _openings(request.round, kept),
        context=RoundContext(
            chain_id=request.place.chain_id,
            contract=request.place.contract,
            round=request.round,
            anchor=model_hash(model, state),
        ),
        threshold=threshold,
        included=included,
    )
    return terms.codec().decode(
        lanes,
        included=included,
        size=sum(model[name].size for name in trained_names(model)),
        metrics=sum(max(count, 1) for _, count in decode_layout(seals[0].layout)),
        layers=layers_of(terms, model),
    )


def model_in(content: RecordDict) -> Arrays:
    """The model in a message to train."""
    return numpy_arrays(only_arrays(content, "the message")[1])


def terms_of(content: RecordDict) -> Terms:
    """The terms that a swarm message names."""
    return Terms.from_json(Fields(content).place().terms)


def _openings(number: int, crossings: Iterable[Crossing]) -> dict[int, bytes]:
    found = {}
    for c in crossings:
        if c.phase == "open" and c.answer is not None:
            reply = Fields(c.answer).open_reply()
            if reply.opening and Fields(c.sent).open_request().certificate.round == number:
                found[reply.member] = reply.opening
    return found


def _merged(number: int, crossings: Iterable[Crossing]) -> MergeReply:
    for c in crossings:
        if c.phase == "merge" and c.answer is not None:
            reply = Fields(c.answer).merge_reply()
            if reply.merged and reply.certificate.round == number:
                return reply
    raise ConfigurationError(
        f"round {number} has no merged sum in this recording; record a run in which it ended"
    )
