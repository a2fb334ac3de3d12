"""Shamir's t-of-n sharing of a polynomial's residues over F_q, each coefficient by itself.

Shamir, "How to share a secret", 1979. Holder j has the point j + 1. Any t - 1 shares are
uniform and independent of the secret, whatever the adversary can compute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from flwr_swarm._exceptions import ConfigurationError

from .engines import engine_for
from .modular import Residues, add, multiply
from .parameters import MAX_MEMBERS, MODULUS
from .randomness import RandomBytes, uniform


def check_threshold(threshold: int, holders: int) -> None:
    """Raise ConfigurationError unless 2 <= threshold <= holders <= 256."""
    if not 2 <= holders <= MAX_MEMBERS:
        raise ConfigurationError(f"a key is shared among 2 to {MAX_MEMBERS} holders, got {holders}")
    if not 2 <= threshold <= holders:
        raise ConfigurationError(
            f"threshold must be 2 to {holders} (the number of holders), got {threshold}; "
            "with 1, every single holder could open alone"
        )


def evaluate(coefficients: Residues, point: int) -> Residues:
    """The polynomials whose coefficients are these rows, constant first, at `point`, 0 to 256."""
    return engine_for(len(coefficients)).horner(coefficients, point)


def polynomial(secret: Residues, *, threshold: int, random: RandomBytes) -> Residues:
    """Coefficients, constant first, of a random polynomial of degree threshold - 1 with `secret`
    at 0; (threshold, n) uint64, to be overwritten by who asked for it.
    """
    rows = np.empty((threshold, secret.size), dtype=np.uint64)
    rows[0] = secret
    for row in rows[1:]:
        row[:] = uniform(random, secret.size)
    return rows


def split(secret: Residues, *, threshold: int, holders: int, random: RandomBytes) -> list[Residues]:
    """One share for each holder, any `threshold` of which determine `secret`.

    Parameters
    ----------
    secret : (n,) uint64
        Residues below q.
    threshold, holders : int
    random : callable
        Source of the coefficients, used without expansion.

    Raises
    ------
    ConfigurationError
        Unless 2 <= threshold <= holders <= 256.
    """
    check_threshold(threshold, holders)
    coefficients = polynomial(secret, threshold=threshold, random=random)
    shares = [evaluate(coefficients, holder + 1) for holder in range(holders)]
    coefficients.fill(0)
    return shares


def interpolation_weights(holders: Sequence[int], *, at: int) -> list[int]:
    """Lagrange weights mod q that take the shares of `holders` to the value at point `at`."""
    points = [holder + 1 for holder in holders]
    weights = []
    for i, own in enumerate(points):
        above, below = 1, 1
        for j, other in enumerate(points):
            if i != j:
                above = above * (at - other) % MODULUS
                below = below * (own - other) % MODULUS
        weights.append(above * pow(below, -1, MODULUS) % MODULUS)
    return weights


def interpolate(shares: Mapping[int, Residues], *, at: int = 0) -> Residues:
    """The value at point `at` (the secret at 0) of the polynomial through all `shares`.

    Parameters
    ----------
    shares : mapping of holder index to (n,) uint64
        Exactly as many as the threshold.
    at : int
        Point; holder j stands at j + 1.
    """
    weights = interpolation_weights(list(shares), at=at)
    terms = [
        multiply(share, np.uint64(weight))
        for share, weight in zip(shares.values(), weights, strict=True)
    ]
    total = terms[0]
    for term in terms[1:]:
        total = add(total, term)
    return total
