"""The codec's promises: exact sums, bounded and unbiased rounding, nothing overflows silently."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from encryption_support import deterministic
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flwr_swarm._exceptions import (
    CapacityExceeded,
    ConfigurationError,
    NonFiniteUpdate,
    OpeningRejected,
    UpdateMismatch,
)
from flwr_swarm.encryption import Codec
from flwr_swarm.encryption.quantise import factors_to_ball, round_to_grid, scaled
from flwr_swarm.encryption.randomness import Stream

finite = st.floats(-1e6, 1e6, allow_subnormal=True)


@st.composite
def cohorts(draw):
    count = draw(st.integers(1, 8))
    size = draw(st.integers(1, 40))
    metrics = draw(st.integers(0, 3))
    members = [
        (
            draw(hnp.arrays(np.float64, size, elements=finite)),
            draw(st.floats(2.0**-10, 65536.0)),
            draw(st.lists(st.floats(-(2.0**20), 2.0**20), min_size=metrics, max_size=metrics)),
        )
        for _ in range(count)
    ]
    capacity = draw(st.integers(count, 256))
    return Codec(members=capacity, clip=draw(st.floats(1e-3, 1e3))), members, size, metrics


def clipped(update: np.ndarray, clip: float) -> np.ndarray:
    """Clip to the L2 ball, in the plainest way."""
    norm = math.sqrt(sum(Fraction(float(x)) ** 2 for x in update))
    return update if norm <= clip else update * (clip / norm)


@given(cohorts(), st.integers(0, 2**32))
def test_mean_of_sums_is_the_weighted_mean_within_the_stated_error(cohort, seed):
    codec, members, size, metrics = cohort
    random = deterministic(seed)
    encoded = [codec.encode(u, weight=w, metrics=m, random=random) for u, w, m in members]
    for lanes in encoded:
        head = codec.header_lanes(metrics)
        assert lanes.dtype == np.uint32
        assert lanes.shape == (head + size,)
        assert lanes[head:].max() < 1 << codec.value_bits
        assert lanes.max() < 1 << 16 or codec.value_bits > 16
    total = np.sum([lanes.astype(np.uint64) for lanes in encoded], axis=0)

    mean = codec.decode(total, included=len(members), size=size, metrics=metrics)

    weights = [Fraction(round(Fraction(w) * 2**16), 2**16) for _, w, _ in members]
    whole = sum(weights)
    expected = sum(
        clipped(u, codec.clip) * float(w) for (u, _, _), w in zip(members, weights, strict=True)
    ) / float(whole)
    assert np.abs(mean.update - expected).max() <= mean.rounding_error * (1 + 1e-9)
    assert mean.weight == whole
    # Half a unit of 25 fractional bits for each member.
    tolerance = Fraction(len(members), 2**26) / whole
    for index in range(metrics):
        exact = sum(w * Fraction(m[index]) for (_, _, m), w in zip(members, weights, strict=True))
        got = Fraction(mean.metrics[index])
        assert abs(got - exact / whole) <= tolerance + abs(exact / whole) * Fraction(1, 2**52)


@given(cohorts())
def test_sum_equals_the_fixed_point_mean_bit_for_bit_and_in_any_order(cohort):
    codec, members, size, metrics = cohort
    encoded = [
        codec.encode(u, weight=w, metrics=m, random=deterministic(i))
        for i, (u, w, m) in enumerate(members)
    ]
    reference = codec.fixed_point_mean(encoded, size=size, metrics=metrics)
    total = np.sum([lanes.astype(np.uint64) for lanes in reversed(encoded)], axis=0)
    mean = codec.decode(total, included=len(members), size=size, metrics=metrics)
    assert mean.update.tobytes() == reference.update.tobytes()
    assert (mean.weight, mean.metrics, mean.clipped) == (
        reference.weight,
        reference.metrics,
        reference.clipped,
    )


@given(st.integers(1, 256), st.sampled_from([1.0, -1.0]), st.floats(1.0, 2.0**31))
@example(87, 1.0, 1579758086.4335175)  # a bound in floats refused this honest sum
@example(1, -1.0, 5.0)  # a product of bounds just above its power of two
def test_no_lane_overflows_when_everyone_sends_the_extreme(members, sign, max_weight):
    bound = 2.0**45 / max_weight
    codec = Codec(members=members, max_weight=max_weight, metric_bound=bound)
    update = np.array([sign * 1e300, 0.0])
    lanes = codec.encode(update, weight=max_weight, metrics=[sign * bound])
    total = lanes.astype(np.uint64) * np.uint64(members)
    assert total.max() < 1 << 24
    mean = codec.decode(total, included=members, size=2, metrics=1)
    assert mean.update[0] == pytest.approx(sign * codec.clip, rel=2**-14)
    assert mean.update[1] == 0.0
    assert mean.metrics[0] == pytest.approx(sign * bound, rel=2**-20)
    assert mean.clipped == members


@given(st.integers(1, 256), st.data())
def test_integers_of_the_grid_survive_exactly(members, data):
    """With full weight and no clipping the grid is known: L steps from 0 to clip."""
    codec = Codec(members=members, clip=float(2**20), max_weight=1.0, metric_bound=1.0)
    index = data.draw(st.integers(-codec.levels // 2, codec.levels // 2))
    update = np.array([index * codec.clip / codec.levels, 0.0])
    lanes = codec.encode(update, weight=1.0)
    steps = lanes[codec.header_lanes(0) :].astype(np.int64) - codec.levels
    # A quotient may miss the integer by the last bit, and then go to a neighbour.
    assert abs(steps[0] - index) <= 1
    assert steps[1] == 0
    if float(update[0] / codec.clip * codec.levels).is_integer():
        assert steps[0] == index


@pytest.mark.parametrize("fraction", [0.5, 0.03, 0.97, -0.25, -70.6])
def test_rounding_is_unbiased(fraction):
    codec = Codec(members=256, clip=1.0e9, max_weight=1.0, metric_bound=1.0)
    count = 200_000
    update = np.full(count, fraction * codec.clip / codec.levels)
    lanes = codec.encode(update, weight=1.0, random=deterministic("rounding"))
    steps = lanes[codec.header_lanes(0) :].astype(np.int64) - codec.levels
    assert set(np.unique(steps)) == {math.floor(fraction), math.floor(fraction) + 1}
    # Hoeffding: an unbiased rounding fails with probability 1e-12.
    assert abs(steps.mean() - fraction) < math.sqrt(math.log(2e12) / (2 * count))
    # Neighbours are rounded independently: no run of equal coins.
    up = steps - math.floor(fraction) - (fraction - math.floor(fraction))
    assert abs(np.mean(up[1:] * up[:-1])) < math.sqrt(2 * math.log(2e12) / count)


@given(hnp.arrays(np.float64, 5, elements=st.floats(-1e308, 1e308)), st.floats(1e-6, 1e6))
def test_clipping_bounds_the_norm_and_keeps_the_direction(update, clip):
    factors = factors_to_ball(update, clip)
    bounded, clipped = scaled(update, factors), factors is not None
    quarter = update / 4  # the norm of the whole may be too large for a float
    before, after = math.hypot(*quarter), math.hypot(*bounded)
    assert after <= clip * (1 + 1e-12)
    if clipped:
        assert after >= clip * (1 - 1e-12)
        assert np.allclose(bounded / clip, quarter / before, rtol=1e-12, atol=1e-300)
    else:
        assert bounded is update
        assert 4 * before <= clip * (1 + 1e-12)


def test_rounding_never_leaves_the_grid():
    """Not even when floats put a clipped entry a little beyond it."""
    out = np.empty(2000, np.uint32)
    update = np.tile([1.0, -1.0], 1000)
    coins = Stream(random=deterministic("grid"))
    round_to_grid(update, factors=None, scale=127.5, levels=127, coins=coins, out=out)
    assert set(out.tolist()) == {0, 254}


@pytest.mark.parametrize("clip", [0.0, -1.0, math.nan, math.inf])
def test_bad_clip_is_refused(clip):
    with pytest.raises(ConfigurationError, match=r"clip must be > 0.*choose"):
        Codec(members=4, clip=clip)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"members": 0}, "members"),
        ({"members": 257}, "members.*257"),
        ({"members": 4, "max_weight": 0.5}, "max_weight"),
        ({"members": 4, "max_weight": 2.0**31 + 1}, "max_weight"),
        ({"members": 4, "max_weight": math.nan}, "max_weight"),
        ({"members": 4, "metric_bound": 0.0}, "metric_bound"),
        ({"members": 4, "metric_bound": 2.0**31}, "metric_bound"),
        ({"members": 4, "metric_bound": math.nan}, "metric_bound"),
    ],
)
def test_parameters_without_capacity_are_refused(arguments, names):
    with pytest.raises(ConfigurationError, match=names):
        Codec(**arguments)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["update", "weight", "metric"])
def test_non_finite_is_refused_and_no_other_value_is_shown(bad, where):
    update = np.full(100, 0.123456)
    if where == "update":
        update[[17, 60]] = bad
    with pytest.raises(NonFiniteUpdate) as caught:
        Codec(members=4).encode(
            update,
            weight=bad if where == "weight" else 10.0,
            metrics=[0.5, bad if where == "metric" else 0.5],
        )
    assert "0.123456" not in str(caught.value)
    assert str(bad) in str(caught.value)
    if where == "update":
        assert "2 of 100" in str(caught.value)
        assert "at 17" in str(caught.value)


@pytest.mark.parametrize(
    ("weight", "metrics", "remedy"),
    [
        (65537.0, [], r"65537.*raise SwarmStrategy\(max_weight"),
        (0.0, [], "examples"),
        (-1.0, [], "examples"),
        (2.0**-20, [], "examples"),
        (1.0, [2.0**20 + 1], "raise Codec"),
        (1.0, [-(2.0**20) - 1], "raise Codec"),
    ],
)
def test_over_capacity_is_refused(weight, metrics, remedy):
    with pytest.raises(CapacityExceeded, match=remedy):
        Codec(members=4).encode(np.ones(3), weight=weight, metrics=metrics)


@pytest.mark.parametrize(
    "update", [np.ones(3, np.float32), np.ones((3, 1)), np.ones(0), np.ones(3, np.int64)]
)
def test_other_dtypes_and_shapes_are_refused(update):
    with pytest.raises(UpdateMismatch, match="vector of float64"):
        Codec(members=4).encode(update, weight=1.0)


@given(hnp.arrays(np.uint64, 12, elements=st.integers(0, 2**24 - 1)), st.integers(1, 4))
def test_sums_that_no_encoding_gives_are_rejected_or_in_bounds(sums, included):
    codec = Codec(members=4)
    try:
        mean = codec.decode(sums, included=included, size=4, metrics=1)
    except OpeningRejected:
        return
    bound = included * codec.clip * codec.max_weight / mean.weight
    assert np.abs(mean.update).max() <= bound * (1 + 1e-12)
    assert 0 < mean.weight <= included * codec.max_weight


def test_decode_refuses_another_length_and_too_many_members():
    codec = Codec(members=4)
    lanes = codec.encode(np.ones(3), weight=1.0).astype(np.uint64)
    with pytest.raises(UpdateMismatch):
        codec.decode(lanes, included=1, size=4)
    with pytest.raises(ConfigurationError):
        codec.decode(lanes, included=5, size=3)
    with pytest.raises(OpeningRejected):
        codec.decode(lanes * np.uint64(3), included=1, size=3)


@given(st.integers(1, 256))
def test_terms_name_all_that_members_must_share(members):
    codec = Codec(members=members)
    other = Codec(members=members, clip=codec.clip * 2)
    assume(codec != other)
    assert codec.to_terms() != other.to_terms()
    assert codec.to_terms()["value_bits"] == codec.value_bits
