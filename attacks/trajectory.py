"""Membership from how an example's confidence moved over the rounds, not from its end alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.func import functional_call

from flwr_swarm._exceptions import ConfigurationError

from .confidence import confidence
from .membership import Array, check_shadows, loss_threshold
from .views import SeesModels, State


def trajectory(
    view: SeesModels, make_model: Callable[[], nn.Module], x: torch.Tensor, y: torch.Tensor
) -> Array:
    """Logit-scaled confidence under every global model but the initial one, shape (rounds, n)."""
    model = make_model().eval()
    rows = [_confidences(model, state, x, y) for state in view.models[1:]]
    return np.stack(rows)


def trajectory_loss(target: Array) -> Array:
    """Minus the loss, in the mean over rounds: who is learnt early is a member, too.

    Parameters
    ----------
    target : float array, shape (rounds, n)
        From `trajectory`.
    """
    scores: Array = loss_threshold(target).mean(axis=0)
    return scores


def trajectory_lira(target: Array, shadows: Array, masks: NDArray[np.bool_]) -> Array:
    """LiRA on the whole trajectory: a Gaussian over rounds to each side.

    The covariance over rounds is common to all examples (within them, pooled): shadows are too few
    to tell one for each, and neighbouring rounds say nearly the same.

    Parameters
    ----------
    target : float array, shape (rounds, n)
        From `trajectory`.
    shadows : float array, shape (K, rounds, n)
        The same of each shadow federation.
    masks : bool array, shape (K, n)
        Which federation trained on which example.
    """
    if target.ndim != 2 or shadows.ndim != 3 or shadows.shape[1:] != target.shape:
        raise ConfigurationError(
            f"target {target.shape} and shadows {shadows.shape} must be (rounds, n) and "
            "(K, rounds, n)"
        )
    check_shadows(target[0], shadows[:, 0], masks, both=True)
    inside, outside = (_log_density(target, shadows, side) for side in (masks, ~masks))
    return inside - outside


def _log_density(target: Array, shadows: Array, side: NDArray[np.bool_]) -> Array:
    count = side.sum(axis=0)
    chosen = side[:, None, :]
    mean = np.where(chosen, shadows, 0.0).sum(axis=0) / count
    rest = np.where(chosen, shadows - mean, 0.0)
    freedom = max(int((count - 1).sum()), 1)
    covariance = np.einsum("krn,ksn->rs", rest, rest) / freedom
    ridge = 1e-3 * np.trace(covariance) / len(covariance) + 1e-12
    covariance += ridge * np.eye(len(covariance))
    apart = target - mean
    distance = np.einsum("rn,rn->n", apart, np.linalg.solve(covariance, apart))
    density: Array = -0.5 * distance - 0.5 * np.linalg.slogdet(covariance)[1]
    return density


def _confidences(model: nn.Module, state: State, x: torch.Tensor, y: torch.Tensor) -> Array:
    with torch.no_grad():
        found: Array = confidence(functional_call(model, dict(state), (x,)), y).numpy()
    return found
