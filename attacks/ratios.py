"""Membership from a site's updates of all rounds: RMIA's likelihood ratio, multiplied over rounds.

The ratio of Zarifzadeh, Liu and Shokri (2024) is the probability of an example's label under the
attacked model over its mean probability under models of which half trained on the example. Each
round's update is one more model to ask. Scores are mean logarithms of the ratio over rounds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError

from .membership import Array, check_shadows


def ratio_to_peers(confidence: Array, site: int, *, a: float = 0.3) -> Array:
    """One site against the others, whose updates start at the same model and lack its rows.

    It needs no shadow model and nobody's data. What models that trained on the example would say
    is guessed from those that did not, as in `rmia_offline`.

    Parameters
    ----------
    confidence : float array, shape (rounds, sites, n)
        `Measures.confidence`.
    site : int
        Where the attacked site stands in it.
    a : float
        As in `rmia_offline`.

    Raises
    ------
    ConfigurationError
        If there is no other site, or `a` is out of range.
    """
    others = np.delete(confidence, site, axis=1)
    if not others.shape[1] or not 0 <= a <= 1:
        raise ConfigurationError(
            f"{others.shape[1]} other sites and a = {a}; give one other site or more, and a in "
            "[0, 1]: a sum over all cannot be attacked so"
        )
    outside = _log_mean(_log_probability(others), axis=1)
    certain = np.log1p(-a) if a < 1 else -np.inf
    usual = np.logaddexp(np.log1p(a) + outside, certain) - np.log(2)
    scores: Array = (_log_probability(confidence[:, site]) - usual).mean(axis=0)
    return scores


def ratio_over_rounds(target: Array, shadows: Array, masks: NDArray[np.bool_]) -> Array:
    """One site against shadow models of each round, which start at that round's global model.

    Parameters
    ----------
    target : float array, shape (rounds, n)
        Logit-scaled confidences of the site's models.
    shadows : float array, shape (K, rounds, n)
        Of the shadow models of the same rounds.
    masks : bool array, shape (K, n)
        Which shadow trained on which example; each example needs two on both sides.

    Raises
    ------
    ConfigurationError
        If shapes differ, or an example lacks shadows on one side.
    """
    if target.ndim != 2 or shadows.ndim != 3 or shadows.shape[1:] != target.shape:
        raise ConfigurationError(
            f"target {target.shape} and shadows {shadows.shape} must be (rounds, n) and "
            "(K, rounds, n)"
        )
    check_shadows(target[0], shadows[:, 0], masks, both=True)
    likely, inside = _log_probability(shadows), masks[:, None, :]
    sides = [
        _log_mean(np.where(side, likely, -np.inf), axis=0, count=side.sum(axis=0))
        for side in (inside, ~inside)
    ]
    scores: Array = (_log_probability(target) - _log_mean(np.stack(sides), axis=0)).mean(axis=0)
    return scores


def _log_probability(confidence: Array) -> Array:
    """Of the true label; the logarithm stays finite where the probability rounds to zero."""
    found: Array = -np.logaddexp(0.0, -confidence)
    return found


def _log_mean(logs: Array, *, axis: int, count: Array | None = None) -> Array:
    found: Array = np.logaddexp.reduce(logs, axis=axis)
    return found - np.log(logs.shape[axis] if count is None else count)
