"""Arithmetic mod q is exact, any t shares recover, and t - 1 shares fit every secret."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from encryption_support import Q, deterministic
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.encryption import modular
from flwr_swarm.encryption.randomness import expand_public, public_matrix_row, uniform
from flwr_swarm.encryption.shamir import evaluate, interpolate, split

edges = [0, 1, 2, 2**14, 2**30 - 1, 2**30, 2**46 - 1, 2**46, 2**59, Q // 2, Q - 2, Q - 1]
residues = st.one_of(st.sampled_from(edges), st.integers(0, Q - 1))
vectors = st.lists(residues, min_size=1, max_size=50)


def words(values):
    return np.array(values, dtype=np.uint64)


@given(st.lists(st.tuples(residues, residues), min_size=1, max_size=200))
def test_arithmetic_equals_python_integers(pairs):
    left, right = words([a for a, _ in pairs]), words([b for _, b in pairs])
    assert modular.add(left, right).tolist() == [(a + b) % Q for a, b in pairs]
    assert modular.subtract(left, right).tolist() == [(a - b) % Q for a, b in pairs]
    assert modular.multiply(left, right).tolist() == [a * b % Q for a, b in pairs]


def test_arithmetic_equals_python_integers_on_all_edges_and_many_random_words():
    left, right = (words(column) for column in zip(*itertools.product(edges, edges), strict=True))
    random = deterministic("modular")
    left = np.concatenate([left, uniform(random, 20_000)])
    right = np.concatenate([right, uniform(random, 20_000)])
    expected = [a * b % Q for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    assert modular.multiply(left, right).tolist() == expected


@st.composite
def sharings(draw):
    holders = draw(st.integers(2, 9))
    threshold = draw(st.integers(2, holders))
    return draw(vectors), threshold, holders, draw(st.permutations(range(holders)))


@given(sharings(), st.integers(0, 2**32))
def test_any_threshold_of_shares_recovers(sharing, seed):
    secret, threshold, holders, order = sharing
    shares = split(words(secret), threshold=threshold, holders=holders, random=deterministic(seed))
    chosen = {holder: shares[holder] for holder in order[:threshold]}
    assert interpolate(chosen).tolist() == secret
    for holder in order[threshold:]:
        assert np.array_equal(interpolate(chosen, at=holder + 1), shares[holder])


def through(points: list[tuple[int, int]]) -> list[int]:
    """Coefficients of the polynomial of least degree through the points, by Lagrange, in Python."""
    result = [0] * len(points)
    for i, (xi, yi) in enumerate(points):
        basis, scale = [1], 1
        for j, (xj, _) in enumerate(points):
            if i != j:
                basis = [(a - xj * b) % Q for a, b in zip([0, *basis], [*basis, 0], strict=True)]
                scale = scale * (xi - xj) % Q
        weight = yi * pow(scale, -1, Q) % Q
        result = [(r + weight * b) % Q for r, b in zip(result, basis, strict=True)]
    return result


@given(sharings(), residues, st.integers(0, 2**32))
@settings(max_examples=50)
def test_fewer_shares_fit_every_secret(sharing, candidate, seed):
    """For any t - 1 shares and any candidate there is randomness that gives just these shares.

    The polynomial is unique, so each candidate is exactly as likely as any other.
    """
    secret, threshold, holders, order = sharing
    shares = split(words(secret), threshold=threshold, holders=holders, random=deterministic(seed))
    seen = order[: threshold - 1]
    columns = [
        through([(0, candidate), *((holder + 1, int(shares[holder][i])) for holder in seen)])
        for i in range(len(secret))
    ]
    coefficients = iter([words(row).tobytes() for row in list(zip(*columns, strict=True))[1:]])

    again = split(
        words([candidate] * len(secret)),
        threshold=threshold,
        holders=holders,
        random=lambda count: next(coefficients),
    )

    for holder in seen:
        assert np.array_equal(again[holder], shares[holder])


@given(sharings(), st.integers(0, 2**32))
def test_shares_are_additive(sharing, seed):
    secret, threshold, holders, order = sharing
    random = deterministic(seed)
    one = split(words(secret), threshold=threshold, holders=holders, random=random)
    two = split(words(secret[::-1]), threshold=threshold, holders=holders, random=random)
    total = {holder: modular.add(one[holder], two[holder]) for holder in order[:threshold]}
    expected = [(a + b) % Q for a, b in zip(secret, secret[::-1], strict=True)]
    assert interpolate(total).tolist() == expected


@pytest.mark.parametrize(
    ("threshold", "holders"), [(1, 3), (0, 3), (4, 3), (2, 1), (2, 257), (-1, 3)]
)
def test_thresholds_that_protect_nothing_are_refused(threshold, holders):
    with pytest.raises(ConfigurationError):
        split(words([1]), threshold=threshold, holders=holders, random=deterministic(0))


def test_horner_equals_python():
    random = deterministic("horner")
    rows = [uniform(random, 20) for _ in range(5)]
    expected = [
        sum(int(row[i]) * 7**power for power, row in enumerate(rows)) % Q for i in range(20)
    ]
    assert evaluate(rows, 7).tolist() == expected


@given(st.integers(2, 2**20), st.integers(1, 300), st.binary(max_size=8))
def test_public_expansion_is_below_its_modulus_and_its_prefixes_agree(modulus, count, domain):
    """Small moduli reject almost half of the words, which q itself does once in 2^46."""
    values = expand_public(domain, count, modulus)
    assert values.size == count
    assert values.max() < modulus
    assert np.array_equal(expand_public(domain, count + 50, modulus)[:count], values)


@given(st.integers(2, 2**20), st.integers(1, 300), st.integers(0, 2**32 - 1), st.binary(max_size=8))
def test_public_rows_are_below_their_modulus_and_their_prefixes_agree(modulus, count, row, domain):
    seed = hashlib.sha256(domain).digest()
    values = public_matrix_row(seed, row, count, modulus)
    assert values.size == count
    assert values.max() < modulus
    assert np.array_equal(public_matrix_row(seed, row, count + 50, modulus)[:count], values)


def test_a_public_row_is_the_keystream_of_aes():
    """AES-256 of the row's number and a counter, with nothing but AES itself (FIPS 197)."""
    seed, row = bytes(range(32)), 0x01020304
    block = Cipher(algorithms.AES(seed), modes.ECB()).encryptor()  # noqa: S305 - AES itself
    stream = b"".join(block.update(row.to_bytes(4, "big") + i.to_bytes(12, "big")) for i in (0, 1))
    expected = [int.from_bytes(stream[k : k + 8], "little") % 2**60 for k in range(0, 32, 8)]
    assert public_matrix_row(seed, row, 4).tolist() == expected


def test_public_rows_differ_by_seed_and_by_number():
    rows = [
        public_matrix_row(seed, row, 8).tobytes()
        for seed in (bytes(32), bytes(31) + b"\1")
        for row in (0, 1, 2**32 - 1)
    ]
    assert len(set(rows)) == len(rows)


def test_uniform_draws_skip_words_that_are_not_below_q():
    block = words([Q, 2**60 - 1, 5, Q - 1 + 2**63]).tobytes()
    assert uniform(lambda count: block[:count], 4).tolist() == [5, Q - 1, 5, Q - 1]


def test_a_short_source_is_refused():
    with pytest.raises(ValueError, match="random source"):
        uniform(lambda count: bytes(count - 1), 4)
