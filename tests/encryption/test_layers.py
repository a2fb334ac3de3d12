"""Arrays with bounds of their own: these hold, spare the others, and make rounding finer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from encryption_support import deterministic
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flwr_swarm._exceptions import ConfigurationError, UpdateMismatch
from flwr_swarm.encryption import PRECISIONS, Codec, Layer, SharedNoise
from flwr_swarm.encryption.layers import clip_parts, parts_of

CLIP = 8.0
bounds = st.one_of(st.none(), st.floats(1e-6, CLIP))
layers_of_updates = st.lists(
    st.builds(Layer, size=st.integers(0, 6), clip=bounds, largest=bounds), min_size=1, max_size=6
).filter(lambda layers: any(layer.size for layer in layers))


@st.composite
def bounded_updates(draw):
    layers = draw(layers_of_updates)
    size = sum(layer.size for layer in layers)
    return layers, draw(hnp.arrays(np.float64, size, elements=st.floats(-1e3, 1e3)))


def split(layers, vector):
    ends = np.cumsum([layer.size for layer in layers])
    return np.split(vector, ends[:-1])


@given(bounded_updates())
def test_every_bound_holds_after_clipping(case):
    layers, update = case
    bounded, clipped = clip_parts(update, parts_of(layers, update.size, CLIP), CLIP)
    fits = math.hypot(*update) <= CLIP
    for layer, before, after in zip(
        layers, split(layers, update), split(layers, bounded), strict=True
    ):
        clip = CLIP if layer.clip is None else layer.clip
        largest = CLIP if layer.largest is None else layer.largest
        assert math.hypot(*after) <= clip * (1 + 1e-12)
        assert np.abs(after).max(initial=0) <= largest * (1 + 1e-12)
        assert (np.abs(after) <= np.abs(before) * (1 + 1e-12)).all(), "nothing becomes longer"
        assert (after * before >= 0).all(), "nothing changes its sign"
        fits = fits and math.hypot(*before) <= clip and np.abs(before).max(initial=0) <= largest
    assert math.hypot(*bounded) <= CLIP * (1 + 1e-12)
    if fits:
        assert np.allclose(bounded, update, rtol=1e-12, atol=0)
    if not clipped:
        assert np.array_equal(bounded, update)


@given(st.floats(10.0, 1e6), st.sampled_from(["clip", "largest"]))
def test_one_array_that_is_far_too_long_does_not_shorten_the_others(length, kind):
    layers = [Layer(size=2, **{kind: 0.5}), Layer(size=2)]
    update = np.array([length, 0.0, 3.0, -4.0])
    bounded, clipped = clip_parts(update, parts_of(layers, 4, CLIP), CLIP)
    assert clipped
    assert bounded.tolist() == [pytest.approx(0.5), 0.0, 3.0, -4.0]


def test_an_array_is_clipped_in_its_own_direction():
    """Its L2 bound is no bound on single entries: (30, 40) becomes (0.3, 0.4), not (0.35, 0.35)."""
    parts = parts_of([Layer(size=2, clip=0.5)], 2, CLIP)
    bounded, _ = clip_parts(np.array([30.0, 40.0]), parts, CLIP)
    assert bounded.tolist() == pytest.approx([0.3, 0.4])


@given(
    bounded_updates(),
    st.sampled_from(PRECISIONS),
    st.lists(st.floats(1.0, 100.0), min_size=1, max_size=5),
    st.integers(0, 2**32),
)
def test_rounding_is_as_much_finer_as_an_array_is_bounded_lower(case, bits, weights, seed):
    layers, update = case
    codec = Codec(precision=bits, members=16, clip=CLIP, max_weight=100.0)
    random = deterministic(seed)
    encoded = [codec.encode(update, weight=w, layers=layers, random=random) for w in weights]
    mean = codec.fixed_point_mean(encoded, size=update.size, layers=layers)
    exact, _ = clip_parts(update, parts_of(layers, update.size, CLIP), CLIP)
    errors, squares = split(layers, np.abs(mean.update - exact)), 0.0
    for layer, error in zip(layers, errors, strict=True):
        finer = min(b for b in (CLIP, layer.clip, layer.largest) if b is not None) / CLIP
        # The step itself is a float, hence the last bits.
        assert (
            error.max(initial=0) <= mean.rounding_error * finer * (1 + 1e-6) + 1e-12 * CLIP * finer
        )
        squares += layer.size * (mean.rounding_error * finer) ** 2 / len(weights)
    assert mean.rounding_norm == pytest.approx(math.sqrt(squares) / 2)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(any), st.sampled_from(PRECISIONS))
def test_arrays_without_bounds_encode_as_if_they_were_one(sizes, bits):
    codec = Codec(precision=bits, members=4)
    update = np.linspace(-1, 1, sum(sizes))
    layers = [Layer(size=size) for size in sizes]
    one = codec.encode(update, weight=5.0, random=deterministic("same"))
    other = codec.encode(update, weight=5.0, layers=layers, random=deterministic("same"))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan, math.inf, 2 * CLIP])
@pytest.mark.parametrize("kind", ["clip", "largest"])
def test_a_bound_that_cannot_hold_is_refused(kind, bound):
    layers = [Layer(size=3, **{kind: bound})]
    with pytest.raises(ConfigurationError, match=r"layer '0' must be > 0 and at most clip=8"):
        Codec(members=4, clip=CLIP).encode(np.ones(3), weight=1.0, layers=layers)


def test_layers_of_another_length_are_refused():
    codec = Codec(members=4)
    with pytest.raises(UpdateMismatch, match="the layers hold 4 entries, the update 3"):
        codec.encode(np.ones(3), weight=1.0, layers=[Layer(size=4)])
    lanes = codec.encode(np.ones(3), weight=1.0).astype(np.uint64)
    with pytest.raises(UpdateMismatch, match="the layers hold 2 entries, the update 3"):
        codec.decode(lanes, included=1, size=3, layers=[Layer(size=2)])


def test_layers_beside_shared_noise_are_refused_by_name():
    noise = SharedNoise(noise_multiplier=1.0, sensitivity=0.1, honest=3)
    codec = Codec(members=4, clip=0.5, max_weight=8.0, noise=noise)
    with pytest.raises(ConfigurationError, match=r"beside shared noise.*leave layer_clips"):
        codec.encode(np.ones(3), weight=1.0, layers=[Layer(size=3, clip=0.1)])
