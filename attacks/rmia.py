"""RMIA: how many others an example outdoes, of Zarifzadeh, Liu and Shokri (2024)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError

from .membership import Array, check_shadows


def rmia_online(
    target: Array,
    shadows: Array,
    masks: NDArray[np.bool_],
    *,
    population: NDArray[np.bool_] | None = None,
    gamma: float = 1.0,
) -> Array:
    """Share of the population over which the example's likelihood ratio wins by `gamma`.

    An example's ratio is its probability under the target over its mean probability under models,
    half of which trained on it (equations 2 to 4 of the paper).

    Parameters
    ----------
    target : float array, shape (n,)
        Logit-scaled confidences of the attacked model.
    shadows : float array, shape (K, n)
        Of the shadow models.
    masks : bool array, shape (K, n)
        Which shadow trained on which example; each example needs two on both sides.
    population : bool array, shape (n,), optional
        Which examples are the others that it is compared with; all by default. Nothing need be
        known of their membership.
    gamma : float
        At least 1.

    Raises
    ------
    ConfigurationError
        If shapes differ, an example lacks shadows on one side, or a parameter is out of range.
    """
    check_shadows(target, shadows, masks, both=True)
    likely = _probability(shadows)
    inside = np.where(masks, likely, 0.0).sum(axis=0) / masks.sum(axis=0)
    return _outdone(target, (inside + _outside(likely, masks)) / 2, population, gamma)


def rmia_offline(
    target: Array,
    shadows: Array,
    masks: NDArray[np.bool_],
    *,
    a: float = 0.3,
    population: NDArray[np.bool_] | None = None,
    gamma: float = 1.0,
) -> Array:
    """RMIA without shadows that trained on the attacked example.

    What models inside would say is guessed from those outside: p = ((1 + a) p_out + 1 - a) / 2
    (section 3 of the paper).

    Parameters
    ----------
    a : float
        In [0, 1]: 1 if training on an example changes nothing, 0 if it makes it certain.
    target, shadows, masks, population, gamma
        As in `rmia_online`; only shadows outside `masks` are used.
    """
    check_shadows(target, shadows, masks, both=False)
    if not 0 <= a <= 1:
        raise ConfigurationError(f"a must be in [0, 1], got {a}; 0.3 suits nets that overfit")
    outside = _outside(_probability(shadows), masks)
    return _outdone(target, ((1 + a) * outside + 1 - a) / 2, population, gamma)


def _outdone(
    target: Array, usual: Array, population: NDArray[np.bool_] | None, gamma: float
) -> Array:
    """For each example the share of others whose ratio it exceeds by the factor gamma."""
    if gamma < 1:
        raise ConfigurationError(f"gamma must be at least 1, got {gamma}; 1 or 2 are usual")
    ratio = _probability(target) / np.maximum(usual, np.finfo(float).tiny)
    chosen = np.ones(len(ratio), np.bool_) if population is None else np.asarray(population)
    if chosen.dtype != np.bool_ or chosen.shape != ratio.shape or not chosen.any():
        raise ConfigurationError(
            f"population has shape {chosen.shape} for {len(ratio)} examples; "
            "give one bool an example, at least one of them true"
        )
    others = np.sort(ratio[chosen])
    beaten = np.searchsorted(others, ratio / gamma, side="right")
    itself = chosen & (gamma == 1)  # an example equals itself; that is no win over another
    shares: Array = (beaten - itself) / np.maximum(len(others) - itself, 1)
    return shares


def _outside(likely: Array, masks: NDArray[np.bool_]) -> Array:
    mean: Array = np.where(masks, 0.0, likely).sum(axis=0) / (~masks).sum(axis=0)
    return mean


def _probability(confidence: Array) -> Array:
    """The sigmoid of a logit-scaled confidence: the probability of the true label."""
    found: Array = np.exp(-np.logaddexp(0.0, -confidence))
    return found
