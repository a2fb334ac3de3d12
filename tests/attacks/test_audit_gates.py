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
from flwr_swarm_attacks.gates_project import ROUNDS
from flwr_swarm_attacks.planted import BUGS
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from flwr_swarm._exceptions import ConfigurationError, GateTripped
from flwr_swarm.privacy import load_history, make_private

RARE = 1e-11
"""What a gate may err with where a test must not fail by luck: canaries and noise are drawn afresh.

The gates themselves err with ALPHA, which would be once in some thousand runs of these tests.
"""


def observed(bug=make_private, *, canaries=1000):
    train = product_trainer()
    return [
        {
            name: observe(train, rounds=ROUNDS, canaries=canaries, sparse=thin, make_private=bug)
            for name in ("site A", "site B")
        }
        for thin in (False, True)
    ]


@pytest.mark.parametrize("canaries", [600, 1000])
def test_the_product_trips_no_gate(canaries):
    """Nine gates, each with a false alarm of RARE.

    The power depends on how many canaries the coins choose. That 218 of 600 or fewer are left out
    has probability 1e-11, and the weakest gate (independence of rounds) then still has 0.997.
    """
    seen = observed(canaries=canaries)
    check_all(dp_gates(*seen, alpha=RARE))
    results = dp_gates(*seen)
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
    """Missed with probability 1e-32 at most, however many canaries are chosen.

    That is for empty batches (chi-square over the binomial number of them); 1e-34 for the reset
    accountant, 1e-47 for half the noise (noncentral t).
    """
    results = dp_gates(*observed(BUGS[name]))
    tripped = {result.gate.split(",")[0] for result in results if result.tripped}
    assert CAUGHT_BY[name] <= tripped
    with pytest.raises(GateTripped, match="tripped"):
        check_all(results)


def test_bounds_stay_below_what_the_accountant_says_and_are_worth_something():
    """Claimed 8.40; the truth is 7.81 (24 steps at noise 3). All margins are 10 deviations."""
    seen = [observe(product_trainer(), rounds=ROUNDS, canaries=4000) for _ in range(3)]
    for one in seen:
        assert bounds(one.scores, alpha=RARE, delta=1e-5).highest <= one.epsilon
    # Over many draws z is 7.5 +- 0.2, f-DP 4.3 +- 0.3, Steinke's 3.1 +- 0.2, the lead 1.2 +- 0.2.
    found = [bounds(one.scores, alpha=0.05, delta=1e-5) for one in seen]
    assert np.mean([f.z for f in found]) > 6
    assert np.mean([f.fdp for f in found]) > np.mean([f.steinke for f in found]) > 1


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

    seen = observe(train, rounds=4, canaries=1000)
    assert not audit_gate(seen, alpha=RARE).tripped
    # The truth is mu = 1; the bound on mu is 0.9 +- 0.06, and epsilon = 1 is mu = 0.27.
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
