"""Exact arithmetic modulo q on arrays of 64-bit words, vectorised.

It leans on the form of the modulus: q = 2^60 - 16383, so 2^60 folds to 16383.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .parameters import MODULUS, MODULUS_BITS

_Q: Final = np.uint64(MODULUS)
_FOLD: Final = np.uint64((1 << MODULUS_BITS) - MODULUS)
_LOW30: Final = np.uint64((1 << 30) - 1)
_LOW46: Final = np.uint64((1 << 46) - 1)
_LOW60: Final = np.uint64((1 << 60) - 1)
_14, _30, _46, _60 = (np.uint64(shift) for shift in (14, 30, 46, 60))

Residues = NDArray[np.uint64]


def reduce_once(values: Residues) -> Residues:
    """`values` below 2q, brought below q."""
    # Below q the difference wraps around to a huge word, and the minimum keeps the value.
    reduced: Residues = np.minimum(values, values - _Q)
    return reduced


def add(left: Residues, right: Residues) -> Residues:
    """left + right mod q."""
    return reduce_once(left + right)


def accumulate(total: Residues, term: Residues) -> None:
    """`total` becomes total + term mod q, row by row: what lies in cache is added fastest."""
    for row, more in zip(total, term, strict=True):
        np.add(row, more, out=row)
        np.minimum(row, row - _Q, out=row)


def subtract(left: Residues, right: Residues) -> Residues:
    """left - right mod q."""
    return reduce_once(left + (_Q - right))


def multiply(left: Residues, right: Residues | np.uint64) -> Residues:
    """left * right mod q, for residues below q; the right one broadcasts."""
    left_low, left_high = left & _LOW30, left >> _30
    right_low, right_high = right & _LOW30, right >> _30
    # left*right = high*2^60 + low, with high < q, since the product is below q^2, and low < 2^61.
    middle = left_low * right_high + left_high * right_low
    high = left_high * right_high + (middle >> _30)
    low = left_low * right_low + ((middle & _LOW30) << _30)
    # high*2^60 = high*(2^14 - 1) = (high mod 2^46)*2^14 + (high div 2^46)*2^60 - high, and the
    # last 2^60 folds again. One q keeps the difference positive; the total is below 2^63.
    total = low + ((high & _LOW46) << _14) + (high >> _46) * _FOLD + (_Q - high)
    return reduce_once((total & _LOW60) + (total >> _60) * _FOLD)


def horner(coefficients: Residues, point: int) -> Residues:
    """The polynomials whose coefficients are these rows, constant first, at a point below 2^9."""
    x = np.uint64(point)
    value = coefficients[-1].copy()
    for coefficient in coefficients[-2::-1]:
        # A value below 2^60 + 2^16 in halves: all sums stay below 2^62, and fold to such a value.
        high = value >> _30
        high *= x
        value &= _LOW30
        value *= x
        value += coefficient
        value += (high & _LOW30) << _30
        value += (high >> _30) * _FOLD
        over = value >> _60
        value &= _LOW60
        value += over * _FOLD
    return reduce_once(value)


def inner(left: Residues, right: Residues) -> Residues:
    """<left, right> mod q over the last axis, for up to 2^34 terms; the right one broadcasts."""
    products = multiply(left, right)
    low = (products & _LOW30).sum(axis=-1, dtype=np.uint64)
    high = (products >> _30).sum(axis=-1, dtype=np.uint64)
    exact = high.astype(object) * (1 << 30) + low.astype(object)
    total: Residues = np.asarray(exact % MODULUS, dtype=np.uint64)
    return total
