"""What a finished round means to Flower: replies for a strategy, and a line for people."""

from __future__ import annotations

from typing import Any, cast

from flwr.app import Message, MetricRecord, RecordDict

from ..protocol.payload import decode_plain
from . import records
from .compat import detached_message
from .driver import Outcome
from .founding import Swarm


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


def one_line(outcome: Outcome, swarm: Swarm) -> str:
    """A round in one line."""
    current, certificate = outcome.round, outcome.merged.certificate
    parts = [
        f"round {current.number}: leader {swarm.labels.get(current.leader or 0, '?')}",
        f"committee {list(current.committee)}",
        f"included {list(certificate.included)} of {len(outcome.view.members)}",
        f"signed by {[member for member, _ in outcome.merged.signatures]}",
    ]
    return ", ".join(parts)
