"""Ways to bend messages: what a hostile relay or network would do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apps
from flwr.app import Message
from swarm_bench import (
    shifted,
)

from flwr_swarm import swarm_mod

EVERYONE = {0, 1, 2, 3}


def crafted(_: int, message: Message) -> Message:
    message.content["arrays"] = shifted(message.content.array_records["arrays"])
    return message


def only(victim: int, bend: Callable[[int, Message], Message]) -> Callable[[int, Message], Message]:
    return lambda member, message: bend(member, message) if member == victim else message


def counting_app(trained: list[int]) -> Any:
    def spy(message: Message, context: Any, call_next: Any) -> Message:
        trained.append(int(context.node_config["partition-id"]))
        return call_next(message, context)

    return apps.make_app(swarm_mod, spy)
