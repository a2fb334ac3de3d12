"""Our own estimate of what an attack on LWE costs, by the formulae in common use.

Primal attack (uSVP, in the form of Alkim, Ducas, Pöppelmann and Schwabe 2016) and dual attack
(the same, section 6.4), each with the block size that costs least. Root-Hermite factor of
Chen (2013). A uniform secret counts as one of the errors' distribution, which n of the
samples make it (Applebaum et al. 2009); samples are not limited, and the ring is taken for no
help to the attacker. A second opinion beside the standard's table, which it reproduces.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

SMALLEST_BLOCK: Final = 60
"""Below it, Chen's formula says nothing."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """log2 of the cost of BKZ with block size b in dimension d: slope*b + offset (+ log2 8d).

    Parameters
    ----------
    slope, offset : float
    tours : bool
        Whether its 8d calls of the oracle count.
    """

    slope: float
    offset: float
    tours: bool

    def cost(self, block: int, dimension: float) -> float:
        """log2 of the operations."""
        return self.slope * block + self.offset + (math.log2(8 * dimension) if self.tours else 0.0)


CLASSICAL: Final = Model(slope=0.292, offset=16.4, tours=True)
"""BKZ.sieve, the standard's table 1."""
QUANTUM: Final = Model(slope=0.265, offset=16.4, tours=True)
"""BKZ.qsieve, the standard's table 2."""
CORE_CLASSICAL: Final = Model(slope=0.292, offset=0.0, tours=False)
CORE_QUANTUM: Final = Model(slope=0.265, offset=0.0, tours=False)
"""Core-SVP: one call of a sieve, and nothing for memory."""


@dataclass(frozen=True, kw_only=True)
class Lwe:
    """Secrets of dimension `n` mod q, errors of deviation `sigma`."""

    n: int
    log2_q: float
    sigma: float


@dataclass(frozen=True, kw_only=True)
class Attack:
    """The best choice of an attack, and log2 of what it costs."""

    block: int
    dimension: int
    cost: float


def log2_delta(block: int) -> float:
    """log2 of the root-Hermite factor that BKZ with this block size reaches."""
    return math.log2((math.pi * block) ** (1 / block) * block / (2 * math.pi * math.e)) / (
        2 * (block - 1)
    )


def primal(lwe: Lwe, model: Model) -> Attack:
    """Find the errors as the unusually short vector of a lattice of dimension m + n + 1."""

    def dimension(block: int) -> float:
        # Maximises (2b - d)*log2 delta + log2 q * (d - n - 1)/d.
        best = math.sqrt(lwe.log2_q * (lwe.n + 1) / log2_delta(block))
        return max(best, lwe.n + 2, block)

    def succeeds(block: int) -> bool:
        d = dimension(block)
        left = math.log2(block) / 2 + math.log2(lwe.sigma)
        return left <= (2 * block - d) * log2_delta(block) + lwe.log2_q * (d - lwe.n - 1) / d

    block = _first(succeeds, SMALLEST_BLOCK, 40 * lwe.n)
    d = dimension(block)
    return Attack(block=block, dimension=round(d), cost=model.cost(block, d))


def dual(lwe: Lwe, model: Model) -> Attack:
    """Tell samples from uniform by many short vectors of the dual, which a sieve gives."""

    def attempt(block: int) -> Attack:
        # The shortest that is found has length delta^d * q^(n/d), least at this d.
        d = max(math.sqrt(lwe.n * lwe.log2_q / log2_delta(block)), lwe.n + 1, block)
        length = d * log2_delta(block) + lwe.n * lwe.log2_q / d
        tau = 2 ** min(length + math.log2(lwe.sigma) - lwe.log2_q, 30.0)
        log2_advantage = 2 - 2 * math.pi**2 * tau**2 / math.log(2)
        repeats = max(0.0, -2 * log2_advantage - 0.2075 * block)
        return Attack(block=block, dimension=round(d), cost=model.cost(block, d) + repeats)

    # Falls with the block size while it must repeat, and rises afterwards.
    low, high = SMALLEST_BLOCK, 40 * lwe.n
    while high - low > 2:
        third = (high - low) // 3
        left, right = low + third, high - third
        if attempt(left).cost <= attempt(right).cost:
            high = right
        else:
            low = left
    return min((attempt(block) for block in range(low, high + 1)), key=lambda found: found.cost)


def _first(succeeds: Callable[[int], bool], low: int, high: int) -> int:
    while low < high:
        middle = (low + high) // 2
        if succeeds(middle):
            high = middle
        else:
            low = middle + 1
    return low
