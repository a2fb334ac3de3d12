"""How much noise an epsilon takes, by the accountants that the software itself charges with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
from flwr.app import Context, RecordDict

from flwr_swarm import SharedNoise
from flwr_swarm.flower.founding import Founding
from flwr_swarm.flower.replay import Spec
from flwr_swarm.flower.sharing import offer_noise
from flwr_swarm.privacy import Charge, History
from flwr_swarm.privacy.offer import read_offer
from flwr_swarm.protocol.terms import Terms
from flwr_swarm.protocol.types import Policy

from .utility_task import CLIP, Task

_HALVINGS = 18


def fresh_context(site: int = 0) -> Context:
    """A site's context before its first round."""
    return Context(
        run_id=1, node_id=2, node_config={"partition-id": site}, state=RecordDict(), run_config={}
    )


def own_noise(task: Task, epsilon: float) -> float:
    """Least noise multiplier at which all of a task's steps cost at most `epsilon`."""
    return _gaussian(epsilon, task.delta, task.recipe.steps)


@cache
def _gaussian(epsilon: float, delta: float, steps: int) -> float:
    def spent(sigma: float) -> float:
        charge = Charge(noise_multiplier=sigma, sample_rate=1.0, steps=steps)
        return History().charged(charge, delta=delta).epsilon() or 0.0

    return _least(spent, epsilon)


def shared_noise(task: Task, epsilon: float) -> SharedNoise:
    """The noise that members must share for all of a task's steps to cost at most `epsilon`.

    Charged as for the longest model that the steps can lead to: storing a model in float32 moves
    it a little, and the accountant counts that.
    """
    recipe, start = task.recipe, task.initial(0)
    size = sum(value.numel() for value in start.values())
    longest = math.sqrt(sum(float(v.double().square().sum()) for v in start.values()))
    longest += 1.0 + recipe.steps * recipe.private_lr * CLIP
    model = {"w": np.full(size, longest / math.sqrt(size), dtype=np.float32)}

    def noise(sigma: float) -> SharedNoise:
        return SharedNoise(
            noise_multiplier=sigma, sensitivity=recipe.private_lr * CLIP, honest=task.honest
        )

    def spent(sigma: float) -> float:
        terms, policy = agreed(task, noise(sigma))
        context = fresh_context()
        offer_noise(context, terms, policy, model)
        offer = read_offer(context)
        assert offer is not None
        charge = offer.charge(weight=float(task.largest), sample_rate=1.0)
        history = History().charged(replace(charge, steps=recipe.steps), delta=task.delta)
        return history.epsilon() or 0.0

    return noise(_least(spent, epsilon))


def agreed(task: Task, noise: SharedNoise) -> tuple[Terms, Policy]:
    """What a swarm of the task's sites agrees on, as `SwarmStrategy` founds it."""
    founding, sites = founding_of(task, noise), len(task.sites)
    terms = founding.terms(sites, "num-examples", Spec(name="FedAvg", parameters={}))
    return terms, founding.policy(sites, sites, terms)


def founding_of(task: Task, noise: SharedNoise) -> Founding:
    """The choices with which such a swarm is founded."""
    return Founding(
        encryption="threshold",
        clip=noise.sensitivity,
        max_weight=float(task.largest),
        threshold=None,
        min_included=None,
        fixed_leader=None,
        epsilon_cap=None,
        seal_seconds=600,
        merge_seconds=60,
        noise=noise,
    )


def _least(spent: Callable[[float], float], epsilon: float) -> float:
    """Least sigma, to five digits, at which `spent` is at most `epsilon`."""
    low, high = 0.0, 1.0
    while spent(high) > epsilon:
        low, high = high, 2 * high
        if high > 1e6:
            raise ValueError(f"no noise makes these steps cost at most epsilon {epsilon}")
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if spent(middle) <= epsilon else (middle, high)
    return high
