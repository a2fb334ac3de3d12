"""The ring's inner loops, compiled by numba: plain 64-bit integers, the same on x86 and ARM.

Products mod q follow Shoup: with w' = floor(w*2^64/q), x*w - floor(x*w'/2^64)*q lies in [0, 2q)
for every 64-bit x. The transform is Harvey's (2014), on values below 2q, with SEAL's roots in
SEAL's order, so that it takes SEAL's NTT form. Nothing branches on a secret.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from ..parameters import DEGREE, ETA, MODULUS, MODULUS_BITS

_N: Final = DEGREE
_Q: Final = np.uint64(MODULUS)
_2Q: Final = np.uint64(2 * MODULUS)
_LOW60: Final = np.uint64((1 << MODULUS_BITS) - 1)
_SPARE: Final = np.uint64((1 << (2 * ETA - 64)) - 1)
_ONE: Final = np.uint64(1)
_4, _64 = np.uint64(4), np.uint64(64)
_FRACTION: Final = np.uint64(((1 << MODULUS_BITS) - MODULUS << 64) // MODULUS)
"""(2^60/q - 1) * 2^64: 2^60/q is 1 and a little."""
WORDS: Final = 15
"""64-bit words that 16 residues of 60 bits fill."""
_GROUP: Final = 16


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` compiled at its first call, kept on disk where the system lets us."""
    try:
        compiled: Callable[..., Any] = njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba finds no folder that it may write to
        compiled = njit(nogil=True)(function)
    return compiled


def _multiply_high(typing: Any, left: Any, right: Any) -> Any:
    """The upper 64 bits of a product of two 64-bit words: one instruction."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        one, two = (builder.zext(argument, wide) for argument in arguments)
        shifted = builder.lshr(builder.mul(one, two), ir.Constant(wide, 64))
        return builder.trunc(shifted, ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


def _count_ones(typing: Any, word: Any) -> Any:
    """The number of bits that are one in a 64-bit word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


_high: Any = intrinsic(_multiply_high)
_ones: Any = intrinsic(_count_ones)


@_compiled
def _shoup(w: Any) -> Any:
    """floor(w * 2^64 / q) of a residue."""
    scaled = w << _4
    quotient = scaled + _high(scaled, _FRACTION)
    # A fraction below one was cut off, so the quotient is right or one too small.
    rest = np.uint64(0) - quotient * _Q
    return quotient + np.uint64(rest >= _Q)


@_compiled
def scaled_key(secret: Any, factor: Any, key: Any, shoup: Any) -> None:
    """`secret` times a constant, (4096,) uint64 below q, and its Shoup words."""
    helper = _shoup(factor)
    for i in range(_N):
        value = secret[i] * factor - _high(secret[i], helper) * _Q
        key[i] = min(value, value - _Q)
        shoup[i] = _shoup(key[i])


@_compiled
def _inverse(a: Any, roots: Any, shoup: Any) -> None:
    """N times the inverse transform, in place; values below 2q in and out."""
    half, length = _N // 2, 1
    while half >= 1:
        start = 0
        for i in range(half):
            w, s = roots[half + i], shoup[half + i]
            for j in range(start, start + length):
                u, v = a[j], a[j + length]
                total, difference = u + v, u + _2Q - v
                a[j] = min(total, total - _2Q)
                a[j + length] = difference * w - _high(difference, s) * _Q
            start += 2 * length
        half, length = half // 2, 2 * length


@_compiled
def _product(words: Any, key: Any, shoup: Any, roots: Any, roots_shoup: Any, out: Any) -> bool:
    """Coefficients of a*s below 2q, from 64-bit words that hold a; False if one must be skipped."""
    worst = np.uint64(0)
    for i in range(_N):
        x = words[i] & _LOW60
        worst = max(worst, x)
        out[i] = x * key[i] - _high(x, shoup[i]) * _Q
    if worst >= _Q:
        return False
    _inverse(out, roots, roots_shoup)
    return True


@_compiled
def _raised(message: Any, remainder: Any, shift: Any, modulus: Any) -> Any:
    """round(remainder * m / t), halves up."""
    small = message * remainder + modulus // 2
    if shift >= 0:
        return small >> shift
    return small // modulus


@_compiled
def encrypt(
    lanes: Any,
    words: Any,
    coins: Any,
    spare: Any,
    key: Any,
    shoup: Any,
    roots: Any,
    roots_shoup: Any,
    shape: Any,
    out: Any,
) -> bool:
    """Packed residues of some chunks; False, with `out` unfinished, if `_product` says so.

    Parameters
    ----------
    lanes : (n,) uint32
    words : (chunks, 4096) uint64
        Key stream of the common polynomials.
    coins : (chunks * 4096,) uint64
    spare : (chunks * 4096,) uint32
    key, shoup : (4096,) uint64
    roots, roots_shoup : (4096,) uint64
    shape : tuple of int64
        Lanes in a coefficient, bits of a lane, q/t rounded, q less t times that, log2(t) or -1, t.
    out : (chunks, 3840) uint64
    """
    count, bits, step, remainder, shift, modulus = shape
    row = np.empty(_N, dtype=np.uint64)
    for k in range(len(words)):
        if not _product(words[k], key, shoup, roots, roots_shoup, row):
            return False
        for i in range(_N):
            place = k * _N + i
            message = np.int64(0)
            first = place * count
            for lane in range(count):
                if first + lane < len(lanes):
                    message |= np.int64(lanes[first + lane]) << (lane * bits)
            error = np.int64(_ones(coins[place]) + _ones(np.uint64(spare[place]) & _SPARE)) - ETA
            # Message and error are in [-42, q): one q keeps the sum positive and below 4q.
            value = message * step + _raised(message, remainder, shift, modulus) + error + MODULUS
            total = np.uint64(value) + row[i]
            total = min(total, total - _2Q)
            row[i] = min(total, total - _Q)
        _pack(row, out[k])
    row[:] = 0
    return True


@_compiled
def _pack(row: Any, out: Any) -> None:
    for group in range(len(row) // _GROUP):
        base, place = group * _GROUP, group * WORDS
        for j in range(WORDS):
            low = np.uint64(4 * j)
            out[place + j] = (row[base + j] >> low) | (row[base + j + 1] << (_64 - _4 - low))


@_compiled
def pack(rows: Any, out: Any) -> None:
    """Residues (chunks, 4096) in 60 bits each, as (chunks, 3840) words."""
    for k in range(len(rows)):
        _pack(rows[k], out[k])


@_compiled
def unpack(packed: Any, out: Any) -> bool:
    """The inverse of `pack`; False if a residue is not below q."""
    worst = np.uint64(0)
    for k in range(len(packed)):
        source, row = packed[k], out[k]
        for group in range(_N // _GROUP):
            base, place = group * _GROUP, group * WORDS
            row[base] = source[place] & _LOW60
            for j in range(1, WORDS):
                low = np.uint64(4 * j)
                word = (source[place + j - 1] >> (_64 - low)) | (source[place + j] << low)
                row[base + j] = word & _LOW60
            row[base + WORDS] = source[place + WORDS - 1] >> _4
            for j in range(_GROUP):
                worst = max(worst, row[base + j])
    return bool(worst < _Q)


@_compiled
def accumulate(total: Any, term: Any) -> None:
    """`total` becomes total + term mod q."""
    for k in range(len(total)):
        for i in range(_N):
            value = total[k, i] + term[k, i]
            total[k, i] = min(value, value - _Q)


@_compiled
def round_up_or_down(update: Any, scale: Any, levels: Any, coins: Any, out: Any) -> None:
    """See `Engine.round`; each operation rounds as numpy's does."""
    for i in range(len(update)):
        exact = min(max(update[i] * scale, -levels), levels)
        below = math.floor(exact)
        up = coins[i] * 2.0**-32 < exact - below
        out[i] = np.uint32(np.int64(below) + np.int64(up) + np.int64(levels))


@_compiled
def horner(rows: Any, point: Any, out: Any) -> None:
    """See `modular.horner`."""
    shoup = _shoup(point)
    out[:] = rows[len(rows) - 1]
    for k in range(len(rows) - 2, -1, -1):
        row = rows[k]
        for i in range(len(out)):
            value = out[i] * point - _high(out[i], shoup) * _Q
            value = min(value, value - _Q) + row[i]
            out[i] = min(value, value - _Q)


@_compiled
def decrypt(
    rows: Any,
    words: Any,
    key: Any,
    shoup: Any,
    roots: Any,
    roots_shoup: Any,
    shape: Any,
    bound: Any,
    out: Any,
) -> bool:
    """Lane sums of some chunks; False, with `out` unfinished, where the reference has to look.

    Parameters are those of `encrypt`, and

    rows : (chunks, 4096) uint64
        Residues of the sum.
    bound : int64
        Largest noise.
    out : (chunks * 4096 * lanes,) uint64
    """
    count, bits, step, remainder, shift, modulus = shape
    half = np.int64(MODULUS // (2 * modulus))
    # t/q in 64-bit fixed point, from t/2^60 and the little that q falls short of 2^60.
    ratio = np.uint64(modulus) + np.uint64(modulus) // np.uint64(1 << 46)
    mask = (_ONE << np.uint64(bits)) - _ONE
    row = np.empty(_N, dtype=np.uint64)
    fine = True
    for k in range(len(rows)):
        if not _product(words[k], key, shoup, roots, roots_shoup, row):
            return False
        for i in range(_N):
            value = rows[k, i] + _2Q - row[i]
            value = min(value, value - _2Q)
            value = min(value, value - _Q)
            # A zero message with negative noise lies just below q.
            signed = np.int64(value)
            if signed >= MODULUS - half:
                signed -= MODULUS
            message = np.int64(_high(np.uint64(signed + half) << _4, ratio))
            message = min(max(message, np.int64(0)), modulus - 1)
            noise = signed - message * step - _raised(message, remainder, shift, modulus)
            message += np.int64(noise > half) - np.int64(noise < -half)
            message = min(max(message, np.int64(0)), modulus - 1)
            noise = signed - message * step - _raised(message, remainder, shift, modulus)
            fine &= -bound <= noise <= bound
            first = (k * _N + i) * count
            for lane in range(count):
                out[first + lane] = (np.uint64(message) >> np.uint64(lane * bits)) & mask
    row[:] = 0
    return fine
