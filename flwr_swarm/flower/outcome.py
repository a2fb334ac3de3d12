"""Between Flower's strategies and a swarm's round: replies in, a step or a line for people out."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from typing import Any, cast

from flwr.app import Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg, Strategy

from .._exceptions import ConfigurationError, SwarmError
from ..protocol.memory import Parent
from ..protocol.messages import SealReply
from ..protocol.payload import decode_layout, decode_plain
from . import records
from .compat import detached_message
from .ended import Outcome
from .founding import Swarm
from .read import Fields
from .replay import Stepped, restore, step
from .rounding import log_round
from .trips import reason

log = logging.getLogger("flwr.swarm")


def plain_replies(outcome: Outcome) -> list[Message]:
    """The members' replies as they gave them, by ascending member."""
    replies = []
    for member in outcome.merged.certificate.included:
        arrays, metrics, (arrays_name, metrics_name) = decode_plain(outcome.seals[member].payload)
        content = {
            arrays_name: records.array_record(arrays),
            metrics_name: MetricRecord(metrics),
        }
        replies.append(detached_message(RecordDict(cast(dict[str, Any], content))))
    return replies


def comparable(replies: Iterable[Message], strategy: Strategy) -> list[Message]:
    """The evaluation replies that Flower can average, and all errors.

    FedAvg ends the run if one site's metrics have other names than the first one's, or if weights
    add up to zero. Here the largest group of equal names goes on; ties go to the first.
    """
    all_replies = list(replies)
    if getattr(type(strategy), "aggregate_evaluate", None) is not FedAvg.aggregate_evaluate:
        return all_replies
    key = cast(FedAvg, strategy).weighted_by_key
    groups: dict[Any, list[Message]] = {}
    for reply in all_replies:
        if reply.has_content():
            groups.setdefault(_metrics_form(reply.content, key), []).append(reply)
    groups.pop(None, None)
    largest = max(groups.values(), key=len, default=[])
    if not sum(_weight(reply.content, key) or 0.0 for reply in largest) > 0:
        largest = []
    dropped = sum(reply.has_content() for reply in all_replies) - len(largest)
    if dropped:
        log.warning(
            "%d evaluation replies were left out: they must hold one MetricRecord with the names "
            "of the others' metrics, and %r as a number above 0",
            dropped,
            key,
        )
    chosen = {id(reply) for reply in largest}
    return [reply for reply in all_replies if not reply.has_content() or id(reply) in chosen]


def _metrics_form(content: RecordDict, key: str) -> object | None:
    """What metrics must share to be averaged; None if they never can be."""
    if _weight(content, key) is None:
        return None
    ((name, metrics),) = content.metric_records.items()
    sizes = {n: len(v) if isinstance(v, list) else None for n, v in metrics.items()}
    return name, frozenset(sizes.items())


def _weight(content: RecordDict, key: str) -> float | None:
    if len(content.metric_records) != 1:
        return None
    weight = next(iter(content.metric_records.values())).get(key)
    if isinstance(weight, list) or weight is None or not math.isfinite(weight) or weight < 0:
        return None
    return float(weight)


def one_line(outcome: Outcome, swarm: Swarm) -> str:
    """A round in one line."""
    current, certificate = outcome.round, outcome.merged.certificate
    parts = [
        f"round {current.number}: leader {swarm.labels.get(current.leader or 0, '?')}",
        f"committee {list(current.committee)}",
        f"included {list(certificate.included)} of {len(outcome.view.seated)}",
        f"signed by {[member for member, _ in outcome.merged.signatures]}",
    ]
    return ", ".join(parts)


def stepped(strategy: Strategy, parent: Parent, outcome: Outcome, swarm: Swarm) -> Stepped | None:
    """The wrapped strategy's step on the opened sum, or None if there is none to take."""
    if outcome.opened is None:
        return None
    included = outcome.merged.certificate.included
    try:
        taken = step(
            cast(Any, strategy),
            swarm.terms,
            parent.round,
            parent,
            decode_layout(outcome.seals[included[0]].layout),
            outcome.opened.lanes,
            len(included),
        )
    except SwarmError as error:
        log.warning("round %d leaves the model as it was: %s", parent.round, error)
        restore(strategy, parent.model, parent.state)
        return None
    if taken.clipped:
        log.warning(
            "round %d: %d of %d updates were longer than clip=%g and were scaled down to it",
            parent.round,
            taken.clipped,
            len(included),
            swarm.terms.clip,
        )
    log_round(swarm.terms, parent.round, taken)
    return taken


def seal_replies(replies: Iterable[Message], swarm: Swarm) -> list[SealReply]:
    """The well-formed answers of trip 1; errors and malformed ones are logged by site."""
    member_of = {node: member for member, node in swarm.nodes.items()}
    parsed: list[SealReply] = []
    for message in replies:
        member = member_of.get(message.metadata.src_node_id, -1)
        name = swarm.labels.get(member, "a node")
        if message.has_error():
            log.warning("%s sealed nothing: %s", name, reason(message))
            continue
        try:
            parsed.append(Fields(message.content).seal_reply())
        except SwarmError as error:
            log.warning("the reply of %s was dropped: %s", name, error)
    return parsed


def check_same(messages: Iterable[Message]) -> None:
    """Members train alike, or their updates would not be added up."""
    asked = {records.asked_hash(m.content, m.metadata.message_type, {}) for m in messages}
    if len(asked) > 1:
        raise ConfigurationError(
            f"the wrapped strategy gives its clients {len(asked)} different configs, but updates "
            "that were not trained alike are not added up; put what differs by site into the "
            "sites' node configs"
        )
