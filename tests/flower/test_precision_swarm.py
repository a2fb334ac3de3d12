"""Swarms at each precision, end to end: bytes, accuracy, evidence, another relay, and the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import apps
import numpy as np
import pytest
from encryption_support import deterministic
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from founded_support import Founded
from swarm_bench import Bench, blob_of, inner, values

from flwr_swarm import SharedNoise, SwarmStrategy, swarm_mod
from flwr_swarm._exceptions import ConfigurationError, UpdateMismatch, WrongChain
from flwr_swarm.encryption import PRECISIONS
from flwr_swarm.flower import write
from flwr_swarm.flower.compat import with_content
from flwr_swarm.flower.read import Fields
from flwr_swarm.report.verify import verify

ROUNDS = 2
BOUNDS: Mapping[str, Any] = {"layer_clips": {"bias": 4.0}, "entry_clips": {"wei*": 2.0}}


class Killed(BaseException):
    """What kill -9 leaves: nothing after it runs."""


@pytest.mark.parametrize("options", [{}, BOUNDS], ids=["one clip", "bounds by array"])
@pytest.mark.parametrize("bits", PRECISIONS)
def test_a_swarm_trains_at_each_precision_within_the_error_that_it_states(
    bench: Callable[..., Bench], bits: int, options: Mapping[str, Any]
) -> None:
    trained: list[tuple[np.ndarray, int]] = []

    def spy(message: Message, context: Any, call_next: Any) -> Message:
        reply = call_next(message, context)
        if reply.has_content() and "arrays" in reply.content.array_records:
            weight = reply.content.array_records["arrays"]["weight"].numpy()
            trained.append((weight.copy(), reply.content.metric_records["metrics"]["num-examples"]))
        return reply

    app = apps.make_app(swarm_mod, spy)
    swarm = bench(nodes=3, app=app, precision=bits, max_weight=40.0, **options)
    for number in range(ROUNDS):
        before = values(swarm.model)["weight"].astype(np.float64)
        assert swarm.round() is not None, swarm.errors
        assert not swarm.errors
        codec = swarm.swarm._relay.swarm.terms.codec()
        replies = trained[3 * number :]
        weights = np.array([examples for _, examples in replies], dtype=np.float64)
        # Nothing is clipped here: no entry moves by 2, no update by 10.
        exact = np.tensordot(weights / weights.sum(), [w for w, _ in replies], axes=1)
        error = codec.worst_rounding_error(included=3, weight=weights.sum())
        error *= options.get("entry_clips", {}).get("wei*", codec.clip) / codec.clip
        moved = np.abs(values(swarm.model)["weight"] - exact).max()
        assert np.abs(exact - before).max() < 2
        assert moved <= error * (1 + 1e-9) + np.finfo(np.float32).eps * np.abs(exact).max()
    payloads = [len(blob_of(m.content, "payload")) for p, _, m in swarm.answered if p == "seal"]
    assert len(set(payloads)) == 1
    swarm.swarm.close()


@pytest.mark.parametrize("bits", PRECISIONS)
def test_its_evidence_can_be_verified_and_names_its_precision(
    bench: Callable[..., Bench], bits: int
) -> None:
    swarm = bench(nodes=3, precision=bits, **BOUNDS)
    swarm.swarm.start(swarm.grid, swarm.model, ROUNDS, train_config=ConfigRecord())
    found = verify(swarm.directory)
    assert (found.certified, found.models) == (ROUNDS, ROUNDS)


@pytest.mark.parametrize(
    ("phase", "after", "lost"),
    [("seal", 2, False), ("merge", 1, False), ("open", 0, True), ("open", 2, False)],
)
def test_another_relay_takes_up_a_swarm_of_another_precision(
    founded: Callable[..., Founded], phase: str, after: int, lost: bool
) -> None:
    """From what members kept; if they lost the sum, it is added up again from what was sealed."""
    options = {"precision": 12, **BOUNDS}
    swarm = founded(4, **options)
    answered: list[int] = []

    def dies(member: int, message: Message) -> Message:
        answered.append(member)
        if len(answered) > after:
            raise Killed
        return message

    swarm.bench.to_relay[phase] = dies
    with pytest.raises(Killed):
        run(swarm, swarm.bench.swarm)
    swarm.bench.to_relay = {"recall": without_the_sum} if lost else {}
    other = SwarmStrategy(
        inner(3),
        max_weight=100.0,
        consortium=replace(swarm.consortium),
        members=3,
        clock=swarm.time.clock(),
        evidence=swarm.bench.directory / "again",
        **options,
    )
    run(swarm, other)
    assert swarm.ledger(0).view().current.number == ROUNDS
    found = verify(swarm.bench.directory / "again")
    assert found.certified == found.models == ROUNDS


def without_the_sum(_: int, message: Message) -> Message:
    reply = replace(Fields(message.content).recall_reply(), held=None)
    records: Any = write.recall_reply(reply)
    return with_content(RecordDict(records), message.metadata)


def run(swarm: Founded, strategy: SwarmStrategy) -> None:
    swarm.time.reach(swarm.ledger(0).view().now)
    strategy.start(swarm.bench.grid, apps.initial_model(), ROUNDS, train_config=ConfigRecord())


@pytest.mark.parametrize("other", [{"precision": 24}, {"layer_clips": {"*": 1.0}}])
def test_a_relay_of_another_precision_than_the_contracts_is_refused(
    founded: Callable[..., Founded], other: dict[str, Any]
) -> None:
    swarm = founded(4, precision=12)
    strategy = SwarmStrategy(
        inner(3), max_weight=100.0, consortium=swarm.consortium, clock=swarm.time.clock(), **other
    )
    with pytest.raises(WrongChain, match="pins terms with hash"):
        run(swarm, strategy)


# --- refused up front -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"precision": 10}, r"precision must be one of 8, 12, 16, 24.*got 10"),
        ({"max_weight": 2.0**32}, r"max_weight must be .*at most 2\^31, got 4294967296"),
        ({"layer_clips": {"head.*": 11.0}}, r"'head\.\*' must be > 0 and at most clip=10.*got 11"),
        ({"entry_clips": {"*": 0.0}}, r"'\*' must be > 0.*got 0"),
    ],
)
def test_what_no_lane_holds_is_refused_by_the_constructor(options: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        SwarmStrategy(inner(3), **options)


@pytest.mark.parametrize("capacity", [0, 257])
@pytest.mark.parametrize("bits", PRECISIONS)
def test_terms_for_more_members_than_a_sum_holds_are_refused(bits: int, capacity: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"members must be 1 to 256, got {capacity}"):
        SwarmStrategy(inner(3), precision=bits).terms(capacity)


@pytest.mark.parametrize("options", [{"layer_clips": {"*": 0.1}}, {"entry_clips": {"*": 0.1}}])
def test_bounds_by_array_beside_shared_noise_are_refused(options: Any) -> None:
    noise = SharedNoise(noise_multiplier=1.0, sensitivity=0.1, honest=3)
    with pytest.raises(ConfigurationError, match=r"beside shared noise.*make_private"):
        SwarmStrategy(inner(3), clip=0.5, max_weight=8.0, noise=noise, **options)


@pytest.mark.parametrize("pattern", ["head.*", "steps", ""])
def test_a_bound_for_an_array_that_is_not_trained_is_refused_by_its_pattern(
    bench: Callable[..., Bench], pattern: str
) -> None:
    """`steps` is a counter. The relay says so before anybody is asked, and so does each member."""
    swarm = bench(nodes=3, layer_clips={pattern: 1.0})
    with pytest.raises(UpdateMismatch, match=f"layer_clips names '{pattern}'".replace("*", r"\*")):
        swarm.swarm.start(swarm.grid, swarm.model, 1)
    assert not swarm.sent
    assert swarm.round() is None
    assert all("layer_clips names" in text for text in swarm.errors.values())


# --- the log --------------------------------------------------------------------------------------


def test_the_log_states_the_worst_error_before_the_first_round_and_each_rounds_own(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    swarm = bench(nodes=3, precision=12, **BOUNDS)
    with caplog.at_level(logging.INFO, logger="flwr.swarm"):
        swarm.round()
        swarm.round()
    lines = [record.getMessage() for record in caplog.records]
    (start,) = [line for line in lines if line.startswith("precision 12")]
    codec = swarm.swarm._relay.swarm.terms.codec()
    worst = codec.worst_rounding_error(included=1, weight=100.0)
    assert f"{worst:.1e} ({10 * worst:.2g} % of clip=10)" in start
    assert f"{0.4 * worst:.1e} in 'bias', {0.2 * worst:.1e} in 'wei*'" in start
    assert "values of 14 bits in 3 lanes of 16" in start
    assert "2.50 bytes a parameter" in start
    rounds = [line for line in lines if "fixed-point rounding moved no value by more" in line]
    assert [line.split(":")[0] for line in rounds] == ["round 1", "round 2"]
    assert not [line for line in lines if "nearer to the sites' examples" in line]


@pytest.mark.parametrize(
    ("max_weight", "said"),
    [(2.0**11, "times as long as the mean update"), (2.0**30, "the mean update is zero")],
)
def test_the_log_warns_if_rounding_drowns_the_update(
    bench: Callable[..., Bench],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    max_weight: float,
    said: str,
) -> None:
    """The rounding is seeded: with 2^30 an entry is not zero with probability 2^-18 each."""
    monkeypatch.setattr("flwr_swarm.flower.update.os", Seeded)
    swarm = bench(nodes=3, precision=8, max_weight=max_weight)
    with caplog.at_level(logging.WARNING, logger="flwr.swarm"):
        swarm.round()
    (line,) = [r.getMessage() for r in caplog.records if "max_weight" in r.getMessage()]
    assert said in line
    assert f"set max_weight={max_weight:g} nearer to the sites' examples" in line
    assert "raise precision=8" in line


class Seeded:
    """Stands for `os` where an update is encoded."""

    urandom = staticmethod(deterministic("rounding"))


# --- arrays ---------------------------------------------------------------------------------------

ODD: Mapping[str, tuple[np.ndarray, str]] = {
    "bfloat16": (np.zeros(3, np.dtype("V2")), r"'odd' has dtype void16.*bfloat16.*as float32"),
    "complex": (np.zeros(3, np.complex64), r"'odd' has dtype complex64.*view_as_real"),
    "text": (np.array(["a"]), r"'odd' has dtype str32.*ConfigRecord"),
    "bytes": (np.array([b"a"]), r"'odd' has dtype bytes8.*ConfigRecord"),
    "time": (np.zeros(2, "M8[s]"), r"'odd' has dtype datetime64\[s\].*float32"),
}


@pytest.mark.parametrize("kind", sorted(ODD))
def test_an_array_that_cannot_be_sealed_is_refused_by_name_before_training(
    bench: Callable[..., Bench], kind: str
) -> None:
    odd, named = ODD[kind]
    trained: list[Message] = []

    def spy(message: Message, context: Any, call_next: Any) -> Message:
        trained.append(message)
        return call_next(message, context)

    model = ArrayRecord({**apps.initial_model(), "odd": Array(odd)})
    swarm = bench(nodes=3, app=apps.make_app(swarm_mod, spy), model=model)
    with pytest.raises(UpdateMismatch, match=named):
        swarm.swarm.start(swarm.grid, model, 1)
    assert not swarm.sent
    assert swarm.round() is None
    seals = [text for (phase, _), text in swarm.errors.items() if phase == "seal"]
    assert len(seals) == 3
    assert all("UpdateMismatch" in text and "'odd'" in text for text in seals)
    assert not [m for m in trained if "arrays" in m.content.array_records]
    assert not swarm.view().current.seals


@pytest.mark.parametrize("kind", sorted(ODD))
def test_so_is_one_that_a_train_function_returns(bench: Callable[..., Bench], kind: str) -> None:
    def bend(message: Message, context: Any, call_next: Any) -> Message:
        reply = call_next(message, context)
        if reply.has_content() and "arrays" in reply.content.array_records:
            reply.content.array_records["arrays"]["bias"] = Array(ODD[kind][0])
        return reply

    swarm = bench(nodes=3, app=apps.make_app(swarm_mod, bend))
    assert swarm.round() is None
    seals = [text for (phase, _), text in swarm.errors.items() if phase == "seal"]
    assert len(seals) == 3
    assert all("'bias' has dtype" in text for text in seals)
    assert not swarm.view().current.seals


@pytest.mark.parametrize("arrays", [{"n": np.arange(3)}, {"e": np.zeros((0, 2))}], ids=str)
def test_a_model_without_a_value_to_train_is_refused(
    bench: Callable[..., Bench], arrays: dict[str, np.ndarray]
) -> None:
    model = ArrayRecord({name: Array(array) for name, array in arrays.items()})
    swarm = bench(nodes=3, model=model)
    with pytest.raises(UpdateMismatch, match="none of the model's 1 arrays holds a floating value"):
        swarm.swarm.start(swarm.grid, model, 1)
