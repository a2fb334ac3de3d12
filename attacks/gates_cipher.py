"""Gates on ciphertexts: sealed residues look like nothing, and no two sealings look alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.encryption.parameters import ETA, MODULUS

from .gate import ALPHA, GateResult

Residues = NDArray[np.uint64]


def uniform_residues_gate(
    sealed: Mapping[str, Residues], *, alpha: float = ALPHA, name: str = "ciphertext uniformity"
) -> GateResult:
    """Trips if residues mod q, or the differences of two sealings, are not uniform.

    A key that was used twice cancels in the difference, and leaves the errors. The distance of the
    empirical distribution from the uniform one is beyond sqrt(ln(2/alpha)/2k) with probability
    alpha at most (Dvoretzky, Kiefer, Wolfowitz 1956; Massart 1990); Bonferroni over all.

    Parameters
    ----------
    sealed : mapping of str to uint64 array
        Residues of one update, sealed by different members, in different rounds, twice by one:
        by a name for each. `wire.read_ciphertext(payload, DEFAULT).residues` of a payload.
    """
    tried = _all(sealed)
    size = min(len(v) for v in tried.values())
    each = alpha / len(tried)
    found = {which: _distance(values) * math.sqrt(len(values)) for which, values in tried.items()}
    worst = max(found, key=lambda which: found[which])
    threshold = math.sqrt(math.log(2 / each) / 2)
    # A quarter of all residues squeezed into the lower half moves the distance by one eighth.
    power = float(ndtr((math.sqrt(size) / 8 - threshold) / 0.5))
    return GateResult(
        gate=name,
        statistic=found[worst],
        threshold=threshold,
        tripped=not found[worst] <= threshold,
        false_alarm=alpha,
        power=power,
        against="a quarter of the residues biased to one half",
        detail=f"largest scaled distance from uniform of {len(tried)} vectors of {size} residues "
        f"({worst})",
    )


def fresh_ciphertext_gate(
    sealed: Mapping[str, Residues], *, alpha: float = ALPHA, name: str = "ciphertext freshness"
) -> GateResult:
    """Trips if two sealings of one update share residues, or differ by errors only.

    Two independent uniform residues are nearer than 4 eta with probability (8 eta + 1)/q. How many
    of them are is Poisson-like; one such pair among millions is already far beyond `alpha`.
    """
    flat = {which: np.asarray(values, np.uint64).ravel() for which, values in sealed.items()}
    pairs = list(combinations(flat, 2))
    if not pairs:
        raise ConfigurationError("freshness is tested on two sealings or more, got one")
    near = {pair: _near(flat[pair[0]], flat[pair[1]]) for pair in pairs}
    worst = max(pairs, key=lambda pair: near[pair])
    compared = sum(min(len(flat[a]), len(flat[b])) for a, b in pairs)
    chance = compared * (8 * ETA + 1) / MODULUS
    if chance > alpha:
        raise ConfigurationError(f"{compared} residues are too many to compare at alpha {alpha}")
    return GateResult(
        gate=name,
        statistic=float(near[worst]),
        threshold=0.0,
        tripped=near[worst] > 0,
        false_alarm=chance,
        power=1.0,
        against="a key that is used twice",
        detail=f"residues nearer than twice the largest error ({worst[0]} and {worst[1]})",
    )


def _all(sealed: Mapping[str, Residues]) -> dict[str, Residues]:
    flat = {which: np.asarray(values, np.uint64).ravel() for which, values in sealed.items()}
    if not flat or any(not len(v) or int(v.max()) >= MODULUS for v in flat.values()):
        raise ConfigurationError("give vectors of residues below q, at least one")
    for a, b in combinations(list(flat), 2):
        size = min(len(flat[a]), len(flat[b]))
        flat[f"{a} minus {b}"] = _minus(flat[a][:size], flat[b][:size])
    return flat


def _minus(a: Residues, b: Residues) -> Residues:
    difference: Residues = np.where(a >= b, a - b, a + np.uint64(MODULUS) - b)
    return difference


def _near(a: Residues, b: Residues) -> int:
    size = min(len(a), len(b))
    difference = _minus(a[:size], b[:size])
    return int((np.minimum(difference, np.uint64(MODULUS) - difference) <= 4 * ETA).sum())


def _distance(values: Residues) -> float:
    """Kolmogorov and Smirnov's distance from the uniform distribution on [0, q)."""
    ranked = np.sort(values).astype(np.float64) / MODULUS
    steps = np.arange(1, len(ranked) + 1) / len(ranked)
    return float(max(np.max(steps - ranked), np.max(ranked - steps + 1 / len(ranked))))
