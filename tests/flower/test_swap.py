"""The swap: a swarm computes what the wrapped strategy computes, and says where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import apps
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import (
    DifferentialPrivacyClientSideFixedClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    FedYogi,
    Krum,
    QFedAvg,
    Strategy,
)
from swarm_bench import Bench, inner, same, values

from flwr_swarm import SwarmStrategy, swarm_mod
from flwr_swarm._exceptions import UnsupportedStrategy
from flwr_swarm.encryption import Codec
from flwr_swarm.flower.compat import detached_message
from flwr_swarm.mod import SwarmMod
from flwr_swarm.testing import InProcessGrid

ROUNDS = 3
SUMMABLE = [
    (FedAvg, {}),
    (FedProx, {"proximal_mu": 0.1}),
    (FedAvgM, {"server_learning_rate": 0.7, "server_momentum": 0.9}),
    (FedAdam, {}),
    (FedYogi, {}),
    (FedAdagrad, {}),
]
MAKERS = pytest.mark.parametrize(
    ("kind", "options"), SUMMABLE, ids=[kind.__name__ for kind, _ in SUMMABLE]
)


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """What every member encoded, in order."""
    kept: list[np.ndarray] = []
    honest = Codec.encoding

    def recording(self: Codec, *args: Any, **options: Any) -> np.ndarray:
        encoding = honest(self, *args, **options)
        kept.extend(encoding.groups(encoding.size))
        return kept[-1]

    monkeypatch.setattr(Codec, "encoding", recording)
    return kept


def like(arrays: ArrayRecord, model: ArrayRecord) -> ArrayRecord:
    """`arrays` in the dtypes of `model`: what a stock run leaves undone."""
    old, new = values(model), values(arrays)
    return ArrayRecord({name: Array(new[name].astype(old[name].dtype)) for name in old})


def plain_step(strategy: FedAvg, number: int, model: ArrayRecord, codec: Codec, encoded: Any):
    """The stock strategy's own step on the fixed-point mean of what the members encoded."""
    list(strategy.configure_train(number, model, ConfigRecord(), InProcessGrid({0: ClientApp()})))
    arrays = values(model)
    trained = [name for name in sorted(arrays) if arrays[name].dtype == np.float32]
    size = sum(arrays[name].size for name in trained)
    mean = codec.fixed_point_mean(encoded, size=size, metrics=1)
    averaged, position = dict(arrays), 0
    for name in trained:
        old = arrays[name]
        step = mean.update[position : position + old.size].reshape(old.shape)
        averaged[name] = np.asarray(old.astype(np.float64) + step).astype(old.dtype)
        position += old.size
    content = {
        "arrays": ArrayRecord({name: Array(array) for name, array in averaged.items()}),
        "metrics": MetricRecord({"train_loss": mean.metrics[0], "num-examples": mean.weight}),
    }
    arrays_out, metrics = strategy.aggregate_train(number, [detached_message(RecordDict(content))])
    return like(arrays_out, model), metrics


@MAKERS
def test_each_strategy_steps_on_the_fixed_point_mean_bit_for_bit(
    kind: type[FedAvg],
    options: dict[str, float],
    lanes: list[np.ndarray],
    bench: Callable[..., Bench],
) -> None:
    swarm = bench(nodes=3, strategy=inner(3, kind, **options))
    one = {"min_available_nodes": 1, "min_train_nodes": 1}
    reference = inner(1, kind, **options, **one)
    codec = Codec(clip=10.0, max_weight=100.0, members=3)
    model = apps.initial_model()
    for number in range(1, ROUNDS + 1):
        swarm.round()
        encoded = lanes[-3:]
        model, metrics = plain_step(reference, number, model, codec, encoded)
        assert same(swarm.model, model), f"round {number}"
        assert swarm.metrics == metrics
    assert len(lanes) == 3 * ROUNDS
    # Dtypes, shapes and counters are the first model's, though FedAdam steps in float64.
    first, last = values(apps.initial_model()), values(swarm.model)
    assert {n: (a.dtype, a.shape) for n, a in first.items()} == {
        n: (a.dtype, a.shape) for n, a in last.items()
    }
    assert last["steps"] == first["steps"]
    assert not np.array_equal(first["weight"], last["weight"])


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Four rounds of four members, with what each trained and each round's ledger."""
    trained: list[tuple[int, np.ndarray, int]] = []

    def spy(message: Message, context: Any, call_next: Any) -> Message:
        reply = call_next(message, context)
        if reply.has_content() and "arrays" in reply.content.array_records:
            weight = reply.content.array_records["arrays"]["weight"].numpy()
            examples = reply.content.metric_records["metrics"]["num-examples"]
            trained.append((context.node_config["partition-id"], weight.copy(), examples))
        return reply

    directory = tmp_path_factory.mktemp("four")
    views, models = [], []
    with Bench(directory, app=apps.make_app(swarm_mod, spy)) as bench:
        for _ in range(4):
            assert bench.round() is not None
            views.append(bench.view())
            models.append(bench.model)
    return {"views": views, "models": models, "trained": trained}


def test_every_member_leads_once_before_one_leads_twice(four: dict[str, Any]) -> None:
    leaders = [view.current.leader for view in four["views"]]
    assert sorted(leaders) == [0, 1, 2, 3]
    assert all(view.current.certificate.view == 0 for view in four["views"])


def test_the_model_is_stock_flowers_within_the_documented_rounding(four: dict[str, Any]) -> None:
    codec = Codec(clip=10.0, max_weight=100.0, members=4)
    for number, model in enumerate(four["models"]):
        replies = four["trained"][4 * number : 4 * number + 4]
        weights = np.array([examples for _, _, examples in replies], dtype=np.float64)
        arrays = np.stack([weight for _, weight, _ in replies]).astype(np.float64)
        exact = np.tensordot(weights / weights.sum(), arrays, axes=1)
        bound = codec.worst_rounding_error(included=4, weight=float(weights.sum()))
        error = np.abs(values(model)["weight"] - exact).max()
        assert error <= bound + np.finfo(np.float32).eps * np.abs(exact).max()
        assert bound < 1e-4  # or the test would say nothing


def test_the_ledger_names_the_models_that_were_trained_on(four: dict[str, Any]) -> None:
    parents = [view.current.parent for view in four["views"]]
    assert len(set(parents)) == 4
    for before, after in pairwise(four["views"]):
        assert after.final.number == before.current.number
    for view in four["views"][1:]:
        assert all(seal.verified for seal in view.current.seals)


# --- without encryption ------------------------------------------------------------------------


def stock_run(strategy: Strategy, nodes: int) -> tuple[ArrayRecord, list[Any]]:
    """Stock Flower's rounds, its replies sorted by node."""
    grid = InProcessGrid(apps.make_app(), nodes=nodes)
    model, metrics = apps.initial_model(), []
    for number in range(1, ROUNDS + 1):
        messages = list(strategy.configure_train(number, model, ConfigRecord(), grid))
        replies = sorted(grid.send_and_receive(messages), key=lambda m: m.metadata.src_node_id)
        model, metric = strategy.aggregate_train(number, replies)
        metrics.append(metric)
    return model, metrics


@pytest.mark.parametrize(
    ("kind", "options"),
    [(FedAvg, {}), (FedAvgM, {"server_momentum": 0.9}), (FedAdam, {}), (Krum, {}), (FedMedian, {})],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_without_encryption_a_fixed_leader_gives_stock_flower_bit_for_bit(
    kind: type[FedAvg], options: dict[str, float], bench: Callable[..., Bench]
) -> None:
    swarm = bench(
        nodes=3,
        app=apps.make_app(SwarmMod(accept_plaintext=True)),
        strategy=inner(3, kind, **options),
        encryption="none",
        fixed_leader=0,
    )
    metrics = []
    for _ in range(ROUNDS):
        assert swarm.round() is not None
        metrics.append(swarm.metrics)
        assert swarm.view().current.leader == 0
    model, stock_metrics = stock_run(inner(3, kind, **options), 3)
    assert same(swarm.model, model)
    assert metrics == stock_metrics


def test_a_site_that_did_not_agree_sends_no_plaintext(bench: Callable[..., Bench]) -> None:
    app = {
        0: apps.make_app(SwarmMod(accept_plaintext=True)),
        1: apps.make_app(SwarmMod(accept_plaintext=True)),
        2: apps.make_app(SwarmMod()),
    }
    swarm = bench(app=app, strategy=inner(3), encryption="none")
    swarm.round()
    assert set(swarm.errors) == {("seal", 2)}
    assert "has not agreed" in swarm.errors["seal", 2]
    assert "FLWR_SWARM_ACCEPT_PLAINTEXT=1" in swarm.errors["seal", 2]
    assert swarm.view().current.seal_of(2) is None
    assert [seal.member for seal in swarm.view().current.seals] == [0, 1]


def test_a_site_agrees_by_its_own_environment(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_SWARM_ACCEPT_PLAINTEXT", "1")
    assert bench(nodes=3, encryption="none").round() is not None


# --- which strategies ----------------------------------------------------------------------------


class Averaging(FedAvg):
    """A user's subclass that aggregates by itself."""

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        return super().aggregate_train(server_round, replies)


class Sampling(FedAvgM):
    """A user's subclass that leaves aggregation alone."""

    def configure_train(self, server_round: int, arrays: Any, config: Any, grid: Any) -> Any:
        config["user"] = server_round
        return super().configure_train(server_round, arrays, config, grid)


class Averages(FedAdam):
    """A subclass that changes a part of the step which `aggregate_train` calls."""

    def _compute_deltat_and_mt(self, aggregated: Any) -> Any:
        return super()._compute_deltat_and_mt(aggregated)


@pytest.mark.parametrize(
    "strategy",
    [
        Krum(),
        FedMedian(),
        FedTrimmedAvg(),
        QFedAvg(client_learning_rate=0.1),
        Averaging(),
        Averages(),
        DifferentialPrivacyServerSideFixedClipping(
            FedAvg(), noise_multiplier=1.0, clipping_norm=1.0, num_sampled_clients=3
        ),
        DifferentialPrivacyClientSideFixedClipping(
            FedAvg(), noise_multiplier=1.0, clipping_norm=1.0, num_sampled_clients=3
        ),
    ],
    ids=lambda strategy: type(strategy).__name__,
)
def test_what_needs_single_updates_is_refused_under_encryption_with_a_remedy(
    strategy: Strategy,
) -> None:
    with pytest.raises(UnsupportedStrategy) as caught:
        SwarmStrategy(strategy)
    for part in (type(strategy).__name__, "FedAvg", 'encryption="none"', "evaluate_fn"):
        assert part in str(caught.value)
    SwarmStrategy(strategy, encryption="none")


def test_a_subclass_that_leaves_aggregation_alone_works(bench: Callable[..., Bench]) -> None:
    swarm = bench(nodes=3, strategy=inner(3, Sampling))
    assert swarm.round() is not None
    sent = swarm.messages("seal")
    assert [m.content.config_records["config"]["user"] for m in sent] == [1, 1, 1]
