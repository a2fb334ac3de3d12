"""Noise that a swarm's members share: only the sum is opened, and what does not fit is refused."""

import math

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedMedian, FedProx
from scipy.stats import chi2
from swarm_bench import StillClock
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from flwr_swarm import SharedNoise, SwarmStrategy, privacy, swarm_mod
from flwr_swarm._exceptions import (
    BudgetExhausted,
    ConfigurationError,
    NotPrivate,
    SwarmError,
    WireError,
)
from flwr_swarm.flower.sharing import check_taken, offer_noise
from flwr_swarm.privacy import epsilon_spent, load_history, make_private
from flwr_swarm.protocol.terms import Terms
from flwr_swarm.stopping import AdaptiveInterval
from flwr_swarm.testing import InProcessGrid

RATE, FEATURES = 0.5, 3000
NOISE = SharedNoise(noise_multiplier=1.0, sensitivity=RATE, honest=2)
CALL = {"epochs": 1, "noise_multiplier": "shared", "budget": 20.0, "delta": 1e-4}


def net():
    return nn.Sequential(nn.Linear(FEATURES, 1, bias=False), nn.Flatten(0))


def app_of(train):
    app = ClientApp(mods=[swarm_mod])
    app.train()(train)
    return app


def reply(msg, model, examples=20, **metrics):
    content = {
        "arrays": ArrayRecord(model.state_dict()),
        "metrics": MetricRecord({"num-examples": examples, **metrics}),
    }
    return Message(RecordDict(content), reply_to=msg)


def train(msg, context):
    """Data of zeros: the gradient is zero, and the opened sum is the noise alone."""
    model = net()
    model.load_state_dict(msg.content["arrays"].to_torch_state_dict())
    data = TensorDataset(torch.zeros(80, FEATURES), torch.zeros(80))
    loader = DataLoader(data, 20, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    model, optimizer, loader = make_private(context, model, optimizer, loader, **CALL)
    for x, y in loader:
        nn.functional.binary_cross_entropy_with_logits(model(x), y).backward()
        optimizer.step()
    return reply(msg, model)


def run(app, tmp_path, *, rounds=1, **options):
    grid = InProcessGrid(app, nodes=4)
    strategy = SwarmStrategy(
        FedAvg(min_available_nodes=4, fraction_evaluate=0.0),
        **{"noise": NOISE, "clip": RATE, "max_weight": 20.0, "evidence": tmp_path} | options,
        clock=StillClock().clock(),
    )
    model = net()
    nn.init.zeros_(model[0].weight)
    result = strategy.start(grid, ArrayRecord(model.state_dict()), num_rounds=rounds)
    return result.arrays, grid


def test_the_opened_mean_has_the_noise_that_was_charged(tmp_path):
    arrays, grid = run(app_of(train), tmp_path, epsilon_cap=20.0)
    moved = arrays.to_torch_state_dict()["0.weight"].numpy().ravel().astype(float)
    # Four shares, of which any two are sigma times what a record may move.
    expected = math.sqrt(4 / NOISE.honest) * NOISE.noise_multiplier * RATE
    squares = np.square(moved * 4 * 20 / expected).sum()
    assert chi2.ppf(1e-11, FEATURES) < squares < chi2.isf(1e-11, FEATURES) * 1.01
    for context in grid.contexts.values():
        history = load_history(context.state)
        (charge,) = history.shared
        assert (charge.steps, charge.sample_rate, charge.size) == (1, 0.25, FEATURES)
        assert 0.99 < charge.noise_multiplier < 1.0
        assert 0 < epsilon_spent(context) < 20


def test_a_site_that_adds_no_shared_noise_seals_nothing(tmp_path):
    """A site that skips `make_private` abstains; so do all, and no model comes of it."""

    def plain(msg, _context):
        model = net()
        nn.init.ones_(model[0].weight)
        return reply(msg, model)

    arrays, _ = run(app_of(plain), tmp_path, seal_seconds=5, merge_seconds=5)
    assert not arrays


# --- what does not fit ---------------------------------------------------------------------------


def context():
    return Context(run_id=1, node_id=2, node_config={}, state=RecordDict(), run_config={})


def terms(noise=NOISE, **changes):
    fields = {"encryption": "threshold", "members": 4, "clip": RATE, "max_weight": 20.0}
    return Terms(**fields | {"noise": noise} | changes)


class Sums:
    """The one rule of a policy that matters here."""

    min_included = 3


def offered(**changes):
    kept = context()
    model = {"w": np.ones((FEATURES, 1), np.float32)}
    offer_noise(kept, terms(**changes), Sums, model)
    return kept


def site(lr=RATE, optimizer=torch.optim.SGD, **options):
    model = net()
    data = TensorDataset(torch.zeros(80, FEATURES), torch.zeros(80))
    return model, optimizer(model.parameters(), lr=lr, **options), DataLoader(data, 20)


@pytest.mark.parametrize(
    ("options", "made", "why"),
    [
        ({"noise_multiplier": 1.0}, {}, "own beside it"),
        ({"noise_multiplier": 0.0}, {}, "own beside it"),
        ({"epochs": 2}, {}, "one step"),
        ({}, {"momentum": 0.9}, "no momentum"),
        ({}, {"optimizer": torch.optim.Adam}, "torch.optim.SGD"),
        ({}, {"lr": 0.6}, "sensitivity=0.5"),
        ({"max_grad_norm": 1.1}, {}, "sensitivity=0.5"),
        ({"noise_multiplier": "share"}, {}, "'shared'"),
    ],
)
def test_training_that_the_noise_does_not_cover_is_refused_and_costs_nothing(options, made, why):
    kept = offered()
    with pytest.raises(ConfigurationError, match=why):
        make_private(kept, *site(**made), **CALL | options)
    assert load_history(kept).rounds == 0


def test_shared_noise_outside_such_a_swarm_is_refused():
    for kept in (context(), offered(noise=None)):
        with pytest.raises(ConfigurationError, match="SharedNoise"):
            make_private(kept, *site(), **CALL)


def test_the_budget_counts_shared_noise():
    kept = offered()
    with pytest.raises(BudgetExhausted):
        make_private(kept, *site(), **CALL | {"budget": 0.01})
    assert load_history(kept).rounds == 0


def test_a_private_loader_keeps_its_rate_from_round_to_round():
    kept, loader = offered(), None
    model, optimizer, loader = site()
    for _ in range(3):
        offer_noise(kept, terms(), Sums, {"w": np.ones((FEATURES, 1), np.float32)})
        model, optimizer, loader = make_private(kept, model, optimizer, loader, **CALL)
        assert len(loader) == 1
    (charge,) = load_history(kept).shared
    assert (charge.steps, charge.sample_rate) == (3, 0.25)


@pytest.mark.parametrize(
    ("examples", "metrics", "why"),
    [(21, {}, "expected batch"), (20, {"loss": 0.5}, "other metrics"), (80, {}, "expected batch")],
)
def test_what_would_be_told_beside_the_noisy_sum_is_refused(examples, metrics, why):
    kept = offered()
    model, optimizer, loader = site()
    make_private(kept, model, optimizer, loader, **CALL)
    with pytest.raises(NotPrivate, match=why) as refused:
        check_taken(kept, terms(), answer(examples, **metrics))
    assert "20" not in str(refused.value)  # the site's size is nobody's business
    kept = offered()
    make_private(kept, *site(), **CALL)
    check_taken(kept, terms(), answer(20))
    with pytest.raises(NotPrivate, match="no private step"):
        check_taken(kept, terms(), answer(20))  # one step is one seal


def answer(examples, **metrics):
    return MetricRecord({"num-examples": examples, **metrics})


def test_sums_that_may_lack_shares_are_refused():
    greedy = SharedNoise(noise_multiplier=1.0, sensitivity=RATE, honest=4)
    with pytest.raises(ConfigurationError, match="min_included"):
        offered(noise=greedy)


@pytest.mark.parametrize(
    ("strategy", "options", "why"),
    [
        (FedProx(), {}, "FedProx"),
        (FedAvg(), {"interval": AdaptiveInterval(start=1, longest=2)}, "interval"),
        (FedAvg(), {"encryption": "none"}, "shared noise"),
        (FedMedian(), {}, "individual"),
        (FedAvg(), {"clip": 1e6}, "levels"),
    ],
)
def test_strategies_and_settings_that_do_not_fit_are_refused_at_once(strategy, options, why):
    settings = {"noise": NOISE, "clip": RATE, "max_weight": 20.0} | options
    with pytest.raises(ConfigurationError, match=why):
        SwarmStrategy(strategy, **settings)


@pytest.mark.parametrize("strategy", [FedAvg(), FedAvgM(), FedAdam()])
def test_strategies_that_step_on_the_mean_are_taken(strategy):
    SwarmStrategy(strategy, noise=NOISE, clip=RATE, max_weight=20.0).close()


def test_terms_hold_the_noise_and_without_it_are_what_they_were():
    agreed = terms()
    assert Terms.from_json(agreed.to_json()) == agreed
    assert agreed.hash() != terms(noise=None).hash()
    assert "noise" not in terms(noise=None).to_json()
    for change in ({"honest": 3}, {"noise_multiplier": 0.5}, {"sensitivity": 0.1}):
        other = SharedNoise(**NOISE.to_terms() | change)
        assert terms(noise=other).hash() != agreed.hash()
    for damage in ({"honest": 0}, {"extra": 1}, {"sensitivity": math.inf}, {"honest": "x"}):
        data = agreed.to_json()
        data["noise"] = data["noise"] | damage
        with pytest.raises(WireError):
            Terms.from_json(data)


def test_nothing_of_an_offer_is_left_for_the_next_round():
    kept = offered()
    make_private(kept, *site(), **CALL)
    offer_noise(kept, terms(noise=None), Sums, {})
    assert set(kept.state.config_records) == {privacy.STATE_KEY}
    assert issubclass(NotPrivate, SwarmError)
