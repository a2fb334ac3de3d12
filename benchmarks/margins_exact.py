"""Exact probabilities of sums of fair coins: noise, its tails, and what a published sum leaves.

Errors are Bin(84, 1/2) - 42, so a sum of n of them is Bin(84n, 1/2) - 42n: everything is a ratio
of integers, and only its logarithm is a float.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

from flwr_swarm.encryption.parameters import DEGREE, ETA, MODULUS, RingParameters

COINS = 2 * ETA


@cache
def tail(members: int, beyond: int) -> Fraction:
    """P(|sum of the errors of `members`| > beyond), exact."""
    if beyond < 0:
        return Fraction(1)
    coins, middle = COINS * members, ETA * members
    term, total = 1, 0  # binomials from the far end, C(coins, k) for k = 0, 1, ...
    for k in range(middle - beyond):
        total += term
        term = term * (coins - k) // (k + 1)
    return Fraction(2 * total, 1 << coins)


def log2(value: Fraction) -> float:
    """log2, also of what no float can hold; -inf of zero."""
    if not value:
        return -math.inf
    return math.log2(value.numerator) - math.log2(value.denominator)


def refused(ring: RingParameters, members: int) -> Fraction:
    """P(a coefficient of an honest sum exceeds the noise bound), at most.

    What rounding q/t * m adds, one half a member and one, is within the bound's own allowance.
    """
    return tail(members, ring.noise_bound(members) - members // 2 - 2)


def misread(ring: RingParameters, members: int) -> Fraction:
    """P(a coefficient's noise reaches q/2t), at most: the message would be another."""
    return tail(members, ring.half_step - members // 2 - 2)


def passes(ring: RingParameters, members: int) -> float:
    """log2 P(a key that is wrong at random passes the noise check), at most: two polynomials.

    Under a wrong key each coefficient is uniform; it passes if it is within the bound of a
    multiple of q/t. At most t + 1 windows of 2*bound + 1 residues are.
    """
    windows = (ring.plain_modulus + 1) * (2 * ring.noise_bound(members) + 1)
    return 2 * DEGREE * min(0.0, log2(Fraction(windows, MODULUS)))


def conditional_variance(total: int, honest: int = 2) -> Fraction:
    """Variance of one honest error, given that all `honest` add up to `total`.

    Of 84*honest coins, those of one member are a sample without replacement: hypergeometric.
    """
    coins = COINS * honest
    heads = total + ETA * honest
    share = Fraction(heads, coins)
    return COINS * share * (1 - share) * Fraction(coins - COINS, coins - 1)


def mean_conditional_variance(honest: int) -> Fraction:
    """Its mean over all sums: 21*(1 - 1/honest)."""
    coins = COINS * honest
    weighted = sum(
        math.comb(coins, heads) * conditional_variance(heads - ETA * honest, honest)
        for heads in range(coins + 1)
    )
    return Fraction(weighted) / (1 << coins)


def extreme_sum(coefficients: int, log2_probability: float) -> int:
    """The largest |e_1 + e_2| that any of so many coefficients has, but for this probability."""
    return next(
        s
        for s in range(COINS + 1)
        if math.log2(coefficients) + log2(tail(2, s)) <= log2_probability
    )


def monomials(variables: int, degree: int) -> float:
    """log2 of the monomials of at most this degree: the equations that linearisation needs."""
    return math.log2(math.comb(variables + degree, degree))
