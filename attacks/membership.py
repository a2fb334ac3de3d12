"""Membership scores from confidences; in each, higher means more likely a member."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError

Variance = Literal["auto", "each", "global"]
Array = NDArray[np.float64]

_ENOUGH = 32
"""Shadows on one side from which a variance of each example's own is worth estimating."""


def loss_threshold(target: Array) -> Array:
    """Minus the target's loss (Yeom et al. 2018).

    Parameters
    ----------
    target : float array, shape (n,)
        Logit-scaled confidences of the attacked model.
    """
    scores: Array = -np.logaddexp(0.0, -target)
    return scores


def lira_online(
    target: Array, shadows: Array, masks: NDArray[np.bool_], *, variance: Variance = "auto"
) -> Array:
    """Log-likelihood ratio of the target's confidence, trained on the example over not trained.

    LiRA of Carlini et al. 2022, algorithm 1: a Gaussian to each side.

    Parameters
    ----------
    target : float array, shape (n,)
    shadows : float array, shape (K, n)
        Logit-scaled confidences of the shadow models.
    masks : bool array, shape (K, n)
        Which shadow trained on which example; each example needs one on both sides.
    variance : {"auto", "each", "global"}
        One variance an example, or one a side pooled over examples (fewer shadows suffice).

    Raises
    ------
    ConfigurationError
        If shapes differ, or an example lacks shadows on one side.
    """
    check_shadows(target, shadows, masks, both=True)
    inside, outside = (_gaussian(shadows, side, variance) for side in (masks, ~masks))
    return _log_density(target, *inside) - _log_density(target, *outside)


def lira_offline(
    target: Array, shadows: Array, masks: NDArray[np.bool_], *, variance: Variance = "auto"
) -> Array:
    """How far the target's confidence lies above those of models that never saw the example.

    LiRA's one-sided test (Carlini et al. 2022, section V.C): the z-score, in place of its
    monotone 1 - p. Needs no shadow trained on the attacked example. Parameters and errors as in
    `lira_online`; only shadows outside `masks` are used.
    """
    check_shadows(target, shadows, masks, both=False)
    mean, deviation = _gaussian(shadows, ~masks, variance)
    scores: Array = (target - mean) / deviation
    return scores


def _gaussian(shadows: Array, side: NDArray[np.bool_], variance: Variance) -> tuple[Array, Array]:
    count = side.sum(axis=0)
    mean = np.where(side, shadows, 0.0).sum(axis=0) / count
    squares = np.where(side, (shadows - mean) ** 2, 0.0).sum(axis=0)
    pooled = float(squares.sum() / max(int((count - 1).sum()), 1))
    if variance == "each" or (variance == "auto" and count.min() >= _ENOUGH):
        spread = squares / np.maximum(count - 1, 1)
    else:
        spread = np.full_like(mean, pooled)
    # Equal confidences in all shadows would divide by zero.
    return mean, np.sqrt(np.maximum(spread, 1e-6 * max(pooled, 1e-12)))


def _log_density(value: Array, mean: Array, deviation: Array) -> Array:
    result: Array = -0.5 * ((value - mean) / deviation) ** 2 - np.log(deviation)
    return result


def check_shadows(target: Array, shadows: Array, masks: NDArray[np.bool_], *, both: bool) -> None:
    """Refuse arrays that do not fit, or examples with fewer than two shadows on a side."""
    if shadows.ndim != 2 or shadows.shape != masks.shape or shadows.shape[1:] != target.shape:
        raise ConfigurationError(
            f"target {target.shape}, shadows {shadows.shape} and masks {masks.shape} must be "
            "(n,), (K, n) and (K, n)"
        )
    few = [int((~masks).sum(axis=0).min())] + ([int(masks.sum(axis=0).min())] if both else [])
    if min(few) < 2:
        raise ConfigurationError(
            f"an example has only {min(few)} shadows on one side, at least 2 are needed; "
            "train more, with balanced_masks"
        )
