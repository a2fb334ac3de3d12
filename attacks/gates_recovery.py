"""Gates on keys: what is published of a round, or of a federation, must not give its key away."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.encryption.parameters import DEFAULT, DEGREE, ETA, MODULUS, RingParameters
from flwr_swarm.encryption.wire import read_aggregate

from .gate import GateResult
from .key_recovery import Chunk, CkksParameters, recover_ckks_key
from .key_recovery_threshold import recover_threshold_key


@dataclass(frozen=True, kw_only=True, repr=False)
class OpenedRound:
    """What everyone who is given a round's openings knows, the key aside.

    Parameters
    ----------
    merged : bytes
        The sum of ciphertexts, as the leader sends it.
    sums : uint64 array, shape (lanes,)
        What it opens to.
    seed : bytes
        The round's common seed.
    errors : int64 array, shape (4096,), optional
        Of the first chunk, where a scheme publishes them with its messages.
    """

    merged: bytes
    sums: NDArray[np.uint64]
    seed: bytes
    errors: NDArray[np.int64] | None = None


def key_recovery_gate(
    rounds: Mapping[str, OpenedRound],
    *,
    parameters: RingParameters = DEFAULT,
    name: str = "key recovery",
) -> GateResult:
    """Trips if the key of a round falls out of its merged sum and its opened lanes.

    The key that the first chunk gives is s + e/a, with a and the error e of that chunk. It is taken
    for the key if it opens all other chunks, and so on a right build

    - if e = 0: with a probability of p^4096 at most, p that of the sum's likeliest error;
    - or if e/a times another chunk's common polynomial is as short as noise. That polynomial is
      uniform, so the product is uniform in the space of the j >= 1 roots at which e is not zero.
      Some j coefficients determine an element of it, and each may take 2B + 1 of q values, with
      the bound B on noise: probability (2B + 1)/q at most, for each further chunk.

    Parameters
    ----------
    rounds : mapping of str to OpenedRound
        By a name for each.
    """
    if not rounds:
        raise ConfigurationError("key recovery is tested on one opened round or more, got none")
    fallen = [which for which, one in rounds.items() if _falls(one, parameters)]
    chance = sum(_chance(one, parameters) for one in rounds.values())
    return GateResult(
        gate=name,
        statistic=float(len(fallen)),
        threshold=0.0,
        tripped=bool(fallen),
        false_alarm=chance,
        power=1 - DEGREE / MODULUS,  # no value of the common polynomial is zero
        against="errors that are published or missing",
        detail=f"keys that fall out of {len(rounds)} merged sums and their openings"
        + "".join(f" ({which})" for which in fallen),
    )


def ckks_key_gate(
    first: Chunk,
    second: Chunk,
    parameters: CkksParameters | None = None,
    *,
    name: str = "CKKS key recovery",
) -> GateResult:
    """Trips if the key falls out of two CKKS ciphertexts and the floats published of them.

    If the floats do not hold the errors, what the attack solves for is off at a pair of roots, r
    and 1/r, by a vector that is uniform among all but zero, since the ciphertexts are. Two
    coefficients determine it, and a ternary key leaves each 3 of q values: 9/(q^2 - 1).

    Parameters
    ----------
    first, second : Chunk
        Of one key; see `chunk_of`.
    parameters : CkksParameters, optional
        NVFlare's by default.
    """
    settings = parameters or CkksParameters()
    fell = recover_ckks_key(first, second, settings) is not None
    modulus = settings.ring.modulus
    return GateResult(
        gate=name,
        statistic=float(fell),
        threshold=0.0,
        tripped=fell,
        false_alarm=9 / (modulus**2 - 1),
        power=1 - settings.degree / modulus,  # no determinant is zero
        against="decrypted floats that are published as they are",
        detail="keys that fall out of two ciphertexts and their floats",
    )


def _falls(one: OpenedRound, parameters: RingParameters) -> bool:
    found = recover_threshold_key(
        one.merged, one.sums, seed=one.seed, parameters=parameters, errors=one.errors
    )
    return found is not None


def _chance(one: OpenedRound, parameters: RingParameters) -> float:
    total = read_aggregate(one.merged, parameters)
    coins = 2 * ETA * total.summands
    likeliest = math.lgamma(coins + 1) - 2 * math.lgamma(coins // 2 + 1) - coins * math.log(2)
    short = (2 * parameters.noise_bound(total.summands) + 1) / MODULUS
    return math.exp(DEGREE * likeliest) + short ** (len(total.residues) - 1)
