"""Rounds, refusals, crashes and restarts in any order: the budget is never overspent or lost."""

import math

import pytest
import torch
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from privacy_support import context, opacus_epsilon, site, train, weights

from flwr_swarm._exceptions import BudgetExhausted
from flwr_swarm.privacy import epsilon_spent, make_private

BUDGET = 6.0
DELTA = 1e-5


class Rounds(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.context = context()
        self.paid = []  # the test's own book: (noise multiplier, sample rate, steps)
        self.last = 0.0

    def expected(self, extra=()):
        return opacus_epsilon([*self.paid, *extra], DELTA)

    @rule(
        noise=st.sampled_from([0.6, 1.0, 3.0]),
        batch=st.sampled_from([10, 20, 60]),
        epochs=st.integers(1, 3),
        steps_done=st.integers(0, 3),
    )
    def one_round(self, noise, batch, epochs, steps_done):
        model, optimizer, loader = site(batch_size=batch)
        plan = (noise, 1 / len(loader), epochs * len(loader))
        before, state = weights(model), repr(self.context.state)
        call = {"epochs": epochs, "noise_multiplier": noise, "budget": BUDGET, "delta": DELTA}
        if self.expected([plan]) > BUDGET:
            with pytest.raises(BudgetExhausted, match="nothing was trained"):
                make_private(self.context, model, optimizer, loader, **call)
            assert repr(self.context.state) == state
            assert torch.equal(weights(model), before)
            return
        model, optimizer, loader = make_private(self.context, model, optimizer, loader, **call)
        self.paid.append(plan)
        # The charge stands whether the round completes or dies on the way.
        for (x, y), _ in zip(loader, range(steps_done), strict=False):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    @rule()
    def restart(self):
        message = recorddict_to_proto(self.context.state)
        bytes_on_disk = message.SerializeToString()
        self.context = context(recorddict_from_proto(type(message).FromString(bytes_on_disk)))

    @precondition(lambda self: self.paid)
    @rule()
    def replay_after_a_crash_counts_twice(self):
        noise, rate, steps = self.paid[-1]
        model, optimizer, loader = site(batch_size=math.ceil(60 * rate))
        if self.expected([self.paid[-1]]) > BUDGET:
            return
        make_private(
            self.context, model, optimizer, loader,
            epochs=steps // len(loader), noise_multiplier=noise, budget=BUDGET, delta=DELTA,
        )  # fmt: skip
        self.paid.append(self.paid[-1])

    @invariant()
    def the_books_agree(self):
        spent = epsilon_spent(self.context)
        if not self.paid:
            assert spent is None
            return
        assert spent == pytest.approx(self.expected(), rel=1e-9)
        assert self.last <= spent <= BUDGET
        self.last = spent


Rounds.TestCase.settings = settings(max_examples=25, stateful_step_count=10, deadline=None)
TestRounds = Rounds.TestCase


def test_full_rounds_until_the_budget_stops_them():
    """The same without choices: some rounds pass, one is refused, and the refusal is final."""
    kept, rounds = context(), 0
    while True:
        model, optimizer, loader = site()
        before = weights(model)
        try:
            model, optimizer, loader = make_private(
                kept, model, optimizer, loader,
                epochs=2, noise_multiplier=1.0, budget=BUDGET, delta=DELTA,
            )  # fmt: skip
        except BudgetExhausted:
            assert torch.equal(weights(model), before)
            break
        assert train(model, optimizer, loader, epochs=2) == 2 * len(loader)
        rounds += 1
    assert rounds >= 1
    assert epsilon_spent(kept) <= BUDGET
