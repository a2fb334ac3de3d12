"""SEAL's number-theoretic transform in exact integers: what a ciphertext's words stand for."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Integers = NDArray[Any]
"""Python's integers in an array: no product of theirs overflows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ring:
    """Polynomials modulo X^n + 1 and a prime q = 1 mod 2n.

    Transformed, a polynomial is the list of its values at psi^1, psi^3, ..., psi^(2n - 1), with psi
    the smallest primitive 2n-th root of unity: SEAL's choice.

    Parameters
    ----------
    degree : int
        n, a power of two.
    modulus : int
        q.
    powers, inverse_powers : integer array, shape (2n,)
        Of psi and of 1/psi.
    """

    degree: int
    modulus: int
    powers: Integers
    inverse_powers: Integers

    @property
    def seal_order(self) -> NDArray[np.int64]:
        """Which of our values stands at each place of SEAL's: the index with its bits reversed."""
        return _reversed_bits(self.degree)

    def values(self, coefficients: ArrayLike) -> Integers:
        """Values of a polynomial, shape (n,)."""
        twisted = _integers(coefficients) * self.powers[: self.degree] % self.modulus
        return self._transform(twisted, self.powers)

    def coefficients(self, values: ArrayLike) -> Integers:
        """The polynomial with these values; coefficients in (-q/2, q/2]."""
        twisted = self._transform(_integers(values) % self.modulus, self.inverse_powers)
        scaled = twisted * self.inverse_powers[: self.degree] * pow(self.degree, -1, self.modulus)
        found = scaled % self.modulus
        return np.where(found > self.modulus // 2, found - self.modulus, found)

    def inverse(self, values: ArrayLike) -> Integers:
        """1/v for each value; ValueError if one is zero."""
        found = [pow(int(value), -1, self.modulus) for value in np.asarray(values)]
        return np.array(found, dtype=object)

    def _transform(self, values: Integers, powers: Integers) -> Integers:
        result, length = values[_reversed_bits(self.degree)], 1
        while length < self.degree:
            twiddles = powers[np.arange(length) * (self.degree // length)]
            pairs = result.reshape(-1, 2, length)
            even, odd = pairs[:, 0], pairs[:, 1] * twiddles % self.modulus
            result = np.stack([even + odd, even - odd], axis=1).reshape(-1) % self.modulus
            length *= 2
        return result


@cache
def ring(degree: int, modulus: int) -> Ring:
    """The ring of a degree and a prime."""
    root = _smallest_root(degree, modulus)
    inverse = pow(root, -1, modulus)
    return Ring(
        degree=degree,
        modulus=modulus,
        powers=_powers(root, 2 * degree, modulus),
        inverse_powers=_powers(inverse, 2 * degree, modulus),
    )


def seal_prime(degree: int, bits: int, index: int) -> int:
    """The prime that SEAL's `CoeffModulus.create` puts at `index` among those of equal `bits`."""
    candidates = (
        value
        for value in range((1 << bits) - 2 * degree + 1, 1 << (bits - 1), -2 * degree)
        if _is_prime(value)
    )
    return next(itertools.islice(candidates, index, None))


def _is_prime(number: int) -> bool:
    """Miller and Rabin's test, certain below 3.3e24 with these bases."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41):
        chain = [pow(base, odd << k, number) for k in range(twos)]
        if chain[0] != 1 and number - 1 not in chain:
            return False
    return True


def _smallest_root(degree: int, modulus: int) -> int:
    found = next(
        root
        for base in itertools.count(2)
        if pow(root := pow(base, (modulus - 1) // (2 * degree), modulus), degree, modulus)
        == modulus - 1
    )
    odd_powers = _powers(found, 2 * degree, modulus)[1::2]
    return int(min(odd_powers))


def _powers(root: int, count: int, modulus: int) -> Integers:
    steps = itertools.accumulate(
        range(count - 1), lambda power, _: power * root % modulus, initial=1
    )
    return np.array(list(steps), dtype=object)


@cache
def _reversed_bits(count: int) -> NDArray[np.int64]:
    bits = count.bit_length() - 1
    return np.array([int(f"{k:0{bits}b}"[::-1], 2) for k in range(count)], dtype=np.int64)


def _integers(values: ArrayLike) -> Integers:
    return np.array([int(value) for value in np.asarray(values)], dtype=object)
