"""A malicious leader's imprint: robs plain federated learning; a swarm's members refuse it."""

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.app import Message as FlowerMessage
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg
from flwr_swarm_attacks.crafting import CraftingGrid
from flwr_swarm_attacks.imprint import imprint, imprinted
from flwr_swarm_attacks.inversion_linear import layer_moves
from flwr_swarm_attacks.pictures import compare
from flwr_swarm_attacks.recorder import Recording
from flwr_swarm_attacks.views import SUM
from sklearn.datasets import load_digits
from torch import nn

from flwr_swarm import SwarmStrategy, swarm_mod
from flwr_swarm.protocol.quorum import smallest_threshold
from flwr_swarm.testing import InProcessGrid

SITES, VICTIM, ROWS = 4, 2, 16
FIRST_NODE = 1000
X = torch.tensor(load_digits().images / 16, dtype=torch.float32).flatten(1)
Y = torch.tensor(load_digits().target)
OUTSIDE = X[SITES * ROWS :]
"""Digits of no site, from which the attacker knows how bright digits are."""


def net():
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))


def site(k):
    rows = slice(ROWS * k, ROWS * (k + 1))
    return X[rows], Y[rows]


def client_app(*mods):
    """One step of SGD on all rows: the kindest case for an inversion."""
    app = ClientApp(mods=list(mods))

    @app.train()
    def train(message, context):
        x, y = site(int(context.node_config["partition-id"]))
        model = net()
        model.load_state_dict(message.content["arrays"].to_torch_state_dict())
        nn.functional.cross_entropy(model(x), y).backward()
        after = {n: (p - 0.1 * p.grad).detach() for n, p in model.named_parameters()}
        metrics = MetricRecord({"num-examples": len(x)})
        content = RecordDict({"arrays": ArrayRecord(after), "metrics": metrics})
        return FlowerMessage(content, reply_to=message)

    return app


def honest():
    torch.manual_seed(0)
    return {name: value.clone() for name, value in net().state_dict().items()}


def crafted():
    return imprint(honest(), OUTSIDE, first=("0.weight", "0.bias"), second="2.weight")


def run(strategy, app, *, initial=None, victims=(), rounds=2):
    grid = CraftingGrid(
        InProcessGrid(app, nodes=SITES), crafted(), victims={FIRST_NODE + v for v in victims}
    )
    start = ArrayRecord(honest() if initial is None else initial)
    result = strategy.start(grid, start, num_rounds=rounds)
    return Recording(
        crossings=grid.crossings,
        final=result.arrays,
        site_of=lambda node: node - FIRST_NODE,
        threshold=smallest_threshold(SITES),
    )


def fedavg():
    return FedAvg(min_available_nodes=SITES, min_train_nodes=SITES, fraction_evaluate=0.0)


def robbed(step, who, rows):
    """Share of digits that the crafted layer's update gives away."""
    moves = layer_moves(step, who, weight="0.weight", bias="0.bias")
    return compare(imprinted(*moves), rows).share


def everyone():
    return torch.cat([site(k)[0] for k in range(SITES)])


def test_a_server_of_plain_federated_learning_robs_every_site():
    view = run(fedavg(), client_app(), victims=range(SITES)).malicious_relay(crafted())
    assert set(view.answers) == set(range(SITES))
    assert view.refusals == {}
    shares = [robbed(view.steps[0], k, site(k)[0]) for k in range(SITES)]
    assert min(shares) > 0.6
    assert np.mean(shares) > 0.8


@pytest.mark.parametrize("victims", [{VICTIM}, set(range(SITES))])
def test_the_members_of_a_swarm_refuse_the_crafted_model(tmp_path, victims):
    strategy = SwarmStrategy(fedavg(), max_weight=100.0, evidence=tmp_path)
    view = run(strategy, client_app(swarm_mod), victims=victims).malicious_relay(crafted())
    refused = {site: error.split(":")[0] for site, error in view.refusals.items()}
    assert refused == dict.fromkeys(victims, "ModelRefused")
    assert view.answers == {}


def test_an_initial_model_that_is_crafted_robs_even_the_sum(tmp_path):
    """The limit of the defence: nobody can know a first model to be honest, members look at it.

    Encryption leaves the sum, and a linear layer's sum is enough. Noise is what helps.
    """
    strategy = SwarmStrategy(fedavg(), max_weight=100.0, evidence=tmp_path)
    leader = run(strategy, client_app(swarm_mod), initial=crafted(), rounds=1).leader_encrypted()
    assert robbed(leader.steps[0], SUM, everyone()) > 0.3
