"""What the chain alone tells: models that can be computed, and a site's size through epsilon."""

import math

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg
from flwr_swarm_attacks.chain import batches_told, confirmed, epsilons, models_named
from flwr_swarm_attacks.recorder import chain_observer
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from flwr_swarm import SwarmStrategy, make_private, swarm_mod
from flwr_swarm.encryption import Codec
from flwr_swarm.privacy.accounting import Charge, History
from flwr_swarm.protocol.types import EPSILON_UNIT
from flwr_swarm.testing import InProcessGrid

SITES, ROWS, ROUNDS, SIGMA, BATCH, DELTA = 4, 6, 2, 1.5, 10, 1e-5
STEP = 2.0**-10
SIZES = (15, 30, 47, 95)
START = np.zeros(ROWS, np.float32)


def run(app, folder, model, **options):
    strategy = SwarmStrategy(
        FedAvg(min_available_nodes=SITES, min_train_nodes=SITES, fraction_evaluate=0.0),
        evidence=folder, **options,
    )  # fmt: skip
    strategy.start(InProcessGrid(app, nodes=SITES), ArrayRecord(model), num_rounds=ROUNDS)
    return chain_observer(folder)


def counting_app(member, step):
    """A site's update counts its members, row by row, in steps."""
    app = ClientApp(mods=[swarm_mod])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        site = int(context.node_config["partition-id"])
        model = message.content["arrays"].to_torch_state_dict()
        moved = {"w": model["w"] + step * torch.from_numpy(member[site].astype(np.float32))}
        metrics = MetricRecord({"num-examples": 1})
        return Message(
            RecordDict({"arrays": ArrayRecord(moved), "metrics": metrics}), reply_to=message
        )

    return app


def guessed(member, step):
    """For each row of each site the model after round 1 with it and without it."""
    for site in range(SITES):
        for row in range(ROWS):
            pair = []
            for inside in (True, False):
                one = member.copy()
                one[site, row] = inside
                mean = (one.astype(np.float64) * step).sum(axis=0) / SITES
                pair.append({"w": (START.astype(np.float64) + mean).astype(np.float32)})
            yield tuple(pair)


@pytest.fixture(scope="module")
def member():
    return np.random.default_rng(0).random((SITES, ROWS)) < 0.5


@pytest.mark.parametrize(("shift", "found"), [(0.0, True), (0.37, False)])
def test_only_rounding_keeps_a_model_from_being_confirmed(member, tmp_path, shift, found):
    """Updates that lie on the encoding's grid are not rounded; then the chain's hash tells all.

    Off the grid a guess is no model that can come out: whole steps are summed, and the guess is of
    1.37 of them for each record. So this cannot fail by luck.
    """
    levels = Codec(members=SITES).levels
    step = STEP * (1 + shift)
    model = {"w": torch.from_numpy(START)}
    seen = run(counting_app(member, step), tmp_path, model, clip=levels * STEP, max_weight=1.0)
    assert len(models_named(seen)) == ROUNDS
    score = confirmed(seen, guessed(member, step))
    truth = np.where(member.reshape(-1), 1.0, -1.0)
    assert np.array_equal(score, truth if found else np.zeros_like(truth))


def private_app():
    app = ClientApp(mods=[swarm_mod])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        records = SIZES[int(context.node_config["partition-id"])]
        model = nn.Linear(2, 1)
        model.load_state_dict(message.content["arrays"].to_torch_state_dict())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        data = TensorDataset(torch.ones(records, 2), torch.zeros(records, 1))
        model, optimizer, loader = make_private(
            context, model, optimizer, DataLoader(data, batch_size=BATCH, shuffle=True),
            epochs=1, noise_multiplier=SIGMA, budget=100.0, delta=DELTA,
        )  # fmt: skip
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
        metrics = MetricRecord({"num-examples": 1})
        arrays = ArrayRecord(dict(model.state_dict()))
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    return app


def test_a_sites_size_can_be_read_off_its_epsilon(tmp_path):
    """To within a batch, by whoever knows the run config: SECURITY and the disclosures say so."""
    seen = run(private_app(), tmp_path, nn.Linear(2, 1).state_dict(), max_weight=1.0)
    found = set()
    for spent in epsilons(seen).values():
        assert len(spent) == ROUNDS
        (batches,) = batches_told(
            spent[-1], rounds=ROUNDS, epochs=1, noise_multiplier=SIGMA, delta=DELTA
        )
        found.add(batches)
    assert found == {math.ceil(size / BATCH) for size in SIZES}


@settings(deadline=None, max_examples=8)
@given(st.integers(1, 300), st.integers(1, 20), st.integers(1, 3), st.sampled_from([0.7, 1.1, 3.0]))
def test_batches_are_told_by_any_epsilon(batches, rounds, epochs, sigma):
    charge = Charge(
        noise_multiplier=sigma, sample_rate=1 / batches, steps=rounds * epochs * batches
    )
    epsilon = History(charges=(charge,), delta=DELTA, rounds=rounds).epsilon()
    told = batches_told(
        math.ceil(epsilon * EPSILON_UNIT), rounds=rounds, epochs=epochs, noise_multiplier=sigma,
        delta=DELTA,
    )  # fmt: skip
    assert batches in told
