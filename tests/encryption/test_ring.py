"""The ring: SEAL's products against the definition, errors, scaling and the bound on noise."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from encryption_support import Q, deterministic
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import ConfigurationError, OpeningRejected
from flwr_swarm.encryption import RingParameters, ring
from flwr_swarm.encryption.cipher import encrypt
from flwr_swarm.encryption.packing import pack, unpack, without_filling
from flwr_swarm.encryption.parameters import DEFAULT
from flwr_swarm.encryption.randomness import Stream, uniform
from flwr_swarm.encryption.scaling import scale_down, scale_up
from flwr_swarm.encryption.wire import read_ciphertext

N = 4096
SEED = bytes(range(32))
PRIME = RingParameters(plain_modulus=1032193, lane_bits=9, lanes=2)


def smallest_root() -> int:
    """The smallest primitive 8192nd root of unity mod q, which SEAL's transform uses."""
    root = next(r for g in range(2, 100) if pow(r := pow(g, (Q - 1) // (2 * N), Q), N, Q) == Q - 1)
    square, best, power = root * root % Q, root, root
    for _ in range(N):
        power = power * square % Q
        best = min(best, power)
    return best


def value_at(coefficients: list[int], x: int) -> int:
    total = 0
    for coefficient in reversed(coefficients):
        total = (total * x + coefficient) % Q
    return total


@pytest.mark.parametrize(("first", "count"), [(0, 1), (5, 2), (3, 7), (0, 16)])
def test_products_are_those_of_the_definition(first, count):
    """NTT form: slot i is the value at psi^(2*rev(i)+1), rev reversing 12 bits."""
    secret = uniform(deterministic("ring"), N)
    psi = smallest_root()
    with ring.Multiplier(seed=SEED, factor=secret) as multiplier:
        products = multiplier.products(first, count)
    assert products.shape == (count, N)
    assert products.max() < Q
    for row in (0, count - 1):
        common = ring.common_polynomial(SEED, first + row)
        for slot in (0, 1, 2, 1000, N - 1):
            x = pow(psi, 2 * int(f"{slot:012b}"[::-1], 2) + 1, Q)
            expected = int(common[slot]) * int(secret[slot]) % Q
            assert value_at(products[row].tolist(), x) == expected


def test_without_anonymous_files_the_products_are_the_same_and_no_file_stays(monkeypatch, tmp_path):
    secret = uniform(deterministic("ring"), N)
    with ring.Multiplier(seed=SEED, factor=secret) as multiplier:
        expected = multiplier.products(0, 3)
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with ring.Multiplier(seed=SEED, factor=secret) as multiplier:
        assert np.array_equal(multiplier.products(0, 3), expected)
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_common_polynomials_differ_by_chunk_and_round():
    seen = {ring.common_polynomial(seed, k).tobytes() for seed in (SEED, bytes(32)) for k in (0, 1)}
    assert len(seen) == 4


def test_errors_are_centred_binomial():
    count = 400_000
    errors = Stream(random=deterministic("errors")).coins(count).errors()
    assert np.abs(errors).max() <= 42
    # Variance 21; the fourth moment of 84 half-coins is 3*21^2 - 21/2.
    assert abs(errors.mean()) < 7.5 * math.sqrt(21 / count)
    assert abs(np.square(errors).mean() - 21) < 7.5 * math.sqrt((2 * 21**2) / count)
    expected = [math.comb(84, 42 + k) / 2**84 for k in range(-42, 43)]
    counts = np.bincount(errors + 42, minlength=85)
    kept = np.array(expected) * count > 20
    chi = np.sum(
        (counts[kept] - np.array(expected)[kept] * count) ** 2 / (np.array(expected)[kept] * count)
    )
    assert chi < kept.sum() + 8 * math.sqrt(2 * kept.sum())


def errors_inside(seed: str) -> np.ndarray:
    """c - a*s - round(q/t*m) of a fresh ciphertext."""
    random = deterministic(seed)
    secret = uniform(random, N)
    lanes = np.frombuffer(random(8 * N * 4), dtype="<u4") >> np.uint32(8)
    data = encrypt(
        lanes, secret=secret, seed=SEED, stream=Stream(random=random), parameters=DEFAULT
    )
    with ring.Multiplier(seed=SEED, factor=secret) as multiplier:
        products = multiplier.products(0, 4)
    plain = scale_up(pack(lanes, DEFAULT), DEFAULT)
    residues = read_ciphertext(data, DEFAULT).residues
    rest = [
        (int(c) - int(p) - int(m)) % Q
        for c, p, m in zip(residues.flat, products.flat, plain.flat, strict=True)
    ]
    return np.array([r - Q if r > Q // 2 else r for r in rest])


def test_every_ciphertext_carries_fresh_errors():
    one, two = errors_inside("one"), errors_inside("two")
    assert max(np.abs(one).max(), np.abs(two).max()) <= 42
    for errors, variance in ((one, 21), (two, 21), (one - two, 42)):
        assert np.square(errors).mean() > 0.9 * variance
    # Chunks and members are independent: correlations of 16384 pairs stay within 7.5 sigma.
    for left, right in ((one, two), (one[:N], one[N : 2 * N])):
        assert abs(np.mean(left * right)) < 7.5 * 21 / math.sqrt(left.size)


def test_no_chunk_repeats_the_polynomial_of_another():
    """With the a_k of one chunk used twice, the difference of two chunks would be the messages'."""
    random = deterministic("chunks")
    chunks = 2 * ring.GROUP + 3
    data = encrypt(
        np.zeros(chunks * 2 * N, np.uint32),
        secret=uniform(random, N),
        seed=SEED,
        stream=Stream(random=random),
        parameters=DEFAULT,
    )
    residues = read_ciphertext(data, DEFAULT).residues
    assert len(residues) == chunks
    for one in range(chunks):
        for two in range(one):
            apart = (residues[one] - residues[two]).view(np.int64)
            # Errors alone differ by 84 at most; unrelated residues almost never do.
            assert np.mean(np.abs(apart) <= 84) < 0.01


@pytest.mark.parametrize("parameters", [DEFAULT, PRIME])
@given(data=st.data())
def test_scaling_is_exact_and_survives_all_noise_within_the_bound(parameters, data):
    t = parameters.plain_modulus
    messages = data.draw(
        st.lists(
            st.one_of(st.sampled_from([0, 1, t // 2, t - 1]), st.integers(0, t - 1)),
            min_size=1,
            max_size=30,
        )
    )
    included = data.draw(st.integers(1, 256))
    bound = parameters.noise_bound(included)
    noise = [data.draw(st.integers(-bound, bound)) for _ in messages]
    scaled = scale_up(np.array(messages), parameters)
    assert scaled.tolist() == [(2 * Q * m + t) // (2 * t) for m in messages]
    noisy = np.array([(s + e) % Q for s, e in zip(scaled.tolist(), noise, strict=True)], np.uint64)
    assert scale_down(noisy, included=included, parameters=parameters).tolist() == messages


@given(st.integers(0, 2**48 - 1), st.integers(1, 256), st.sampled_from([-1, 1]))
def test_noise_beyond_the_bound_is_rejected(message, included, sign):
    scaled = int(scale_up(np.array([message]), DEFAULT)[0])
    noisy = np.array([(scaled + sign * (DEFAULT.noise_bound(included) + 1)) % Q], np.uint64)
    with pytest.raises(OpeningRejected, match="noise"):
        scale_down(noisy, included=included, parameters=DEFAULT)


@given(st.integers(1, 256))
def test_the_noise_bound_covers_honest_sums_and_stays_below_half_a_step(included):
    bound = DEFAULT.noise_bound(included)
    assert bound + 1 < Q // (2 * 2**48)
    rounding = (included + 1) / 2
    # Either certain, or Hoeffding's bound for 84*included fair coins is below 2^-128.
    coins = bound - rounding
    tail = math.log(2) - 2 * coins**2 / (84 * included)
    assert coins >= 42 * included or tail <= -128 * math.log(2)


@given(st.lists(st.integers(0, 2**24 - 1), min_size=1, max_size=20_000))
@settings(max_examples=20)
def test_packing_round_trip(lanes):
    array = np.array(lanes, dtype=np.uint32)
    packed = pack(array, DEFAULT)
    assert packed.shape == (DEFAULT.chunks(len(lanes)), N)
    assert packed.max() < 2**48
    sums = np.empty(DEFAULT.lanes * packed.size, dtype=np.uint64)
    unpack(packed, DEFAULT, out=sums)
    assert without_filling(sums, len(lanes)).tolist() == lanes


@pytest.mark.parametrize(
    "arguments",
    [
        {"plain_modulus": 2**50},
        {"plain_modulus": 2**47},
        {"lane_bits": 25},
        {"lanes": 0},
        {"lane_bits": 0},
        {"plain_modulus": 2**48 - 59},
        {"plain_modulus": 2**60, "lane_bits": 30},
    ],
)
def test_rings_that_cannot_decrypt_are_refused(arguments):
    with pytest.raises(ConfigurationError):
        RingParameters(**arguments)
