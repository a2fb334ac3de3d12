"""A relay that is killed anywhere, and another that goes on: no final round is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import apps
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, Result
from founded_support import Founded, forget, terms, with_keystore
from held_port import held_port
from swarm_bench import FIRST_NODE, blob_of, inner, same, set_blob, set_field, shifted, values

from flwr_swarm import SwarmStrategy
from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.chain.server import ChainServer
from flwr_swarm.flower import recalling
from flwr_swarm.flower.records import BLOBS, MODEL
from flwr_swarm.flower.state import load_memory
from flwr_swarm.protocol.hashing import canonical_json
from flwr_swarm.protocol.payload import encode_layout
from flwr_swarm.protocol.types import Phase
from flwr_swarm.report.verify import verify

ROUNDS = 3


class Killed(BaseException):
    """What kill -9 leaves: nothing after it runs."""


def relay(swarm: Founded, kind: type[FedAvg] = FedAvg, **options: Any) -> SwarmStrategy:
    """A relay process that knows the contract and nothing else."""
    return SwarmStrategy(
        inner(3, kind, **options),
        max_weight=100.0,
        consortium=replace(swarm.consortium),
        members=3,
        clock=swarm.time.clock(),
        evidence=swarm.bench.directory / "again",
    )


def run(swarm: Founded, strategy: SwarmStrategy, rounds: int = ROUNDS, **options: Any) -> Result:
    swarm.time.reach(swarm.ledger(0).view().now)
    return strategy.start(
        swarm.bench.grid, apps.initial_model(), rounds, train_config=ConfigRecord(), **options
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> ArrayRecord:
    """The model of a run that nothing interrupts."""
    swarm = Founded(tmp_path_factory.mktemp("undisturbed"), 4)
    try:
        return run(swarm, swarm.bench.swarm).arrays
    finally:
        swarm.close()


def close_to(left: ArrayRecord, right: ArrayRecord) -> bool:
    """Equal but for the stochastic rounding of the updates."""
    a, b = values(left), values(right)
    return all(abs(a[name] - b[name]).max() < 1e-3 for name in a)


def kill_at(swarm: Founded, phase: str, number: int, *, after: int) -> None:
    """The relay dies when `after` members answered in round `number`'s trip."""
    answered: list[int] = []

    def dies(member: int, message: Message) -> Message | None:
        if swarm.ledger(0).view().current.number == number:
            answered.append(member)
            if len(answered) > after:
                raise Killed
        return message

    swarm.bench.to_relay[phase] = dies


@pytest.mark.parametrize("number", [1, ROUNDS])
@pytest.mark.parametrize(("phase", "after"), [("seal", 0), ("seal", 2), ("merge", 0), ("merge", 2),
                                              ("open", 0), ("open", 2)])  # fmt: skip
def test_another_relay_goes_on_where_one_was_killed(
    founded: Callable[..., Founded],
    undisturbed: ArrayRecord,
    phase: str,
    after: int,
    number: int,
) -> None:
    swarm = founded(4)
    kill_at(swarm, phase, number, after=after)
    with pytest.raises(Killed):
        run(swarm, swarm.bench.swarm)
    swarm.bench.to_relay.clear()
    result = run(swarm, relay(swarm))
    view = swarm.ledger(0).view()
    assert view.current.number == ROUNDS
    assert view.current.phase is Phase.CERTIFIED
    assert close_to(result.arrays, undisturbed)
    assert set(result.train_metrics_clientapp) <= set(range(1, ROUNDS + 1))
    found = verify(swarm.bench.directory / "again")
    assert found.certified >= ROUNDS - number + (phase != "open")


@pytest.mark.parametrize("kind", [FedAvgM, FedAdam])
def test_the_strategys_own_state_survives_the_relay(
    founded: Callable[..., Founded], tmp_path: Path, kind: type[FedAvg]
) -> None:
    options = {"server_momentum": 0.9} if kind is FedAvgM else {"eta": 0.1}
    swarm = founded(4, strategy=inner(3, kind, **options))
    kill_at(swarm, "merge", 3, after=1)
    with pytest.raises(Killed):
        run(swarm, swarm.bench.swarm)
    swarm.bench.to_relay.clear()
    result = run(swarm, relay(swarm, kind, **options))
    calm = Founded(tmp_path / "calm", 4, strategy=inner(3, kind, **options))
    try:
        undisturbed = run(calm, calm.bench.swarm).arrays
    finally:
        calm.close()
    assert close_to(result.arrays, undisturbed)
    assert swarm.bench.errors == {}


def test_the_last_rounds_sum_is_opened_by_whoever_comes_later(
    founded: Callable[..., Founded], undisturbed: ArrayRecord
) -> None:
    """All rounds are certified; only the model of the last one was never computed."""
    swarm = founded(4)
    kill_at(swarm, "open", ROUNDS, after=3)
    with pytest.raises(Killed):
        run(swarm, swarm.bench.swarm)
    swarm.bench.to_relay.clear()
    before = len(swarm.bench.messages("seal"))
    seen: list[int] = []

    def evaluate(number: int, _: ArrayRecord) -> MetricRecord:
        seen.append(number)
        return MetricRecord({"x": 1.0})

    result = run(swarm, relay(swarm), evaluate_fn=evaluate)
    assert len(swarm.bench.messages("seal")) == before, "nobody trained again"
    assert close_to(result.arrays, undisturbed)
    assert seen == [ROUNDS]
    again = run(swarm, relay(swarm))
    assert same(again.arrays, result.arrays), "the same sum opens to the same bits"


def test_members_that_restart_with_the_relay_remember_on_their_disks(
    founded: Callable[..., Founded], tmp_path: Path, undisturbed: ArrayRecord
) -> None:
    swarm = founded(4)
    for i in range(4):
        with_keystore(swarm, i, tmp_path / str(i))
    kill_at(swarm, "merge", 2, after=1)
    with pytest.raises(Killed):
        run(swarm, swarm.bench.swarm)
    swarm.bench.to_relay.clear()
    for i in range(4):
        swarm.bench.context(i).state.clear()
    result = run(swarm, relay(swarm))
    assert close_to(result.arrays, undisturbed)
    # The round that was interrupted is the one that was certified: nobody sealed twice in it.
    assert swarm.ledger(0).view().members[0].reveals == ROUNDS


def test_a_member_that_lost_its_memory_takes_part_again_from_the_next_round(
    founded: Callable[..., Founded], tmp_path: Path
) -> None:
    """It rejoins with the model of the train message, whose hash the chain holds."""
    swarm = founded(4)
    with_keystore(swarm, 1, tmp_path)
    assert swarm.bench.round() is not None
    forget(swarm, 1)
    assert swarm.bench.round() is not None
    assert swarm.bench.errors == {}
    assert swarm.bench.view().current.certificate.included == (0, 1, 2, 3)


def test_a_certified_sum_that_nobody_can_open_is_given_up_by_name(
    founded: Callable[..., Founded], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "flwr.swarm")
    swarm = founded(4)
    kill_at(swarm, "open", 2, after=0)
    with pytest.raises(Killed):
        run(swarm, swarm.bench.swarm)
    swarm.bench.to_relay.clear()
    for i in (0, 1):
        del swarm.bench.context(i).state["flwr_swarm.memory"]
    result = run(swarm, relay(swarm))
    assert "round 2 is certified, but its sum cannot be opened any more" in caplog.text
    assert result.arrays
    assert swarm.ledger(0).view().current.number == ROUNDS
    assert swarm.ledger(0).view().current.phase is Phase.CERTIFIED


def test_a_model_that_no_member_has_is_not_made_up(founded: Callable[..., Founded]) -> None:
    swarm = founded(4)
    kill_at(swarm, "seal", 3, after=2)
    with pytest.raises(Killed):
        run(swarm, swarm.bench.swarm)
    swarm.bench.to_relay.clear()
    for i in range(4):
        del swarm.bench.context(i).state["flwr_swarm.memory"]
    with pytest.raises(ConfigurationError, match="none of the connected members has it"):
        run(swarm, relay(swarm))


def test_a_round_opened_on_a_model_that_nobody_has_does_not_stop_the_study(
    founded: Callable[..., Founded], caplog: pytest.LogCaptureFixture
) -> None:
    """A faulty member seals on a model of its own making, and the relay dies."""
    swarm = founded(4)
    first = run(swarm, swarm.bench.swarm, rounds=1)
    swarm.seal_on_a_made_up_model(3, number=2)
    result = run(swarm, relay(swarm), rounds=3)
    view = swarm.ledger(0).view()
    assert view.final is not None
    assert (view.final.number, view.current.number) == (1, 3)
    assert view.current.phase is Phase.CERTIFIED
    assert not same(result.arrays, first.arrays)


LIES: dict[str, Callable[[RecordDict], None]] = {
    "sum": lambda content: set_blob(content, "held", b"another sum"),
    "layout": lambda content: set_field(content, "held_layout", encode_layout((("odd", 2),))),
    "threshold": lambda content: set_field(content, "threshold", 2),
    "terms": lambda content: set_field(
        content, "held_terms", canonical_json(terms(clip=3.0).to_json())
    ),
    "body": lambda content: set_field(content, "held_body", b"b" * 32),
}


def lying(swarm: Founded, about: str = "sum") -> None:
    """The member that is asked first tells another relay another sum, and another model."""

    def lie(member: int, message: Message) -> Message:
        blobs = message.content.array_records.get(BLOBS, {})
        if member == 0 and "held" in blobs:
            LIES[about](message.content)
        if member == 0 and MODEL in message.content:
            message.content[MODEL] = shifted(message.content.array_records[MODEL])
        return message

    swarm.bench.to_relay["recall"] = lie


@pytest.mark.parametrize(
    ("about", "fault"),
    [
        *((about, "") for about in LIES),
        *((about, "found_sum") for about in ("sum", "layout", "terms")),
        ("sum", "found_model"),
    ],
)
def test_a_member_that_lies_to_another_relay_is_not_believed(
    founded: Callable[..., Founded],
    undisturbed: ArrayRecord,
    monkeypatch: pytest.MonkeyPatch,
    about: str,
    fault: str,
) -> None:
    """With a check planted away it is believed: then the round is lost, or its model wrong."""
    swarm = founded(4)
    kill_at(swarm, "open", ROUNDS, after=3)
    with pytest.raises(Killed):
        run(swarm, swarm.bench.swarm)
    swarm.bench.to_relay.clear()
    lying(swarm, about)
    if fault == "found_sum":
        first = lambda _, replies, __: next((r.held for r in replies if r.held), None)  # noqa: E731
        monkeypatch.setattr(recalling, fault, first)
    elif fault:
        monkeypatch.setattr(recalling, fault, lambda _, offered: next(iter(offered), None))
    result = run(swarm, relay(swarm))
    assert close_to(result.arrays, undisturbed) == (not fault)


def test_openers_that_were_away_are_asked_again(founded: Callable[..., Founded]) -> None:
    """A relay that took over without them could prove its model to nobody."""
    swarm = founded(4)
    run(swarm, swarm.bench.swarm, rounds=2)
    held = {i: swarm.bench.context(i).state["flwr_swarm.memory"] for i in (0, 1)}
    kill_at(swarm, "seal", 3, after=0)
    with pytest.raises(Killed):
        run(swarm, relay(swarm), rounds=3)
    swarm.bench.to_relay.clear()
    kept = {i: swarm.bench.context(i).state["flwr_swarm.memory"] for i in (0, 1)}
    for i in held:
        del swarm.bench.context(i).state["flwr_swarm.memory"]
    again: list[int] = []

    def back(member: int, message: Message) -> Message:
        if not again:
            again.append(member)
            for i, memory in kept.items():
                swarm.bench.context(i).state["flwr_swarm.memory"] = memory
        return message

    swarm.bench.to_member["seal"] = back
    run(swarm, relay(swarm), rounds=5)
    view = swarm.ledger(0).view()
    assert view.current.phase is Phase.CERTIFIED
    assert swarm.bench.errors == {} or view.current.number == 5


def test_a_member_repeats_its_seal_to_another_relay_and_makes_no_second(
    founded: Callable[..., Founded],
) -> None:
    swarm = founded(4)
    kill_at(swarm, "seal", 1, after=2)
    with pytest.raises(Killed):
        run(swarm, swarm.bench.swarm)
    sealed = swarm.ledger(0).view().current.seals[0].member
    given = load_memory(swarm.bench.context(sealed)).given
    assert given is not None
    swarm.bench.to_relay.clear()
    before = len(swarm.bench.answered)
    run(swarm, relay(swarm), rounds=1)
    again = [m for p, who, m in swarm.bench.answered[before:] if (p, who) == ("seal", sealed)]
    assert blob_of(again[0].content, "payload") == given.reply.payload
    assert swarm.ledger(0).view().members[sealed].reveals == 1


def test_a_site_that_comes_back_under_another_node_is_the_same_member(
    founded: Callable[..., Founded],
) -> None:
    """A SuperNode that restarts gets a new number; its member's signature binds it again."""
    swarm = founded(4)
    assert swarm.bench.round() is not None
    grid, old, new = swarm.bench.grid, FIRST_NODE + 3, FIRST_NODE + 77
    grid._apps[new] = grid._apps.pop(old)
    grid.contexts[new] = grid.contexts.pop(old)
    grid.contexts[new].node_id = new
    assert swarm.bench.round() is not None
    assert swarm.bench.view().current.certificate.included == (0, 1, 2, 3)
    assert swarm.bench.swarm._relay.swarm.nodes[3] == new


def test_a_member_that_joins_late_trains_from_its_first_message(
    founded: Callable[..., Founded],
) -> None:
    swarm = founded(4)
    swarm.bench.grid.offline = {FIRST_NODE + 3}
    swarm.bench.swarm._relay.needed = 3
    assert swarm.bench.round() is not None
    assert 3 not in swarm.bench.swarm._relay.swarm.nodes
    swarm.bench.grid.offline = set()
    assert swarm.bench.round() is not None
    assert swarm.bench.view().current.seal_of(3) is not None


@pytest.fixture
def held() -> Iterator[int]:
    """The port of a chain that restarts: nobody else can have it in between."""
    with held_port() as port:
        yield port


@pytest.mark.parametrize("phase", ["seal", "merge", "open"])
def test_a_chain_that_restarts_costs_no_round(
    founded: Callable[..., Founded], held: int, phase: str
) -> None:
    swarm = founded(4, port=held)
    assert swarm.bench.round() is not None
    timers: list[threading.Timer] = []

    def back() -> None:
        swarm.server = ChainServer(swarm.chain, port=held).start()

    def restart(member: int, message: Message) -> Message:
        if member == 1 and not timers:
            swarm.server.stop()
            timers.append(threading.Timer(1.0, back))
            timers[0].start()
        return message

    swarm.bench.to_member[phase] = restart
    assert swarm.bench.round() is not None
    timers[0].join()
    assert swarm.bench.errors == {}
    assert swarm.bench.view().current.certificate.included == (0, 1, 2, 3)


def test_numbers_of_rounds_are_the_studys_not_the_runs(founded: Callable[..., Founded]) -> None:
    swarm = founded(4)
    first = run(swarm, swarm.bench.swarm, rounds=2)
    asked: list[Mapping[str, Any]] = []

    def look(_: int, message: Message) -> Message:
        asked.append(dict(message.content.config_records["config"]))
        return message

    swarm.bench.to_member["seal"] = look
    second = run(swarm, relay(swarm), rounds=3)
    assert {config["server-round"] for config in asked} == {3}
    assert set(first.train_metrics_clientapp) == {1, 2}
    assert set(second.train_metrics_clientapp) == {2, 3}, "round 2 was opened again"
