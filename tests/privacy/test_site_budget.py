"""The site's own cap stands above a run config, which the relay writes."""

import pytest
from flwr.app import Context, RecordDict
from privacy_support import site, train

from flwr_swarm._exceptions import BudgetExhausted, ConfigurationError
from flwr_swarm.privacy import epsilon_spent, make_private


def context_with(**options):
    return Context(run_id=1, node_id=2, node_config=options, state=RecordDict(), run_config={})


@pytest.mark.parametrize("own", [0.01, "0.01"])
def test_the_lower_budget_counts(own):
    context = context_with(**{"swarm-budget": own})
    model, optimizer, loader = site()
    with pytest.raises(BudgetExhausted, match=r"budget 0\.01"):
        make_private(
            context, model, optimizer, loader, epochs=1, noise_multiplier=1.0, budget=1000.0
        )
    assert epsilon_spent(context) is None


def test_a_higher_cap_of_the_site_does_not_raise_the_budget():
    context = context_with(**{"swarm-budget": 1000.0})
    model, optimizer, loader = site()
    with pytest.raises(BudgetExhausted, match=r"budget 0\.01"):
        make_private(context, model, optimizer, loader, epochs=1, noise_multiplier=1.0, budget=0.01)


@pytest.mark.parametrize("own", ["much", 0, -1.0, "nan"])
def test_a_cap_that_caps_nothing_is_refused(own):
    with pytest.raises(ConfigurationError, match="swarm-budget"):
        make_private(
            context_with(**{"swarm-budget": own}), *site(), epochs=1, noise_multiplier=1, budget=8
        )


def test_within_the_cap_training_goes_on():
    context = context_with(**{"swarm-budget": 50.0})
    private = make_private(context, *site(), epochs=1, noise_multiplier=1.0, budget=1000.0)
    train(*private)
    assert 0 < epsilon_spent(context) <= 50
