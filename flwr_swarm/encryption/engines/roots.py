"""The roots of unity of SEAL's transform, as the compiled engine takes them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..parameters import DEGREE, MODULUS

_N: Final = DEGREE


def tables() -> tuple[NDArray[np.uint64], NDArray[np.uint64], np.uint64]:
    """Inverses of SEAL's roots in the order of the inverse transform, their Shoup words, and 1/N.

    SEAL's root is the smallest primitive 2N-th root of unity.
    """
    root = pow(_smallest_root(), -1, MODULUS)
    powers = [1]
    for _ in range(_N - 1):
        powers.append(powers[-1] * root % MODULUS)
    digits = _N.bit_length() - 1
    ordered = [powers[int(f"{i:0{digits}b}"[::-1], 2)] for i in range(_N)]
    shoup = [(power << 64) // MODULUS for power in ordered]
    return (
        np.array(ordered, dtype=np.uint64),
        np.array(shoup, dtype=np.uint64),
        np.uint64(pow(_N, -1, MODULUS)),
    )


def _smallest_root() -> int:
    order = 2 * _N
    candidates = (pow(g, (MODULUS - 1) // order, MODULUS) for g in range(2, 1 << 16))
    root = next(r for r in candidates if pow(r, _N, MODULUS) == MODULUS - 1)
    square, power, best = root * root % MODULUS, root, root
    for _ in range(_N):
        power = power * square % MODULUS
        best = min(best, power)
    return best
