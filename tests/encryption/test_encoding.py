"""Lanes made as they are sealed are the lanes that `encode` gives, in groups of any width."""

from __future__ import annotations

import numpy as np
from encryption_support import deterministic, public_keys, round_context
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm.encryption import Codec, Layer, SharedNoise, ThresholdScheme

NOISE = SharedNoise(noise_multiplier=1.0, sensitivity=0.1, honest=2)


@st.composite
def cases(draw):
    """A codec, an update, layers of it, and metrics."""
    noise = draw(st.sampled_from([None, NOISE]))
    codec = Codec(
        members=4,
        clip=draw(st.sampled_from([1.0, 1e3])),
        max_weight=100.0,
        noise=noise,
        precision=draw(st.sampled_from([8, 12, 16, 24])) if noise is None else 16,
    )
    sizes = draw(st.lists(st.integers(0, 60), min_size=1, max_size=5).filter(sum))
    bounds = st.sampled_from([None, 0.01, 0.5])
    layers = [Layer(size=size, clip=draw(bounds), largest=draw(bounds)) for size in sizes]
    update = np.random.default_rng(draw(st.integers(0, 2**32))).normal(size=sum(sizes))
    metrics = draw(st.lists(st.floats(-10, 10), max_size=3)) if noise is None else []
    return codec, update, layers if noise is None else [], metrics


@given(cases(), st.integers(1, 100))
@settings(deadline=None)
def test_groups_of_any_width_are_the_lanes(case, width):
    codec, update, layers, metrics = case
    told = {"weight": 7.5, "metrics": metrics, "layers": layers}
    lanes = codec.encode(update, **told, random=deterministic("coins"))
    encoding = codec.encoding(update, **told, random=deterministic("coins"))
    groups = list(encoding.groups(width))
    assert encoding.size == lanes.size == codec.header_lanes(len(metrics)) + update.size
    assert {len(group) for group in groups[:-1]} <= {width}
    assert np.array_equal(np.concatenate(groups), lanes)


@given(st.integers(1, 300_000), st.sampled_from([8, 12, 16, 24]))
@settings(max_examples=15, deadline=None)
def test_sealing_an_encoding_gives_the_bytes_of_sealing_its_lanes(size, precision):
    codec = Codec(members=4, precision=precision)
    update = np.linspace(-0.01, 0.01, size)
    payloads = [
        ThresholdScheme(parameters=codec.ring).seal(
            make(update, weight=3.0, metrics=[0.5], random=deterministic("coins")),
            context=round_context(),
            sender=0,
            holders=public_keys(3),
            threshold=2,
            random=deterministic("key"),
        )
        for make in (codec.encode, codec.encoding)
    ]
    assert payloads[0] == payloads[1]


def test_an_encoding_read_again_is_rounded_anew():
    codec = Codec(members=4)
    encoding = codec.encoding(np.full(1000, 0.123), weight=1.0)
    (one,), (two,) = encoding.groups(2000), encoding.groups(2000)
    assert not np.array_equal(one, two)
