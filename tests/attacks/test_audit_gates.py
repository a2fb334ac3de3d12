"""The DP gates: silent on the product's own path, and none of six planted bugs gets past them."""

import math

import numpy as np
import pytest
import torch
from flwr.app import Context, RecordDict
from flwr_swarm_attacks.audit import bounds, observe, product_trainer
from flwr_swarm_attacks.gate import ALPHA, check_all
from flwr_swarm_attacks.gates_dp import audit_gate, dp_gates
from flwr_swarm_attacks.gates_noise import noise_variance_gate
from flwr_swarm_attacks.planted import BUGS
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from flwr_swarm._exceptions import ConfigurationError, GateTripped
from flwr_swarm.privacy import load_history, make_private


def gates(bug=make_private, *, canaries=1000):
    train = product_trainer()
    sites, sparse = (
        {
            name: observe(train, canaries=canaries, sparse=thin, make_private=bug)
            for name in ("site A", "site B")
        }
        for thin in (False, True)
    )
    return dp_gates(sites, sparse)


def test_the_product_trips_no_gate():
    results = gates() + gates(canaries=400)
    check_all(results)
    assert all(result.false_alarm <= ALPHA for result in results)
    assert all(result.power > 0.99 for result in results)


CAUGHT_BY = {
    "half the noise": {"DP audit", "noise variance", "noise variance with empty batches"},
    "accountant reset each round": {"DP audit"},
    "no clipping": {"DP audit"},
    "clipped after the noise": {"DP audit"},
    "one seed at two sites": {"noise independence of sites"},
    "skipped empty batches": {"noise variance with empty batches"},
}


@pytest.mark.parametrize("name", BUGS)
def test_every_planted_bug_trips_its_gate(name):
    results = gates(BUGS[name])
    tripped = {result.gate.split(",")[0] for result in results if result.tripped}
    assert CAUGHT_BY[name] <= tripped
    with pytest.raises(GateTripped, match="tripped"):
        check_all(results)


def test_bounds_stay_below_what_the_accountant_says_and_are_worth_something():
    seen = [observe(product_trainer(), canaries=1000, seed=seed) for seed in range(3)]
    found = [bounds(one.scores, alpha=0.05, delta=1e-5) for one in seen]
    assert all(f.highest <= one.epsilon for f, one in zip(found, seen, strict=True))
    # Claimed 4.4; the truth is 4.1. Over many seeds z is 3.4 +- 0.4, and Steinke's 1.4 +- 0.2.
    assert np.mean([f.z for f in found]) > 2.4
    assert np.mean([f.fdp for f in found]) > np.mean([f.steinke for f in found]) > 0.5


def test_canaries_are_accounted_like_patients_and_do_not_travel():
    kept, models = context(), []

    def train(site, make_private):
        model, optimizer, loader = small()
        private = make_private(
            site, model, optimizer, loader, epochs=1, noise_multiplier=2.0, budget=1.0
        )
        models.append(private[0])
        fit(*private)

    observe(train, context=kept, rounds=3, canaries=50)
    (charge,) = load_history(kept).charges
    assert (charge.steps, charge.sample_rate, charge.noise_multiplier) == (3, 1.0, 2.0)
    for model in models:
        assert list(model.state_dict()) == ["0.weight", "0.bias"]
        small()[0].load_state_dict(model.state_dict())


def test_what_the_model_computes_does_not_change_with_canaries():
    torch.manual_seed(3)
    inputs = torch.randn(20, 4)
    model, optimizer, loader = small()
    before = model(inputs).detach()
    outputs = []

    def train(site, make_private):
        private = make_private(
            site, model, optimizer, loader, epochs=1, noise_multiplier=1.0, budget=1.0
        )
        model.eval()
        with torch.no_grad():
            outputs.append(model(inputs))
        model.train()
        fit(*private)

    observe(train, rounds=1, canaries=10)
    assert torch.equal(outputs[0], before)


def test_an_adaptive_optimizer_is_audited_as_well():
    def train(site, make_private):
        model, _, loader = small()
        adam = torch.optim.Adam(model.parameters(), lr=0.01)
        fit(*make_private(site, model, adam, loader, epochs=1, noise_multiplier=2.0, budget=1.0))

    seen = observe(train, rounds=4, canaries=400)
    assert not audit_gate(seen).tripped
    assert bounds(seen.scores, alpha=0.05, delta=1e-5).z > 1


def test_a_loop_that_steps_its_own_optimizer_is_caught():
    def train(site, make_private):
        model, optimizer, loader = small()
        model, _, loader = make_private(
            site, model, optimizer, loader, epochs=1, noise_multiplier=2.0, budget=math.inf
        )
        fit(model, optimizer, loader)

    seen = observe(train, rounds=2, canaries=100)
    assert audit_gate(seen).tripped
    assert noise_variance_gate(seen.noise).tripped


@pytest.mark.parametrize("loop", ["no call", "no step", "no noise", "shared noise"])
def test_what_cannot_be_audited_is_refused(loop):
    def train(site, make_private):
        model, optimizer, loader = small()
        noise = {"no noise": 0.0, "shared noise": "shared"}.get(loop, 1.0)
        if loop == "no call":
            return
        make_private(
            site, model, optimizer, loader, epochs=1, noise_multiplier=noise, budget=math.inf
        )

    with pytest.raises(ConfigurationError, match=r"make_private|canary|to audit"):
        observe(train, rounds=1, canaries=10)


def context():
    return Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config={})


def small():
    model = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
    data = TensorDataset(torch.randn(20, 4), torch.ones(20))
    return model, torch.optim.SGD(model.parameters(), lr=0.1), DataLoader(data, 5, shuffle=True)


def fit(model, optimizer, loader):
    for x, y in loader:
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(model(x), y).backward()
        optimizer.step()
