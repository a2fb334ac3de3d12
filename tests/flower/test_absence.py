"""Absence: members that are silent, sites that are missing, a chain that is gone. No hang."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apps
import pytest
from flwr.app import Message
from flwr.serverapp.strategy import strategy_utils
from swarm_bench import FIRST_NODE, Bench, inner, same

from flwr_swarm import swarm_mod
from flwr_swarm._exceptions import ConfigurationError, NotAMember
from flwr_swarm.chain.client import ReadOnlyLedger
from flwr_swarm.protocol.types import Phase


def silent(*members: int) -> Callable[[int, Message], Message | None]:
    return lambda member, message: None if member in members else message


def test_a_member_that_is_silent_at_sealing_costs_its_deadline_and_no_more(
    bench: Callable[..., Bench],
) -> None:
    swarm = bench()
    swarm.to_member["seal"] = silent(1)
    assert swarm.round() is not None
    assert swarm.view().current.certificate.included == (0, 2, 3)
    swarm.to_member.clear()
    assert swarm.round() is not None
    assert swarm.view().current.certificate.included == (0, 1, 2, 3)


def test_a_member_that_left_does_not_stop_the_swarm(bench: Callable[..., Bench]) -> None:
    swarm = bench(strategy=inner(4, min_available_nodes=3, min_train_nodes=3), members=4)
    assert swarm.round() is not None
    swarm.grid.offline = {FIRST_NODE + 2}
    for _ in range(2):
        assert swarm.round() is not None
        assert swarm.view().current.certificate.included == (0, 1, 3)
    swarm.grid.offline = set()
    assert swarm.round() is not None
    assert swarm.view().current.certificate.included == (0, 1, 2, 3)


def test_a_silent_leader_is_replaced_by_the_next_in_succession(bench: Callable[..., Bench]) -> None:
    swarm = bench(merge_seconds=2)
    gone: list[int] = []

    def leaderless(member: int, message: Message) -> Message | None:
        current = swarm.view().current
        if not gone:
            gone.append(current.leader)
        return None if member in gone else message

    swarm.to_member["merge"] = leaderless
    assert swarm.round() is not None
    current = swarm.view().current
    assert current.view == current.certificate.view == 1
    assert current.leader == current.succession[1] != gone[0]
    assert current.succession[0] == gone[0]
    assert current.certificate.included == (0, 1, 2, 3)  # it was sealed, so it is in the sum


def test_holders_may_be_missing_up_to_the_surplus_over_the_threshold(
    bench: Callable[..., Bench],
) -> None:
    swarm = bench()
    first = swarm.model
    swarm.to_member["open"] = silent(3)
    assert swarm.round() is not None
    assert swarm.view().policy.threshold == 3
    opened = swarm.model
    assert not same(opened, first)
    swarm.to_member["open"] = silent(0, 3)
    assert swarm.round() is None  # certified, never opened
    assert swarm.view().current.phase is Phase.CERTIFIED
    assert same(swarm.model, opened)
    swarm.to_member.clear()
    assert swarm.round() is not None
    assert all(seal.verified for seal in swarm.view().current.seals)


def test_a_round_without_enough_seals_is_void_and_training_goes_on(
    bench: Callable[..., Bench],
) -> None:
    swarm = bench()
    first = swarm.model
    swarm.to_member["seal"] = silent(0, 2)
    assert swarm.round() is None
    assert swarm.view().current.phase is Phase.VOID
    swarm.to_member["seal"] = silent(0, 1, 2, 3)
    assert swarm.round() is None
    swarm.to_member.clear()
    assert swarm.round() is not None
    assert not same(swarm.model, first)


@pytest.mark.parametrize(("nodes", "available"), [(3, 4), (2, 2), (1, 1)])
def test_one_member_too_few_is_an_error_with_a_remedy(
    bench: Callable[..., Bench], nodes: int, available: int
) -> None:
    swarm = bench(nodes=nodes, strategy=inner(available), enrol_seconds=5)
    with pytest.raises(ConfigurationError) as caught:
        swarm.round()
    assert f"{nodes} nodes connected within 5 s" in str(caught.value)
    assert f"needs {max(available, 3)}" in str(caught.value)
    assert "start the missing sites" in str(caught.value)
    assert swarm.sent == []


def test_a_member_that_left_does_not_stop_the_others_and_too_few_are_a_void_round(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Although the wrapped strategy asks for all four, as most projects do."""
    caplog.set_level("INFO", "flwr.swarm")
    swarm = bench(enrol_seconds=5)
    assert swarm.round() is not None
    monkeypatch.setattr(strategy_utils, "sleep", swarm.time.clock().sleep)
    swarm.grid.offline = {FIRST_NODE}
    assert swarm.round() is not None
    assert swarm.view().current.certificate.included == (1, 2, 3)
    assert "going on with 3 of 4 members" in caplog.text
    swarm.grid.offline = {FIRST_NODE, FIRST_NODE + 1}
    assert swarm.round() is None
    assert "2 of 4 members are connected and a round needs 3" in caplog.text
    swarm.grid.offline = set()
    assert swarm.round() is not None
    assert swarm.view().current.certificate.included == (0, 1, 2, 3)


def test_a_node_without_the_mod_is_named(bench: Callable[..., Bench]) -> None:
    good, bad = apps.make_app(swarm_mod), apps.make_app()
    swarm = bench(app={0: good, 1: bad, 2: good}, strategy=inner(3))
    with pytest.raises(NotAMember, match=r"node 1001 did not enrol.*mods=\[swarm_mod\]"):
        swarm.round()


@pytest.mark.parametrize("phase", ["seal", "merge", "open"])
def test_a_chain_that_stops_is_a_named_error_not_a_hang(
    bench: Callable[..., Bench],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    phase: str,
) -> None:
    swarm = bench(nodes=3, grid={"node_config": {"swarm-chain-seconds": 0.2}})
    swarm.round()
    model = swarm.model
    caplog.set_level("WARNING", "flwr.swarm")

    patient = ReadOnlyLedger.__init__

    def impatient(self: ReadOnlyLedger, **options: Any) -> None:
        patient(self, **(options | {"timeout": 0.1}))

    def stop(member: int, message: Message) -> Message:
        if member == 1:
            monkeypatch.setattr(ReadOnlyLedger, "__init__", impatient)
            monkeypatch.setattr(swarm.swarm._relay.swarm.ledger.ledger, "_timeout", 0.1)
            swarm.swarm._relay.swarm.close()
        return message

    swarm.to_member[phase] = stop
    assert swarm.round() is None
    assert "check that the node runs" in caplog.text
    assert {who: e.split(":")[0] for who, e in swarm.errors.items()} == {
        (phase, 1): "ChainUnreachable",
        (phase, 2): "ChainUnreachable",
    }
    assert same(swarm.model, model)
