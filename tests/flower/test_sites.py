"""What reaches a site's app: sampled members, messages of the swarm only, old and new APIs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apps
import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import (
    FedAdam,
    strategy_utils,
)
from swarm_bench import Bench, inner, values

from flwr_swarm import SwarmStrategy, swarm_mod
from flwr_swarm.encryption import Codec
from flwr_swarm.protocol.types import Phase
from flwr_swarm.testing import InProcessGrid

# --- sampling ------------------------------------------------------------------------------------


def test_a_sample_without_witnesses_is_given_some(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The strategy samples 0, 1, 2 and then only members who saw nothing of the last sum."""
    samples = iter([[1000, 1001, 1002], [1003, 1004, 1005], [1000, 1001, 1002]])
    monkeypatch.setattr(strategy_utils.random, "sample", lambda nodes, size: next(samples))
    swarm = bench(
        nodes=6,
        strategy=inner(6, fraction_train=0.5, min_train_nodes=3),
        threshold=4,
        min_included=3,
    )
    for number in range(1, 4):
        assert swarm.round() is not None
        current, final = swarm.view().current, swarm.view().final
        assert current.phase is Phase.CERTIFIED
        assert len(current.seals) == 3
        assert current.certificate.included == tuple(seal.member for seal in current.seals)
        if number > 1:
            able = {seal.member for seal in current.seals if seal.verified}
            assert len(able & set(final.committee)) >= swarm.view().policy.witnesses > 0


# --- who may talk to a site ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_a_plain_strategys_message_is_refused_and_trains_nothing(kind: str) -> None:
    asked: list[str] = []

    def spy(message: Message, context: Any, call_next: Any) -> Message:
        asked.append(message.metadata.message_type)
        return call_next(message, context)

    grid = InProcessGrid(apps.make_app(swarm_mod, spy), nodes=1)
    content = RecordDict({"arrays": apps.initial_model(), "config": ConfigRecord()})
    (reply,) = grid.send_and_receive([Message(content, 1000, kind)])
    assert reply.has_error()
    assert "wrap it in SwarmStrategy" in reply.error.reason
    assert asked == []


def test_query_messages_pass(bench: Callable[..., Bench]) -> None:
    app = apps.make_app(swarm_mod)

    @app.query()
    def query(message: Message, context: Any) -> Message:
        return Message(RecordDict({"answer": ConfigRecord({"rows": 7})}), reply_to=message)

    swarm = bench(nodes=3, app=app)
    reply = swarm.ask(1, RecordDict({"question": ConfigRecord()}), "query")
    assert reply.content.config_records["answer"]["rows"] == 7


def test_the_users_app_sees_a_stock_message(bench: Callable[..., Bench]) -> None:
    seen: list[list[str]] = []

    def spy(message: Message, context: Any, call_next: Any) -> Message:
        seen.append(sorted(message.content))
        return call_next(message, context)

    options = {"fraction_evaluate": 1.0, "min_evaluate_nodes": 3}
    swarm = bench(nodes=3, app=apps.make_app(swarm_mod, spy), strategy=inner(3, FedAdam, **options))
    swarm.round()
    swarm.evaluate()
    assert swarm.errors == {}
    assert seen == [["arrays", "config"]] * 6


# --- legacy apps ---------------------------------------------------------------------------------


class Legacy(NumPyClient):
    """A client of Flower's first API."""

    def __init__(self, partition: int) -> None:
        self.partition = partition

    def fit(self, parameters: list[np.ndarray], config: dict[str, Any]) -> Any:
        x, y = apps.site_data(self.partition)
        (weight,) = parameters
        step = 0.05 * x.T @ (x @ weight - y) / len(x)
        return [(weight - step).astype(np.float32)], len(x), {}


def legacy_app(*mods: Any) -> ClientApp:
    return ClientApp(
        client_fn=lambda context: Legacy(int(context.node_config["partition-id"])).to_client(),
        mods=list(mods),
    )


def test_a_legacy_client_fn_app_swarms(bench: Callable[..., Bench]) -> None:
    keys = {
        "arrayrecord_key": "fitins.parameters",
        "configrecord_key": "fitins.config",
        "weighted_by_key": "num_examples",
    }
    model = ArrayRecord([np.zeros((apps.FEATURES, 2), dtype=np.float32)])
    stock = inner(3, **keys).start(InProcessGrid(legacy_app(), nodes=3), model, num_rounds=2).arrays
    swarm = bench(nodes=3, app=legacy_app(swarm_mod), strategy=inner(3, **keys), model=model)
    for _ in range(2):
        assert swarm.round() is not None
    assert swarm.model.keys() == stock.keys()
    (ours,), (theirs,) = values(swarm.model).values(), values(stock).values()
    codec = Codec(clip=10.0, max_weight=100.0, members=3)
    bound = codec.worst_rounding_error(included=3, weight=20 + 27 + 34)
    np.testing.assert_allclose(ours, theirs, atol=2 * bound + 1e-6, rtol=0)
    assert np.abs(theirs).max() > 0.1


def test_start_returns_what_stock_start_returns(tmp_path: Path) -> None:
    """Flower's own loop, with evaluation, end to end."""
    options = {"fraction_evaluate": 1.0, "min_evaluate_nodes": 3}
    arguments = {"num_rounds": 2, "evaluate_fn": lambda number, _: MetricRecord({"at": number})}
    stock = inner(3, **options).start(
        InProcessGrid(apps.make_app(), nodes=3), apps.initial_model(), **arguments
    )
    swarm = SwarmStrategy(inner(3, **options), max_weight=100.0, evidence=tmp_path).start(
        InProcessGrid(apps.make_app(swarm_mod), nodes=3), apps.initial_model(), **arguments
    )
    assert swarm.evaluate_metrics_serverapp == stock.evaluate_metrics_serverapp
    for ours, theirs in [
        (swarm.train_metrics_clientapp, stock.train_metrics_clientapp),
        (swarm.evaluate_metrics_clientapp, stock.evaluate_metrics_clientapp),
    ]:
        assert ours.keys() == theirs.keys()
        for number in theirs:
            assert ours[number].keys() == theirs[number].keys()
            for name in theirs[number]:
                assert ours[number][name] == pytest.approx(theirs[number][name], rel=1e-4)
