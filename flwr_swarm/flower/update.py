"""From the user's training reply to what is sealed, and what the relay may know if it fails."""

from __future__ import annotations

import logging
import os
from typing import Any, cast

from flwr.app import Context, Message

from .. import privacy
from .._exceptions import CapacityExceeded, NotPrivate, TrainingFailed, UpdateMismatch
from ..protocol.payload import Layout, encode_plain
from ..protocol.seal import Task
from ..protocol.types import EPSILON_UNIT, NO_CAP, LedgerView
from ..protocol.update import difference, layers_of
from . import records
from .sharing import check_taken

log = logging.getLogger("flwr.swarm")


def offered(message: Message) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model and the strategy's server state in a message."""
    _, arrays = records.only_arrays(message.content, "the message")
    state = message.content.array_records.get(records.STATE)
    return records.numpy_arrays(arrays), records.numpy_arrays(state) if state else {}


def failed(what: str, error: Exception) -> TrainingFailed:
    """What the relay may know of an error in the user's code: Flower sends exceptions to it."""
    return TrainingFailed(
        f"the {what} function raised {type(error).__name__}; its text may hold data and stays in "
        "this site's log"
    )


def check_private(context: Context, view: LedgerView, charged: int) -> None:
    """Under a budget, an update that was charged to no accountant is not sealed."""
    if view.policy.epsilon_cap == NO_CAP:
        return
    if privacy.load_history(context.state).rounds <= charged:
        raise NotPrivate(
            f"the contract caps epsilon at {view.policy.epsilon_cap / EPSILON_UNIT:g}, but this "
            "site trained without differential privacy; call make_private(...) in the train "
            "function, with a noise_multiplier above 0"
        )


def encoded(reply: Message, task: Task, context: Context) -> tuple[Layout, Any]:
    """The user's reply as lanes to encrypt, or as the baseline's plaintext payload."""
    terms = task.terms
    if reply.has_error() or not reply.has_content():
        raise UpdateMismatch("the train function returned no content; nothing was sealed")
    arrays_name, arrays = records.only_arrays(reply.content, "the training reply")
    metrics_name, metrics = records.only_metrics(reply.content, terms.weight_key)
    check_taken(context, terms, metrics)
    trained = records.numpy_arrays(arrays)
    vector = difference(trained, task.parent.model)
    values = {name: value for name, value in metrics.items() if name != terms.weight_key}
    layout = tuple((n, len(v) if isinstance(v, list) else 0) for n, v in sorted(values.items()))
    if terms.encryption == "none":
        content = encode_plain(trained, dict(metrics), (arrays_name, metrics_name))
        return layout, content
    flat: list[float] = []
    for name, _ in layout:
        value = values[name]
        if isinstance(value, list) and not value:
            raise UpdateMismatch(f"metric {name!r} is an empty list; leave it out")
        flat += [float(v) for v in value] if isinstance(value, list) else [float(value)]
    weight = float(cast(float, metrics[terms.weight_key]))
    try:
        lanes = terms.codec().encode(
            vector,
            weight=weight,
            metrics=flat,
            layers=layers_of(terms, task.parent.model),
            random=os.urandom,
        )
    except CapacityExceeded as error:
        log.warning("%s", error)
        raise CapacityExceeded(
            f"the weight or a metric is outside its public bound (weights: above 0, at most "
            f"{terms.max_weight:g}); its value stays in this site's log. Raise "
            "SwarmStrategy(max_weight=...), or do not report the metric"
        ) from None
    return layout, lanes
