"""Noise that members add together: its distribution, its room in lanes, and what else is told."""

import hashlib
import math
import os

import numpy as np
import pytest
from encryption_support import deterministic
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import ive
from scipy.stats import chi2
from scipy.stats import skellam as reference

from flwr_swarm._exceptions import ConfigurationError, UpdateMismatch
from flwr_swarm.encryption import PRECISIONS, Codec, SharedNoise
from flwr_swarm.encryption.noise import TAIL, _tails, skellam
from flwr_swarm.encryption.randomness import Stream


def stream(seed):
    return Stream(random=lambda count: hashlib.shake_256(str(seed).encode()).digest(count))


@pytest.mark.parametrize("variance", [0.3, 4.0, 1000.0, 1e6])
def test_tails_are_those_of_the_skellam_distribution(variance):
    tails = _tails(variance)[::-1]
    steps = np.arange(1, min(len(tails) - 20, math.ceil(10 * math.sqrt(variance)) + 5))
    mass = tails[steps - 1] - tails[steps]
    assert mass == pytest.approx(2 * ive(steps, variance), rel=1e-9)
    assert 1 - tails[0] == pytest.approx(ive(0, variance), rel=1e-9)
    assert tails[-1] < 1e-60  # beyond, nothing is ever drawn


@pytest.mark.parametrize("variance", [0.5, 30.0, 1e5])
def test_draws_have_the_distribution(variance):
    """Within the distance that 200,000 right draws exceed with probability 1e-9 (DKW)."""
    draws = np.sort(skellam(variance, 200_000, stream(variance)))
    points = np.arange(draws[0] - 1, draws[-1] + 2)
    found = np.searchsorted(draws, points, side="right") / len(draws)
    expected = reference.cdf(points, variance / 2, variance / 2)
    assert np.abs(found - expected).max() < math.sqrt(math.log(2 / 1e-9) / 4e5)


def noisy(members=4, honest=2, precision=16, max_weight=64.0, **changes):
    fields = {"noise_multiplier": 1.0, "sensitivity": 0.5} | changes
    noise = SharedNoise(honest=honest, **fields)
    return Codec(clip=0.5, max_weight=max_weight, members=members, precision=precision, noise=noise)


@settings(max_examples=25)
@given(
    st.integers(1, 64), st.integers(1, 8), st.floats(0.2, 8), st.floats(0.01, 1), st.integers(0, 99)
)  # fmt: skip
def test_a_sum_is_the_mean_and_the_noise_of_all_shares(included, honest, sigma, size, seed):
    """The noise of `honest` shares is sigma times what one record may move; of more, more."""
    assume(honest <= included)
    codec = noisy(64, honest, noise_multiplier=sigma, sensitivity=size)
    update = np.random.default_rng(seed).uniform(-1, 1, 4000) * 0.4 / math.sqrt(4000)
    lanes = [codec.encode(update, weight=30.0, random=os.urandom) for _ in range(included)]
    mean = codec.decode(np.sum(lanes, axis=0, dtype=np.uint64), included=included, size=4000)
    assert (mean.weight, mean.clipped, mean.metrics) == (30.0 * included, 0, ())
    noise = (mean.update - update) * mean.weight
    expected = (sigma * size) ** 2 * included / honest
    expected += included / 6 * (codec.grid.largest / codec.grid.top) ** 2  # rounding, at most 1/4
    ratio = np.square(noise).sum() / expected
    # 25 examples, drawn afresh. The noise is not quite normal: hence two per cent more room.
    assert chi2.ppf(1e-12, 4000) * 0.98 < ratio < chi2.isf(1e-12, 4000) * 1.02


@pytest.mark.parametrize(("precision", "max_weight"), [(8, 4.0), (12, 30.0), (24, 2.0**12)])
def test_so_it_is_at_other_precisions(precision, max_weight):
    """Where there is room for the noise at all: the fewer bits, the nearer to the weights."""
    codec = noisy(4, 3, precision, max_weight, noise_multiplier=0.5)
    update, included = np.full(4000, 0.4 / math.sqrt(4000)), 4
    lanes = [
        codec.encode(update, weight=max_weight, random=deterministic(f"{precision}/{member}"))
        for member in range(included)
    ]
    mean = codec.decode(np.sum(lanes, axis=0, dtype=np.uint64), included=included, size=4000)
    noise = np.square((mean.update - update) * mean.weight).sum()
    step = codec.grid.largest / codec.grid.top
    least = (0.5 * 0.5) ** 2 * included / 3
    assert chi2.ppf(1e-9, 4000) * 0.98 < noise / least
    assert noise / (least + included / 4 * step**2) < chi2.isf(1e-9, 4000) * 1.02


def test_noise_of_more_levels_than_can_be_drawn_is_refused_with_a_remedy():
    with pytest.raises(ConfigurationError, match=r"levels wide, of at most .* use precision=16"):
        noisy(precision=24, max_weight=4.0)


@given(
    st.integers(1, 256), st.integers(1, 256), st.floats(0.01, 100), st.floats(1e-3, 10),
    st.floats(1e-2, 10), st.floats(1, 1e5), st.sampled_from(PRECISIONS),
)  # fmt: skip
def test_room_for_noise_is_checked_before_a_round(members, honest, sigma, size, clip, weight, bits):
    """The largest entry and TAIL deviations of a share fit a lane, or the codec is refused."""
    noise = SharedNoise(noise_multiplier=sigma, sensitivity=size, honest=honest)
    try:
        codec = Codec(clip=clip, max_weight=weight, members=members, precision=bits, noise=noise)
    except ConfigurationError as error:
        assert "levels" in str(error)  # noqa: PT017
        return
    grid = codec.grid
    assert grid.top + TAIL * math.sqrt(grid.share_variance) <= codec.levels
    assert members * 2 * codec.levels < 1 << codec.ring.lane_bits
    assert grid.share_variance <= 2.0**40
    assert grid.sensitivity >= 1
    # The noise of `honest` members in a sum over what one record moves.
    total = math.sqrt(honest * grid.share_variance)
    assert total / grid.sensitivity == pytest.approx(sigma)


def test_extreme_updates_and_noise_stay_in_their_lanes():
    codec = noisy(256, 1, noise_multiplier=30.0)
    update = np.zeros(50_000)
    update[0] = 1e9  # clipped to the largest entry there is
    lanes = codec.encode(update, weight=64.0)
    entries = lanes[codec.header_lanes(0) :].astype(np.int64)
    assert entries.min() > 0
    assert entries.max() < 2 * codec.levels  # nothing had to be cut
    assert abs(entries[0] - codec.levels - codec.grid.top) < 7 * math.sqrt(
        codec.grid.share_variance
    )


def test_nothing_is_told_beside_the_noisy_update():
    codec = noisy()
    long = np.full(10, 99.0)
    assert codec.encode(long, weight=3.0)[3] == 0  # whether it was clipped
    assert Codec(clip=0.5, max_weight=64.0, members=4).encode(long, weight=3.0)[3] == 1
    with pytest.raises(UpdateMismatch, match="without noise"):
        codec.encode(long, weight=3.0, metrics=[0.1])


def test_two_encodings_of_one_update_differ_and_without_noise_nothing_changed():
    update = np.zeros(2000)
    first, second = (noisy().encode(update, weight=3.0) for _ in range(2))
    assert (first != second).mean() > 0.99
    plain = Codec(clip=0.5, max_weight=64.0, members=4)
    assert plain.grid.top == plain.levels
    assert set(plain.encode(update, weight=3.0)[4:].tolist()) == {plain.levels}


@pytest.mark.parametrize(
    "wrong", [{"noise_multiplier": 0.0}, {"sensitivity": math.nan}, {"honest": 0}]
)
def test_noise_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        SharedNoise(**{"noise_multiplier": 1.0, "sensitivity": 1.0, "honest": 2} | wrong)
