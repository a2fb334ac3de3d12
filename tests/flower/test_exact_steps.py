"""From one model to the next: encrypted sums lead where plain ones do, bit for bit.

Each precision, 2 to 256 members, each strategy that works on sums, and models with whatever torch
puts into a state dict: 0-d and empty arrays, counters, masks, three widths of floats.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from encryption_support import (
    deterministic,
    open_directly,
    openings_of,
    round_context,
    seal_all,
)
from flwr.serverapp.strategy import (
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedProx,
    FedYogi,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flwr_swarm import SwarmStrategy
from flwr_swarm.encryption import PRECISIONS, Codec
from flwr_swarm.encryption.layers import parts_of
from flwr_swarm.flower.records import array_record, numpy_arrays
from flwr_swarm.flower.replay import build, step
from flwr_swarm.protocol.hashing import model_hash
from flwr_swarm.protocol.memory import Parent
from flwr_swarm.protocol.terms import Terms
from flwr_swarm.protocol.update import check_model, difference, layers_of

STRATEGIES: dict[str, Any] = {
    "FedAvg": FedAvg,
    "FedProx": lambda: FedProx(proximal_mu=0.1),
    "FedAvgM": lambda: FedAvgM(server_learning_rate=0.7, server_momentum=0.9),
    "FedAdam": lambda: FedAdam(eta=0.01),
    "FedYogi": lambda: FedYogi(eta=0.01),
    "FedAdagrad": lambda: FedAdagrad(eta=0.01),
}
LAYOUT = (("loss", 0), ("per class", 2))
BOUNDS: dict[str, dict[str, Any]] = {
    "one clip": {},
    "bounds by array": {"layer_clips": {"bn.*": 0.5}, "entry_clips": {"*weight*": 0.03}},
}


def model(seed: int = 0) -> dict[str, np.ndarray]:
    """One array of each kind that a state dict may hold."""
    rng = np.random.default_rng(seed)
    return {
        "conv.weight": rng.normal(size=(3, 2, 2)).astype(np.float32),
        "bn.weight": np.array(1.5, np.float32),
        "bn.running_mean": rng.normal(size=4),
        "bn.num_batches_tracked": np.array(2**60 + 1, np.int64),
        "half.weight": rng.normal(size=3).astype(np.float16),
        "empty": np.zeros((0, 7), np.float32),
        "mask": np.array([True, False, True]),
        "bytes": np.arange(5, dtype=np.uint8),
    }


def trained(before: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """The model after some training, its counters too."""
    rng = np.random.default_rng(seed)
    return {
        name: (a + rng.normal(scale=0.02, size=a.shape)).astype(a.dtype)
        if a.dtype.kind == "f"
        else np.asarray(a ^ 1 if a.dtype.kind != "b" else ~a, a.dtype)
        for name, a in before.items()
    }


def through_flower(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As they come out of a Flower message."""
    return numpy_arrays(array_record(arrays))


def parent_of(number: int, model: dict[str, Any], state: dict[str, Any]) -> Parent:
    return Parent(round=number, hash=model_hash(model, state), model=model, state=state)


def encoded(terms: Terms, before: dict[str, Any], count: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng([seed, count])
    return [
        terms.codec().encode(
            difference(through_flower(trained(before, seed + member)), before),
            weight=float(rng.integers(1, 101)),
            metrics=list(rng.normal(size=3)),
            layers=layers_of(terms, before),
            random=deterministic(f"{seed}/{member}"),
        )
        for member in range(count)
    ]


def assert_same(one: Any, other: Any) -> None:
    """Models, state and metrics, bit for bit."""
    assert model_hash(one.model, one.state) == model_hash(other.model, other.state)
    assert dict(one.metrics) == dict(other.metrics)
    assert (one.clipped, one.rounding_error) == (other.clipped, other.rounding_error)


@settings(max_examples=25)
@given(
    bits=st.sampled_from(PRECISIONS),
    count=st.one_of(st.integers(2, 20), st.integers(21, 256)),
    name=st.sampled_from(sorted(STRATEGIES)),
    bounds=st.sampled_from(sorted(BOUNDS)),
    seed=st.integers(0, 2**16),
)
@example(bits=8, count=16, name="FedAvg", bounds="bounds by array", seed=1)
@example(bits=8, count=256, name="FedAdam", bounds="one clip", seed=2)
@example(bits=12, count=17, name="FedAvgM", bounds="bounds by array", seed=3)
@example(bits=16, count=256, name="FedYogi", bounds="one clip", seed=4)
@example(bits=24, count=256, name="FedAdagrad", bounds="bounds by array", seed=5)
def test_two_encrypted_rounds_lead_where_plain_sums_lead(
    bits: int, count: int, name: str, bounds: str, seed: int
) -> None:
    terms = SwarmStrategy(
        STRATEGIES[name](), precision=bits, clip=1.0, max_weight=100.0, **BOUNDS[bounds]
    ).terms(count)
    before, state = through_flower(model(seed)), {}
    check_model(terms, before)
    for number in (1, 2):
        parent = parent_of(number, before, state)
        lanes = encoded(terms, before, count, seed + 1000 * number)
        plain = np.sum(lanes, axis=0, dtype=np.uint64)
        opened = open_directly(lanes, terms.codec().ring, seed=f"{seed}/{number}")
        reference = step(build(terms), terms, number, parent, LAYOUT, plain, count)
        taken = step(build(terms), terms, number, parent, LAYOUT, opened, count)
        assert_same(taken, reference)
        for array, old in zip(taken.model.values(), before.values(), strict=True):
            assert (array.dtype, array.shape) == (old.dtype, old.shape)
            if old.dtype.kind != "f":
                assert array.tobytes() == old.tobytes(), "buffers stay, to the last of 64 bits"
        before, state = through_flower(taken.model), taken.state


@settings(max_examples=10)
@given(
    bits=st.sampled_from(PRECISIONS),
    count=st.integers(2, 6),
    name=st.sampled_from(sorted(STRATEGIES)),
    seed=st.integers(0, 2**16),
)
def test_so_they_do_with_shared_keys_and_any_openings(
    bits: int, count: int, name: str, seed: int
) -> None:
    """The whole scheme: keys dealt to holders, and the sum opened by some of them."""
    terms = SwarmStrategy(STRATEGIES[name](), precision=bits, max_weight=100.0).terms(count)
    before = through_flower(model(seed))
    lanes, scheme, threshold = encoded(terms, before, count, seed), terms.scheme(), count // 2 + 1
    sealed = seal_all(scheme, lanes, holders=count, threshold=threshold, seed=seed)
    opened = scheme.open(
        scheme.merge([one.payload for one in sealed]),
        openings_of(scheme, sealed, holders=count, who=range(count - threshold, count)),
        context=round_context(),
        threshold=threshold,
        included=count,
    )
    plain = np.sum(lanes, axis=0, dtype=np.uint64)
    parent = parent_of(1, before, {})
    assert_same(
        step(build(terms), terms, 1, parent, LAYOUT, opened, count),
        step(build(terms), terms, 1, parent, LAYOUT, plain, count),
    )


@given(
    bits=st.sampled_from(PRECISIONS),
    capacity=st.integers(1, 256),
    weights=st.lists(st.integers(1, 100), min_size=1, max_size=8),
    seed=st.integers(0, 2**16),
)
def test_a_mean_is_the_exact_quotient_of_integers_rounded_to_a_float(
    bits: int, capacity: int, weights: list[int], seed: int
) -> None:
    """A second reckoning, in fractions: sum of integers times the step, over the sum of weights."""
    count, before = len(weights), model(seed)
    terms = Terms(
        encryption="threshold",
        members=max(capacity, count),
        max_weight=100.0,
        precision=bits,
        entry_clips=(("conv*", 0.25),),
    )
    codec, layers = terms.codec(), layers_of(terms, before)
    encoded = [
        codec.encode(
            difference(trained(before, seed + i), before),
            weight=float(weight),
            layers=layers,
            random=deterministic(f"{seed}/{i}"),
        )
        for i, weight in enumerate(weights)
    ]
    size = sum(layer.size for layer in layers)
    mean = codec.fixed_point_mean(encoded, size=size, layers=layers)
    for part in parts_of(layers, size, codec.clip):
        for place in range(part.place.start, part.place.stop):
            whole = sum(int(lanes[len(lanes) - size + place]) - codec.levels for lanes in encoded)
            exact = whole * Fraction(part.largest) * 100 / codec.levels / sum(weights)
            # Three roundings of the step and one of the product.
            assert abs(Fraction(float(mean.update[place])) - exact) <= abs(exact) / 2**50


def test_a_codec_without_names_agrees_with_the_terms() -> None:
    terms = Terms(encryption="threshold", members=9, precision=12, clip=2.0, max_weight=50.0)
    assert terms.codec() == Codec(members=9, precision=12, clip=2.0, max_weight=50.0)
    assert terms.scheme().parameters == terms.codec().ring


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_a_counter_that_no_float_holds_survives_every_strategy(name: str) -> None:
    """2^60 + 1 would come back as 2^60 from a step in floats."""
    terms = SwarmStrategy(STRATEGIES[name](), max_weight=100.0).terms(4)
    before = model()
    parent = parent_of(1, before, {})
    sums = np.sum(encoded(terms, before, 3, 1), axis=0, dtype=np.uint64)
    taken = step(build(terms), terms, 1, parent, LAYOUT, sums, 3)
    assert int(taken.model["bn.num_batches_tracked"]) == 2**60 + 1
