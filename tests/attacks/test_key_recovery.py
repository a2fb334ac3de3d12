"""Published CKKS floats give the key away; the exact sums of this project's rounds do not."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tenseal as ts
from flwr_swarm_attacks.key_recovery import (
    CkksParameters,
    chunk_of,
    open_with,
    recover_ckks_key,
    slots,
    solvable,
)
from flwr_swarm_attacks.key_recovery_threshold import recover_threshold_key
from flwr_swarm_attacks.ntt import ring, seal_prime
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.encryption import ThresholdScheme
from flwr_swarm.encryption.opening import recover_key
from flwr_swarm.encryption.parameters import DEFAULT, DEGREE, MODULUS
from flwr_swarm.encryption.ring import Multiplier
from flwr_swarm.encryption.wire import read_aggregate

sys.path.insert(0, str(Path(__file__).parent.parent / "encryption"))
from encryption_support import openings_of, round_context, seal_all

NVFLARE = CkksParameters()
SLOTS = NVFLARE.degree // 2


def federation(bits=NVFLARE.bits, degree=NVFLARE.degree):
    context = ts.context(
        ts.SCHEME_TYPE.CKKS, poly_modulus_degree=degree, coeff_mod_bit_sizes=list(bits)
    )
    context.global_scale = NVFLARE.scale
    return context


def encrypted_sum(context, sites, seed, count=SLOTS):
    """What a federation's server holds of one chunk of a model: the sum of the sites' uploads."""
    rng = np.random.default_rng(seed)
    total = ts.ckks_vector(context, rng.normal(size=count) * 0.05)
    for _ in range(sites - 1):
        total = total + ts.ckks_vector(context, rng.normal(size=count) * 0.05)
    return total


def solved(context, sites, seed, parameters=NVFLARE):
    """Two sums that give as many equations as unknowns, and the key that they give.

    A small prime is not enough for one pair in five hundred, NVFlare's for one in 3 * 10^8.
    """
    count = parameters.degree // 2
    while True:
        sums = [encrypted_sum(context, sites, seed + k, count) for k in range(2)]
        chunks = [chunk_of(one, one.decrypt()) for one in sums]
        if solvable(*chunks, parameters):
            return recover_ckks_key(*chunks, parameters)


@settings(deadline=None, max_examples=3)
@given(st.integers(1, 5), st.integers(0, 2**32 - 2))
def test_published_floats_of_two_sums_open_what_any_site_sends_later(sites, seed):
    context = federation()
    key = solved(context, sites, seed)
    assert set(np.unique(key)) == {-1, 0, 1}
    private = np.random.default_rng(seed).normal(size=SLOTS)
    upload = ts.ckks_vector(context, private)
    read = slots(open_with(key, upload.ciphertext()[0], NVFLARE), NVFLARE)
    assert np.abs(read - private).max() < 1e-6


def test_without_the_errors_in_the_floats_the_key_stays_hidden():
    """Floats rounded below the errors' size, or of other ciphertexts, explain no key."""
    context = federation()
    sums = [encrypted_sum(context, 3, k) for k in range(2)]
    floats = [np.array(one.decrypt()) for one in sums]
    rounded = [chunk_of(s, np.round(f, 6)) for s, f in zip(sums, floats, strict=True)]
    assert recover_ckks_key(*rounded, NVFLARE) is None
    swapped = [chunk_of(s, f) for s, f in zip(sums, floats[::-1], strict=True)]
    assert recover_ckks_key(*swapped, NVFLARE) is None
    doubled = [chunk_of(sums[0], floats[0])] * 2  # one equation twice
    assert recover_ckks_key(*doubled, NVFLARE) is None


def test_other_parameters_fall_as_well():
    small = CkksParameters(degree=4096, bits=(40, 20, 40), scale=2.0**20)
    context = ts.context(
        ts.SCHEME_TYPE.CKKS, poly_modulus_degree=4096, coeff_mod_bit_sizes=list(small.bits)
    )
    context.global_scale = small.scale
    assert solved(context, 2, 0, small) is not None


def test_a_chunk_that_is_not_full_is_refused():
    context = federation()
    one = encrypted_sum(context, 1, 0, count=100)
    with pytest.raises(ConfigurationError, match="the attack needs all"):
        recover_ckks_key(chunk_of(one, one.decrypt()), chunk_of(one, one.decrypt()))
    long = ts.ckks_vector(context, np.zeros(SLOTS + 1))
    with pytest.raises(ConfigurationError, match="2 ciphertexts"):
        chunk_of(long, long.decrypt())


@pytest.fixture(scope="module")
def swarm_round():
    """A merged ciphertext of two chunks, its sums, and what only the holders together know."""
    scheme, context = ThresholdScheme(), round_context()
    rng = np.random.default_rng(3)
    count = DEFAULT.lanes_per_chunk + 50
    lanes = [rng.integers(0, 2**20, count, dtype=np.uint32) for _ in range(3)]
    sealed = seal_all(scheme, lanes, holders=3, threshold=2)
    merged = scheme.merge([one.payload for one in sealed])
    key = recover_key(
        openings_of(scheme, sealed, holders=3, who=[0, 1]),
        context=context, threshold=2, included=3, parameters=DEFAULT,
    )  # fmt: skip
    return merged, np.sum(lanes, axis=0, dtype=np.uint64), context.common_seed(), key


def test_the_sums_of_a_round_do_not_give_its_key(swarm_round):
    merged, sums, seed, _ = swarm_round
    assert recover_threshold_key(merged, sums, seed=seed) is None


def test_with_the_errors_they_would(swarm_round):
    """The control: the equation is solved rightly, the errors alone are what is missing."""
    merged, sums, seed, key = swarm_round
    total = read_aggregate(merged, DEFAULT)
    with Multiplier(seed=seed, factor=key) as multiplier:
        product = multiplier.products(0, 1)[0]
    noisy = (total.residues[0].astype(object) - product.astype(object)) % MODULUS
    exact = sums[: DEFAULT.lanes_per_chunk].astype(object).reshape(DEGREE, 2)
    message = exact[:, 0] + (exact[:, 1] << 24)
    scaled = (message * MODULUS + DEFAULT.plain_modulus // 2) // DEFAULT.plain_modulus
    errors = (noisy - scaled + MODULUS // 2) % MODULUS - MODULUS // 2
    assert 0 < max(abs(errors)) < 3 * 50
    found = recover_threshold_key(merged, sums, seed=seed, errors=errors.astype(np.int64))
    assert np.array_equal(found, key)
    almost = errors.astype(np.int64)
    almost[7] += 1  # one error off by one hides the key again
    assert recover_threshold_key(merged, sums, seed=seed, errors=almost) is None


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([4, 16, 64]), st.integers(0, 99))
def test_the_transform_evaluates_at_the_odd_powers_and_turns_back(degree, seed):
    held = ring(degree, seal_prime(degree, 40, seed % 2))
    q, psi = held.modulus, int(held.powers[1])
    assert pow(psi, degree, q) == q - 1
    rng = np.random.default_rng(seed)
    polynomial = rng.integers(-q // 2 + 1, q // 2, degree)
    values = held.values(polynomial)
    for k in (0, 1, degree - 1):
        point = pow(psi, 2 * k + 1, q)
        assert values[k] == sum(int(c) * pow(point, i, q) for i, c in enumerate(polynomial)) % q
    assert list(held.coefficients(values)) == list(polynomial)


def test_the_primes_are_those_of_seal():
    """Known answers: the largest of their form below 2^40 and 2^60."""
    assert seal_prime(8192, 40, 0) == 1099511480321
    assert seal_prime(4096, 60, 0) == MODULUS
