"""A site's privacy budget inside a swarm: it refuses before it trains, and the others go on."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from swarm_bench import Bench, twin

from flwr_swarm import privacy, swarm_mod
from flwr_swarm.protocol.types import EPSILON_UNIT, Phase


def model_record() -> ArrayRecord:
    shapes = {"weight": (1, 3), "bias": (1,)}
    return ArrayRecord({n: Array(np.zeros(s, dtype=np.float32)) for n, s in shapes.items()})


def private_app(budgets: dict[int, float], stepped: list[int]) -> ClientApp:
    app = ClientApp(mods=[swarm_mod])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        site = int(context.node_config["partition-id"])
        model = torch.nn.Linear(3, 1)
        arrays = message.content.array_records["arrays"]
        model.load_state_dict({n: torch.tensor(a.numpy()) for n, a in arrays.items()})
        rows = torch.randn(40, 3, generator=torch.Generator().manual_seed(site))
        data = torch.utils.data.TensorDataset(rows, rows.sum(dim=1, keepdim=True))
        loader = torch.utils.data.DataLoader(data, batch_size=10)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        if site in budgets:
            model, optimizer, loader = privacy.make_private(
                context, model, optimizer, loader,
                epochs=1, noise_multiplier=1.0, budget=budgets[site], delta=1e-3,
            )  # fmt: skip
        stepped.append(site)
        for x, y in loader:
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
        trained = {n: Array(t.detach().numpy()) for n, t in model.state_dict().items()}
        metrics = MetricRecord({"num-examples": 40})
        content = RecordDict({"arrays": ArrayRecord(trained), "metrics": metrics})
        return Message(content, reply_to=message)

    return app


@pytest.fixture(autouse=True)
def _opacus_warns() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def epsilon_of_one_round() -> float:
    charge = privacy.Charge(noise_multiplier=1.0, sample_rate=0.25, steps=4)
    spent = privacy.History().charged(charge, delta=1e-3).epsilon()
    assert spent is not None
    return spent


def test_a_site_over_budget_refuses_before_it_trains_and_the_others_go_on(
    bench: Callable[..., Bench],
) -> None:
    one = epsilon_of_one_round()
    stepped: list[int] = []
    budgets = {0: math.inf, 1: one * 1.01, 2: math.inf, 3: math.inf}
    swarm = bench(app=dict.fromkeys(range(4), private_app(budgets, stepped)), model=model_record())
    assert swarm.round() is not None
    assert sorted(stepped) == [0, 1, 2, 3]
    spent = swarm.view().members[1].epsilon
    assert spent == math.ceil(one * EPSILON_UNIT)
    for _ in range(2):
        stepped.clear()
        state = twin(swarm.context(1).state)
        assert swarm.round() is not None
        assert set(swarm.errors) == {("seal", 1)}
        assert swarm.errors["seal", 1].startswith("BudgetExhausted: privacy budget: spent epsilon")
        assert "nothing was trained" in swarm.errors["seal", 1]
        assert sorted(stepped) == [0, 2, 3]
        current = swarm.view().current
        assert current.abstained == (1,)
        assert current.certificate.included == (0, 2, 3)
        assert swarm.view().members[1].epsilon == spent
        accountant = privacy.STATE_KEY
        records = swarm.context(1).state.config_records
        assert records[accountant] == state.config_records[accountant]
    others = {m.epsilon for m in swarm.view().members if m.index != 1}
    assert others == {privacy.micro_epsilon(swarm.context(0).state)}
    assert min(others) > spent


def test_the_contract_refuses_a_seal_over_the_swarms_cap(bench: Callable[..., Bench]) -> None:
    one = epsilon_of_one_round()
    budgets = dict.fromkeys(range(3), math.inf)
    app = dict.fromkeys(range(3), private_app(budgets, []))
    swarm = bench(app=app, model=model_record(), epsilon_cap=one * 1.01)
    assert swarm.round() is not None
    first = swarm.view()
    assert swarm.round() is None
    assert len(swarm.errors) == 3
    assert all("BudgetExceeded" in error for error in swarm.errors.values())
    after = swarm.view()
    assert after.current.seals == ()
    assert after.current.abstained == (0, 1, 2)  # so that nobody waits for the deadline
    assert [m.epsilon for m in after.members] == [m.epsilon for m in first.members]


def test_under_a_cap_an_update_without_privacy_is_not_sealed(bench: Callable[..., Bench]) -> None:
    app = private_app({0: math.inf, 1: math.inf, 2: math.inf}, [])
    swarm = bench(app=dict.fromkeys(range(4), app), model=model_record(), epsilon_cap=50.0)
    assert swarm.round() is not None
    assert {who: e.split(":")[0] for who, e in swarm.errors.items()} == {("seal", 3): "NotPrivate"}
    assert swarm.view().current.phase is Phase.CERTIFIED
    assert swarm.view().current.certificate.included == (0, 1, 2)


def test_a_site_whose_accountant_was_lost_does_not_train(bench: Callable[..., Bench]) -> None:
    """The chain remembers what the site spent, though its own memory was reset."""
    stepped: list[int] = []
    budgets = dict.fromkeys(range(4), math.inf)
    swarm = bench(app=dict.fromkeys(range(4), private_app(budgets, stepped)), model=model_record())
    swarm.round()
    stepped.clear()
    del swarm.context(2).state[privacy.STATE_KEY]
    del swarm.context(2).state["flwr_swarm.memory"]
    assert swarm.round() is not None
    assert set(swarm.errors) == {("seal", 2)}
    assert swarm.errors["seal", 2].startswith("AccountantLost: ")
    assert sorted(stepped) == [0, 1, 3]


def test_an_accountant_that_flower_lost_is_in_the_sites_own_memory(
    bench: Callable[..., Bench],
) -> None:
    """A SuperNode that was restarted has an empty context; what was spent is not forgotten."""
    budgets = dict.fromkeys(range(4), math.inf)
    swarm = bench(app=dict.fromkeys(range(4), private_app(budgets, [])), model=model_record())
    swarm.round()
    one = privacy.load_history(swarm.context(2).state)
    del swarm.context(2).state[privacy.STATE_KEY]
    assert swarm.round() is not None
    assert swarm.errors == {}
    two = privacy.load_history(swarm.context(2).state)
    assert (one.rounds, two.rounds) == (1, 2)
    assert swarm.view().members[2].epsilon == privacy.micro_epsilon(swarm.context(0).state)
