"""One site's odd evaluation metrics cost its reply, not the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flwr.app import ConfigRecord, Message, MetricRecord
from swarm_bench import Bench, inner

ODD = [
    {"loss": 1.0, "num-examples": 5, "extra": 1.0},
    {"num-examples": 5},
    {"loss": 1.0},
    {"loss": [1.0, 2.0], "num-examples": 5},
    {"loss": 1.0, "num-examples": [5]},
    {"loss": 1.0, "num-examples": -1000},
    {"loss": 1.0, "num-examples": float("nan")},
]


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_reply_is_left_out(
    bench: Callable[..., Bench], odd: dict[str, float | list[float]]
) -> None:
    swarm = bench(nodes=3, strategy=inner(3, fraction_evaluate=1.0, min_evaluate_nodes=3))
    swarm.round()

    def bend(member: int, message: Message) -> Message:
        if member == 0:
            message.content["metrics"] = MetricRecord(odd)
        return message

    messages = list(swarm.swarm.configure_evaluate(1, swarm.model, ConfigRecord(), swarm.grid))
    replies = list(swarm.grid.send_and_receive(messages))
    honest = swarm.swarm.aggregate_evaluate(
        1, [r for r in replies if r.metadata.src_node_id != 1000]
    )
    bent = [bend(r.metadata.src_node_id - 1000, r) for r in replies]
    assert swarm.swarm.aggregate_evaluate(1, bent) == honest
    assert honest is not None


def test_replies_without_any_weight_are_no_evaluation(bench: Callable[..., Bench]) -> None:
    swarm = bench(nodes=3, strategy=inner(3, fraction_evaluate=1.0, min_evaluate_nodes=3))
    swarm.round()
    messages = list(swarm.swarm.configure_evaluate(1, swarm.model, ConfigRecord(), swarm.grid))
    replies = list(swarm.grid.send_and_receive(messages))
    for reply in replies:
        reply.content["metrics"] = MetricRecord({"loss": 1.0, "num-examples": 0})
    assert swarm.swarm.aggregate_evaluate(1, replies) is None
