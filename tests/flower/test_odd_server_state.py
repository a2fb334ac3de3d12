"""A relay offers server state that the agreed strategy never had: nobody trains on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from flwr.serverapp.strategy import FedAdam, FedAvgM
from hypothesis import given
from hypothesis import strategies as st
from swarm_bench import Bench, inner

from flwr_swarm._exceptions import ModelRefused
from flwr_swarm.flower.records import STATE, array_record
from flwr_swarm.flower.replay import check_state, replay
from flwr_swarm.protocol.hashing import model_hash
from flwr_swarm.protocol.memory import Parent
from flwr_swarm.protocol.terms import Terms
from flwr_swarm.protocol.types import Phase

MODEL = {"weight": np.ones((2, 3), np.float32), "bias": np.zeros(3)}
ADAM = Terms(
    encryption="threshold",
    members=4,
    strategy="FedAdam",
    parameters={"eta": 0.1, "eta_l": 0.1, "beta_1": 0.9, "beta_2": 0.99, "tau": 0.001},
)
MOMENTUM = Terms(
    encryption="threshold",
    members=4,
    strategy="FedAvgM",
    parameters={"server_learning_rate": 1.0, "server_momentum": 0.9},
)
PLAIN = Terms(encryption="threshold", members=4)
MOMENTS = {f"{slot}/{n}": np.ones_like(MODEL[n]) for slot in ("m_t", "v_t") for n in MODEL}
STATES: list[tuple[Terms, dict[str, Any]]] = [
    (ADAM, MOMENTS),
    (MOMENTUM, {"momentum/000000": MODEL["bias"], "momentum/000001": MODEL["weight"]}),
]


@pytest.mark.parametrize("terms", [ADAM, MOMENTUM, PLAIN], ids=lambda terms: terms.strategy)
def test_the_state_of_a_fresh_strategy_is_taken(terms: Terms) -> None:
    check_state(terms, MODEL, {})


@given(
    which=st.sampled_from(STATES),
    at=st.integers(0, 3),
    how=st.sampled_from(["gone", "renamed", "longer", "nan", "infinite", "text", "extra"]),
)
def test_only_state_that_the_strategy_can_step_from_is_taken(
    which: tuple[Terms, dict[str, Any]], at: int, how: str
) -> None:
    terms, state = which
    check_state(terms, MODEL, state)
    name = sorted(state)[at % len(state)]
    array, rest = state[name], {n: a for n, a in state.items() if n != name}
    odd = {
        "gone": {},
        "renamed": {name + "x": array},
        "longer": {name: np.append(array, 1.0)},
        "nan": {name: np.full_like(array, np.nan)},
        "infinite": {name: np.full_like(array, np.inf)},
        "text": {name: array.astype(str)},
        "extra": {name: array, "v_t/more": array},
    }[how]
    with pytest.raises(ModelRefused):
        check_state(terms, MODEL, rest | odd)
    with pytest.raises(ModelRefused):
        check_state(PLAIN, MODEL, state)


def test_a_negative_second_moment_is_refused() -> None:
    terms, state = STATES[0]
    with pytest.raises(ModelRefused):
        check_state(terms, MODEL, state | {"v_t/bias": np.full(3, -1.0)})


@pytest.mark.parametrize("kind", [FedAdam, FedAvgM])
def test_a_first_round_on_odd_state_is_refused_and_the_swarm_goes_on(
    bench: Callable[..., Bench], kind: Any
) -> None:
    """Without the refusal it is certified, and no later round ever leads to a model."""
    options = {"server_momentum": 0.9} if kind is FedAvgM else {}
    swarm = bench(nodes=3, strategy=inner(3, kind, **options))

    def odd(member: int, message: Message) -> Message:
        message.content[STATE] = array_record({"m_t/bias": np.ones(1)})
        return message

    swarm.to_member["seal"] = odd
    assert swarm.round() is None
    assert {error.split(":")[0] for error in swarm.errors.values()} == {"ModelRefused"}
    assert swarm.view().current.phase is Phase.IDLE
    swarm.to_member.clear()
    assert swarm.round() is not None
    assert swarm.round() is not None


@pytest.mark.parametrize("terms", [ADAM, MOMENTUM, PLAIN], ids=lambda terms: terms.strategy)
def test_a_step_does_not_depend_on_the_order_of_a_models_arrays(terms: Terms) -> None:
    """A model's hash does not either, so a relay could reorder them unseen."""
    state: dict[str, Any] = {}
    model, other = MODEL, dict(reversed(MODEL.items()))
    for number in (1, 2):
        lanes = sum(
            terms.codec()
            .encode(np.linspace(-1, 1, 9) * number, weight=3.0, metrics=[], random=bytes)
            .astype(np.uint64)
            for _ in range(3)
        )
        steps = []
        for arrays in (model, other):
            parent = Parent(round=number, hash=model_hash(arrays, state), model=arrays, state=state)
            steps.append(replay(terms, number, parent, (), lanes, 3))
        (model, state), (other, twin) = steps
        assert model_hash(model, state) == model_hash(other, twin)
        assert list(other) == list(reversed(model))
