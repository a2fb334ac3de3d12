"""Precisions: what lanes they take, that no sum overflows them, that rounding has no bias."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from encryption_support import deterministic, open_directly, public_keys, round_context
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import ConfigurationError, WireError
from flwr_swarm.encryption import PRECISIONS, Codec, Layer, Profile, ThresholdScheme
from flwr_swarm.encryption.packing import pack, unpack, without_filling

precisions = st.sampled_from(PRECISIONS)
members = st.integers(1, 256)
# Bytes a parameter that the README promises, for few members and for many.
MOST_BYTES = {8: (1.9, 2.5), 12: (2.5, 3.8), 16: (3.8, 3.8), 24: (7.5, 7.5)}


@given(precisions, members)
def test_a_profile_has_the_bits_that_were_asked_and_costs_no_more_than_promised(bits, count):
    profile = Profile(bits=bits, members=count)
    ring, few = profile.ring, count <= 16
    assert profile.value_bits >= bits
    assert profile.bytes_per_parameter <= MOST_BYTES[bits][not few]
    assert count * 2 * profile.levels < 1 << ring.lane_bits
    assert count * ((1 << profile.limb_bits) - 1) < 1 << ring.lane_bits
    assert ring.plain_modulus <= 1 << 48
    assert ring.noise_bound(count) < ring.half_step


@given(precisions, members, st.integers(1, 300_000))
def test_the_stated_bytes_are_those_of_a_payload(bits, count, size):
    """Of the residues, that is, up to one polynomial that is not full, and two at least."""
    codec = Codec(precision=bits, members=count)
    polynomials = codec.ring.chunks(codec.header_lanes(0) + size)
    exact = codec.profile.bytes_per_parameter * (codec.header_lanes(0) + size)
    assert 0 <= polynomials * 30720 - exact < 2 * 30720


@given(members)
def test_the_default_is_what_it_was_before_there_were_precisions(count):
    codec = Codec(members=count)
    assert (codec.precision, codec.value_bits) == (16, 24 - (count - 1).bit_length())
    assert codec.ring == ThresholdScheme().parameters
    assert not {"lanes", "precision"} & set(codec.to_terms())


@pytest.mark.parametrize("bits", [0, 10, 32, "16", 16.0, True, None])
def test_another_precision_is_refused(bits):
    with pytest.raises(ConfigurationError, match="precision must be one of 8, 12, 16, 24"):
        Codec(precision=bits, members=4)


@pytest.mark.parametrize("bits", PRECISIONS)
@pytest.mark.parametrize("count", [0, 257])
def test_more_members_than_fit_are_refused_at_once(bits, count):
    with pytest.raises(ConfigurationError, match=rf"members must be 1 to 256, got {count}"):
        Codec(precision=bits, members=count)


@given(precisions, members, st.sampled_from([1.0, -1.0]), st.floats(1.0, 2.0**31))
@example(8, 16, 1.0, 2.0**31)  # eight-bit limbs, all of them full
@example(24, 256, -1.0, 2.0**31)
def test_no_lane_overflows_when_everyone_sends_the_extreme(bits, count, sign, max_weight):
    bound = 2.0**45 / max_weight
    codec = Codec(precision=bits, members=count, max_weight=max_weight, metric_bound=bound)
    update = np.array([sign * 1e300, 0.0])
    lanes = codec.encode(update, weight=max_weight, metrics=[sign * bound])
    total = lanes.astype(np.uint64) * np.uint64(count)
    assert int(total.max()) < 1 << codec.ring.lane_bits
    mean = codec.decode(total, included=count, size=2, metrics=1)
    error = mean.rounding_error * (1 + 1e-9)
    assert mean.update.tolist() == [pytest.approx(sign * codec.clip, abs=error), 0.0]
    assert mean.metrics[0] == pytest.approx(sign * bound, rel=2**-20)
    assert mean.clipped == count


@given(precisions, members, st.lists(st.floats(2.0**-16, 65536.0), min_size=1, max_size=6))
def test_weights_and_metrics_are_exact_whatever_the_width_of_a_limb(bits, count, weights):
    codec = Codec(precision=bits, members=max(count, len(weights)))
    encoded = [codec.encode(np.ones(1), weight=w, metrics=[w / 7, -1.0]) for w in weights]
    mean = codec.fixed_point_mean(encoded, size=1, metrics=2)
    fixed = [Fraction(max(1, round(Fraction(w) * 2**16)), 2**16) for w in weights]
    assert mean.weight == sum(fixed)
    exact = sum(f * Fraction(w / 7) for f, w in zip(fixed, weights, strict=True)) / sum(fixed)
    # Half a unit of 25 fractional bits for each member, and the last bit of a float.
    tolerance = Fraction(len(weights), 2**26) / sum(fixed) + exact / 2**52
    assert abs(Fraction(mean.metrics[0]) - exact) <= tolerance
    assert mean.metrics[1] == -1.0


@given(precisions, members, st.data())
def test_packing_keeps_each_lane_whatever_its_width(bits, count, data):
    ring = Profile(bits=bits, members=count).ring
    size = data.draw(st.integers(1, 3 * ring.lanes_per_chunk))
    seed = data.draw(st.integers(0, 2**32))
    lanes = np.random.default_rng(seed).integers(0, 1 << ring.lane_bits, size, np.uint32)
    packed = pack(lanes, ring)
    assert packed.min() >= 0
    assert packed.max() < ring.plain_modulus
    sums = np.empty(ring.lanes * packed.size, dtype=np.uint64)
    unpack(packed, ring, out=sums)
    assert np.array_equal(without_filling(sums, size), lanes)


@pytest.mark.parametrize("bits", PRECISIONS)
@pytest.mark.parametrize("weight", [1.0, 0.375])
@pytest.mark.parametrize("fraction", [0.5, 0.03, 0.97, -0.25, -20.6])
def test_rounding_has_no_bias_at_any_precision(bits, weight, fraction):
    """Also of values far below a step, of which most members send none at all."""
    codec = Codec(precision=bits, members=16, clip=1.0e9, max_weight=1.0, metric_bound=1.0)
    count, largest = 100_000, 1.0e6
    update = np.full(count, fraction / weight * largest / codec.levels)
    layers = [Layer(size=count, largest=largest)]
    random = deterministic(f"{bits}/{fraction}")
    lanes = codec.encode(update, weight=weight, layers=layers, random=random)
    steps = lanes[codec.header_lanes(0) :].astype(np.int64) - codec.levels
    assert set(np.unique(steps)) == {math.floor(fraction), math.floor(fraction) + 1}
    # Hoeffding: an unbiased rounding fails with probability 1e-12, and the seed is fixed.
    assert abs(steps.mean() - fraction) < math.sqrt(math.log(2e12) / (2 * count))


@settings(max_examples=10)
@given(precisions, st.integers(2, 256), st.integers(0, 2**32))
@example(8, 16, 0)
@example(8, 256, 1)
@example(12, 16, 2)
@example(16, 256, 3)
@example(24, 256, 4)
def test_the_opened_sum_of_full_lanes_is_exact_up_to_the_most_members(bits, count, seed):
    """Every member's lanes as full as its bits allow: the sum opens to the last bit."""
    profile = Profile(bits=bits, members=count)
    rng, width = np.random.default_rng(seed), 200
    lanes = rng.integers(0, 1 << profile.value_bits, (count, width), np.uint32)
    lanes[:, ::3] = (1 << profile.value_bits) - 1
    opened = open_directly(lanes, profile.ring, seed=seed)
    assert np.array_equal(opened, lanes.sum(axis=0, dtype=np.uint64))


@pytest.mark.parametrize("bits", PRECISIONS)
def test_every_sum_of_2_to_20_members_opens_exactly(bits):
    for count in range(2, 21):
        codec = Codec(precision=bits, members=count, max_weight=float(count))
        rng = np.random.default_rng([bits, count])
        encoded = [
            codec.encode(
                rng.normal(size=30),
                weight=member + 1.0,
                metrics=[rng.normal()],
                random=deterministic(f"{bits}/{count}/{member}"),
            )
            for member in range(count)
        ]
        opened = open_directly(encoded, codec.ring, seed=f"{bits}/{count}")
        mean = codec.decode(opened, included=count, size=30, metrics=1)
        plain = codec.fixed_point_mean(encoded, size=30, metrics=1)
        assert mean.update.tobytes() == plain.update.tobytes()
        assert (mean.weight, mean.metrics) == (count * (count + 1) / 2, plain.metrics)


@given(st.permutations(PRECISIONS), st.integers(1, 16))
def test_a_ciphertext_of_one_precision_is_none_of_another(order, count):
    """A member that encodes otherwise is dropped by name, not added up into nonsense."""
    ours, theirs = (Profile(bits=bits, members=count).ring for bits in order[:2])
    scheme = ThresholdScheme(parameters=theirs)
    sealed = scheme.seal(
        np.zeros(9, np.uint32),
        context=round_context(),
        sender=0,
        holders=public_keys(3),
        threshold=2,
    )
    if ours == theirs:
        return
    with pytest.raises(WireError, match="uses ring"):
        ThresholdScheme(parameters=ours).merge([sealed.payload])
