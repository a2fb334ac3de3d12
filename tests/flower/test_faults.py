"""Faults at a site: it says what is wrong, seals nothing, keeps its data; the others go on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import apps
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from hostile import EVERYONE
from swarm_bench import Bench, inner, reply_bytes, same, twin, values

from flwr_swarm import swarm_mod
from flwr_swarm.flower.state import load_memory
from flwr_swarm.protocol.types import Phase

MARKER = "patient Jane Doe, born 1948"
Change = Callable[[RecordDict], RecordDict | None]


class Site:
    """What goes wrong at member 1."""

    def __init__(self) -> None:
        self.change: Change | None = None

    def mod(self, message: Message, context: Any, call_next: Any) -> Message:
        reply = call_next(message, context)
        if self.change is not None and context.node_config["partition-id"] == 1:
            self.change(reply.content)
        return reply


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bench, Site]]:
    site = Site()
    with Bench(tmp_path_factory.mktemp("faults"), app=apps.make_app(swarm_mod, site.mod)) as bench:
        yield bench, site


def arrays(**changed: Any) -> Change:
    """Replace arrays of the reply; None removes one."""

    def change(content: RecordDict) -> None:
        now: dict[str, Any] = values(content.array_records["arrays"]) | changed
        kept = {name: Array(np.asarray(a)) for name, a in now.items() if a is not None}
        content["arrays"] = ArrayRecord(kept)

    return change


def metrics(**changed: Any) -> Change:
    """Replace metrics of the reply; None removes one. `examples` is the weight."""

    def change(content: RecordDict) -> None:
        named = {k.replace("examples", "num-examples"): v for k, v in changed.items()}
        now = dict(content.metric_records["metrics"]) | named
        content["metrics"] = MetricRecord({k: v for k, v in now.items() if v is not None})

    return change


def second(name: str, record: Any) -> Change:
    return lambda content: content.__setitem__(name, record)


def fails(_: RecordDict) -> None:
    raise RuntimeError(MARKER)


def weight(value: float, at: tuple[int, int] = (0, 1)) -> np.ndarray:
    array = np.zeros((apps.FEATURES, 2), dtype=np.float32)
    array[at] = value
    return array


FAULTS: dict[str, tuple[Change, str, str]] = {
    "NaN": (arrays(weight=weight(np.nan)), "NonFiniteUpdate", "1 NaN or infinite"),
    "infinity": (arrays(weight=weight(-np.inf)), "NonFiniteUpdate", "learning rate"),
    "shape": (arrays(weight=np.zeros((2, 5), np.float32)), "UpdateMismatch", "[2, 5]"),
    "missing array": (arrays(bias=None), "UpdateMismatch", "missing ['bias']"),
    "extra array": (arrays(more=np.zeros(2)), "UpdateMismatch", "extra ['more']"),
    "dtype": (arrays(weight=np.zeros((5, 2), np.int32)), "UpdateMismatch", "int32"),
    "complex": (arrays(weight=np.zeros((5, 2), np.complex64)), "UpdateMismatch", "complex64"),
    "no weight": (metrics(examples=None), "UpdateMismatch", "num-examples"),
    "weight list": (metrics(examples=[1, 2]), "UpdateMismatch", "num-examples"),
    "weight 0": (metrics(examples=0), "CapacityExceeded", "weight"),
    "weight < 0": (metrics(examples=-5), "CapacityExceeded", "weight"),
    "weight NaN": (metrics(examples=float("nan")), "NonFiniteUpdate", "weight"),
    "weight > max": (metrics(examples=101), "CapacityExceeded", "max_weight"),
    "metric > bound": (metrics(train_loss=1e30), "CapacityExceeded", "metric"),
    "metric NaN": (metrics(train_loss=float("nan")), "NonFiniteUpdate", "metric"),
    "empty metric": (metrics(curve=[]), "UpdateMismatch", "'curve' is an empty list"),
    "two arrays": (second("more", apps.initial_model()), "UpdateMismatch", "2 ArrayRecords"),
    "two metrics": (second("more", MetricRecord({"x": 1})), "UpdateMismatch", "2 MetricRecords"),
    "train raises": (fails, "TrainingFailed", "RuntimeError"),
}


@pytest.mark.parametrize(("change", "error", "part"), FAULTS.values(), ids=FAULTS.keys())
def test_a_faulty_update_is_refused_by_name_and_nothing_is_sealed(
    shared: tuple[Bench, Site], change: Change, error: str, part: str
) -> None:
    bench, site = shared
    site.change = change
    plan = bench.plan()[1]
    before, memory = bench.view(), load_memory(bench.context(1))
    answer = bench.refusal(1, plan)
    assert answer.startswith(f"{error}: ")
    assert part in answer
    assert bench.view().current == before.current
    after = load_memory(bench.context(1))
    assert (after.given, after.intended) == (memory.given, memory.intended)


@pytest.mark.parametrize("name", ["NaN", "two arrays", "train raises"])
def test_a_faulty_site_abstains_and_the_others_go_on(
    shared: tuple[Bench, Site], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And the log names it, also where its answer came too late to be read."""
    bench, site = shared
    site.change, error, _ = FAULTS[name]
    before = bench.model
    assert bench.round() is not None
    assert {who: e.split(":")[0] for who, e in bench.errors.items()} == {("seal", 1): error}
    current = bench.view().current
    assert current.phase is Phase.CERTIFIED
    assert current.abstained == (1,)
    assert current.certificate.included == (0, 2, 3)
    assert not same(bench.model, before)
    assert bench.time.clock().now() < current.seal_deadline  # nobody waited for it
    assert "goes on without members [1]; abstained: [1]" in caplog.text


def test_after_all_faults_the_site_takes_part_again(shared: tuple[Bench, Site]) -> None:
    bench, site = shared
    site.change = None
    assert bench.round() is not None
    assert bench.view().current.certificate.included == (0, 1, 2, 3)


def test_the_text_of_a_failing_train_function_stays_at_the_site(
    shared: tuple[Bench, Site], caplog: pytest.LogCaptureFixture
) -> None:
    bench, site = shared
    site.change = fails
    told = len(bench.answered)
    bench.round()
    bench.round()
    assert all(MARKER.encode() not in reply_bytes(m) for _, _, m in bench.answered[told:])
    records = [r for r in caplog.records if MARKER in (r.getMessage() + str(r.exc_info))]
    assert {r.levelno for r in records} == {logging.ERROR}  # the site's own log, and only there
    assert {r.funcName for r in records} == {"_seal"}


def test_the_text_of_a_failing_evaluate_function_stays_at_the_site(
    bench: Callable[..., Bench],
) -> None:
    def failing(message: Message, context: Any, call_next: Any) -> Message:
        if message.metadata.message_type == "evaluate":
            raise RuntimeError(MARKER)
        return call_next(message, context)

    swarm = bench(
        app=dict.fromkeys(range(3), apps.make_app(swarm_mod, failing)),
        strategy=inner(3, fraction_evaluate=1.0, min_evaluate_nodes=3),
    )
    swarm.round()
    swarm.evaluate()
    assert len(swarm.errors) == 3
    assert all(MARKER not in text for text in swarm.errors.values())


def test_an_odd_metric_excludes_its_member_by_name_and_nobody_else(
    shared: tuple[Bench, Site], caplog: pytest.LogCaptureFixture
) -> None:
    bench, site = shared
    site.change = metrics(extra=1.0)
    before = bench.model
    assert bench.round() is not None
    assert bench.errors == {}
    assert bench.view().current.certificate.included == (0, 2, 3)
    assert "extra" not in bench.metrics
    assert not same(bench.model, before)
    named = [r.getMessage() for r in caplog.records if "not in the sum" in r.getMessage()]
    assert len(named) == 1
    assert "members [1]" in named[0]
    site.change = None


def test_a_metric_that_all_report_as_a_list_is_averaged(bench: Callable[..., Bench]) -> None:
    def adding(message: Message, context: Any, call_next: Any) -> Message:
        reply = call_next(message, context)
        at = float(context.node_config["partition-id"])
        reply.content.metric_records["metrics"]["curve"] = [at, -2 * at, 1e-3]
        reply.content.metric_records["metrics"]["num-examples"] = 10
        return reply

    swarm = bench(app=dict.fromkeys(range(3), apps.make_app(swarm_mod, adding)))
    swarm.round()
    assert swarm.metrics["curve"] == pytest.approx([1.0, -2.0, 1e-3], abs=1e-6)


def test_a_longer_update_is_clipped_not_refused(bench: Callable[..., Bench]) -> None:
    swarm = bench(nodes=3, clip=0.01)
    first = values(swarm.model)
    swarm.round()
    last = values(swarm.model)
    moved = np.sqrt(sum(((last[n] - first[n]) ** 2).sum() for n in ("weight", "bias")))
    assert 0 < moved <= 0.01 * 1.001


def test_a_restart_between_any_two_messages_loses_nothing(bench: Callable[..., Bench]) -> None:
    """Every member's state goes through its serialised form before every message."""
    swarm = bench(nodes=3)

    def restart(member: int, message: Message) -> Message:
        context = swarm.context(member)
        before = load_memory(context)
        context.state = twin(context.state)
        after = load_memory(context)
        for name in ("place", "signed", "opened"):
            assert getattr(after, name) == getattr(before, name)
        return message

    for phase in ("enrol", "seal", "merge", "open"):
        swarm.to_member[phase] = restart
    for _ in range(3):
        assert swarm.round() is not None
        assert set(swarm.view().current.certificate.included) == {0, 1, 2} <= EVERYONE
    # Members verified each model after the first: what they held survived.
    assert all(seal.verified for seal in swarm.view().current.seals)
