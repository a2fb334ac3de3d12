"""Updates are added up only if their members were asked to train alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message
from flwr.serverapp.strategy import FedAvg
from hostile import only
from swarm_bench import Bench

from flwr_swarm import SwarmStrategy
from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.protocol.types import Phase


def slow(_: int, message: Message) -> Message:
    message.content["config"] = ConfigRecord({"learning-rate": 0.0})
    return message


def test_a_member_that_was_asked_otherwise_is_not_in_the_sum(bench: Callable[..., Bench]) -> None:
    swarm = bench(nodes=4)
    swarm.to_member["seal"] = only(2, slow)
    assert swarm.round() is not None
    assert set(swarm.view().current.certificate.included) == {0, 1, 3}


def test_no_sum_shows_one_member_whose_peers_were_told_to_stand_still(
    bench: Callable[..., Bench],
) -> None:
    """The sum over all would be the victim's update alone; here it is without the victim."""
    swarm = bench(nodes=4)
    swarm.to_member["seal"] = lambda member, message: (
        message if member == 0 else slow(member, message)
    )
    swarm.round()
    assert set(swarm.view().current.certificate.included) == {1, 2, 3}
    swarm.to_member["seal"] = lambda member, message: (
        message if member < 2 else slow(member, message)
    )
    assert swarm.round() is None  # two and two: neither is a sum that hides anyone
    assert swarm.view().current.phase is Phase.VOID


def test_another_run_config_counts_as_well(bench: Callable[..., Bench]) -> None:
    swarm = bench(nodes=4)
    assert swarm.round() is not None
    swarm.context(1).run_config["learning-rate"] = 0.0
    assert swarm.round() is not None
    assert set(swarm.view().current.certificate.included) == {0, 2, 3}


class Personal(FedAvg):
    """Gives each client its own number."""

    def configure_train(self, *args: Any) -> list[Message]:
        messages = list(super().configure_train(*args))
        for number, message in enumerate(messages):
            message.content = message.content.copy()
            message.content["config"] = ConfigRecord({"number": number})
        return messages


def test_a_strategy_with_a_config_for_each_client_is_refused_with_the_remedy(
    bench: Callable[..., Bench],
) -> None:
    swarm = bench(nodes=3, strategy=Personal(min_available_nodes=3, fraction_evaluate=0.0))
    assert isinstance(swarm.swarm, SwarmStrategy)
    with pytest.raises(ConfigurationError, match="node configs"):
        swarm.round()
