"""Between a model and its vector: there and back, in the model's own dtypes."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flwr_swarm._exceptions import NonFiniteUpdate, UpdateMismatch
from flwr_swarm.protocol.terms import Terms
from flwr_swarm.protocol.update import (
    apply_mean,
    cast_like,
    check_model,
    difference,
    layers_of,
    trained_names,
)

floats = hnp.arrays(
    dtype=st.sampled_from(["float32", "float64"]),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, max_side=3),
    elements=st.integers(-1000, 1000).map(lambda v: v / 8),  # exact in both dtypes
)
counters = hnp.arrays(dtype="int64", shape=hnp.array_shapes(max_dims=1, max_side=3))
models = st.dictionaries(st.text(max_size=4), st.one_of(floats, counters), min_size=1, max_size=5)


@given(model=models, data=st.data())
def test_a_difference_that_is_applied_gives_the_trained_model(model: dict, data: st.DataObject):
    trained = {
        name: a + data.draw(st.integers(-5, 5)) if name in trained_names(model) else a + 1
        for name, a in model.items()
    }
    trained = {name: np.asarray(a, dtype=model[name].dtype) for name, a in trained.items()}
    back = apply_mean(model, difference(trained, model))
    for name, array in model.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        wanted = trained[name] if name in trained_names(model) else array
        np.testing.assert_array_equal(back[name], wanted)


@given(model=models, extra=st.integers(1, 3))
def test_a_mean_of_another_length_is_refused(model: dict, extra: int) -> None:
    size = sum(model[name].size for name in trained_names(model))
    with pytest.raises(UpdateMismatch):
        apply_mean(model, np.zeros(size + extra))


@given(model=models)
def test_casting_keeps_dtypes_and_rounds_counters(model: dict) -> None:
    drifted = {
        n: a.astype(np.float64) + (0.4 if a.dtype == np.int64 else 0) for n, a in model.items()
    }
    small = {n: a for n, a in model.items() if a.dtype != np.int64 or (np.abs(a) < 2**50).all()}
    cast = cast_like({n: drifted[n] for n in small}, model)
    for name, array in small.items():
        assert cast[name].dtype == array.dtype
        np.testing.assert_array_equal(cast[name], array)


names = st.sampled_from(["body.0.weight", "body.0.bias", "head.weight", "head.bias", "steps"])
patterns = st.sampled_from(["*", "body.*", "*.bias", "head.weight", "*0*", "steps", "tail.*"])
given_bounds = st.lists(
    st.tuples(patterns, st.floats(0.1, 9.0)), max_size=4, unique_by=lambda entry: entry[0]
).map(tuple)


@given(found=st.sets(names, min_size=1), layer_clips=given_bounds, entry_clips=given_bounds)
def test_the_first_pattern_that_matches_an_array_bounds_it_and_idle_ones_are_refused(
    found: set[str], layer_clips: Any, entry_clips: Any
) -> None:
    model = {n: np.zeros(3, np.int64 if n == "steps" else np.float32) for n in found | {"w"}}
    terms = Terms(
        encryption="threshold", members=4, layer_clips=layer_clips, entry_clips=entry_clips
    )
    trained = sorted(set(model) - {"steps"})

    def first(given: Any, name: str) -> str | None:
        return next((pattern for pattern, _ in given if fnmatchcase(name, pattern)), None)

    idle = [
        pattern
        for given in (layer_clips, entry_clips)
        for pattern, _ in given
        if pattern not in {first(given, name) for name in trained}
    ]
    if idle:
        with pytest.raises(UpdateMismatch, match="matches no trained array"):
            check_model(terms, model)
        return
    check_model(terms, model)
    layers = layers_of(terms, model)
    if not (layer_clips or entry_clips):
        assert layers == ()
        return
    for name, layer in zip(trained, layers, strict=True):
        assert layer.size == 3
        assert layer.clip == dict(layer_clips).get(first(layer_clips, name) or "none")
        assert layer.largest == dict(entry_clips).get(first(entry_clips, name) or "none")


def test_a_step_that_no_float64_holds_is_refused_by_name() -> None:
    model = {"w": np.array([1e308]), "v": np.zeros(1)}
    with pytest.raises(NonFiniteUpdate, match="'w' moved by more than a float64 holds"):
        difference({"w": np.array([-1e308]), "v": np.zeros(1)}, model)
