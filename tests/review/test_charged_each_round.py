"""Under a budget, each round's update must have been charged, not only the first one's."""

from __future__ import annotations

from collections.abc import Callable

import apps
from flwr.app import Context, Message
from swarm_bench import Bench

from flwr_swarm import swarm_mod
from flwr_swarm.privacy import Charge, load_history
from flwr_swarm.privacy.accounting import save_history


def test_an_update_that_was_not_charged_is_not_sealed(bench: Callable[..., Bench]) -> None:
    charge_it = [True]

    def accountant(message: Message, context: Context, call_next: object) -> Message:
        if charge_it[0]:
            charge = Charge(noise_multiplier=4.0, sample_rate=0.1, steps=1)
            save_history(context, load_history(context).charged(charge, delta=1e-5))
        return call_next(message, context)

    swarm = bench(app=dict.fromkeys(range(3), apps.make_app(swarm_mod, accountant)), epsilon_cap=8)
    assert swarm.round() is not None
    charge_it[0] = False
    assert swarm.round() is None
    assert {error.split(":")[0] for error in swarm.errors.values()} == {"NotPrivate"}
    assert len(swarm.errors) == 3
