"""Membership from updates: whether a step of training points where an example would pull it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import log_ndtr
from torch import nn
from torch.func import functional_call, grad

from flwr_swarm._exceptions import ConfigurationError

from .confidence import confidence, losses
from .membership import Array
from .views import SeesSteps, State, Step

_CHUNK = 4_000_000
"""Gradient entries that are held at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measures:
    """What steps say about examples; every array has shape (rounds, sites, n).

    Parameters
    ----------
    sites : tuple of int
        Whose step; `SUM` where only the sum is seen.
    cosine : float array
        Of the example's pull (minus the gradient of its loss at the old model) and the step.
    difference : float array
        |step|^2 - |step - r * pull|^2, with r the share of the step that one pull of the mean
        length explains.
    confidence : float array
        Logit-scaled, under the model after the step.
    """

    sites: tuple[int, ...]
    cosine: Array
    difference: Array
    confidence: Array

    def of(self, site: int) -> int:
        """Where a site stands."""
        return self.sites.index(site)


def measure(
    view: SeesSteps, make_model: Callable[[], nn.Module], x: torch.Tensor, y: torch.Tensor
) -> Measures:
    """Compare every step of a view with every example.

    Parameters
    ----------
    view : SeesSteps
        A leader, a member, or a coalition. All its steps are of the same sites.
    make_model : callable
        Returns a net of the architecture; without batch normalisation.
    x, y : tensors
        Examples and labels, as in `confidence`.
    """
    sites = tuple(sorted(view.steps[0].after)) if view.steps else ()
    if not sites or any(tuple(sorted(step.after)) != sites for step in view.steps):
        raise ConfigurationError(
            "the steps are not all of the same sites; choose rounds in which all took part"
        )
    model = make_model().eval()
    rows = [_of_step(model, step, sites, x, y) for step in view.steps]
    cosine, difference, confident = (np.stack(part) for part in zip(*rows, strict=True))
    return Measures(sites=sites, cosine=cosine, difference=difference, confidence=confident)


def update_cosine(measures: Measures, site: int) -> Array:
    """Mean cosine over rounds of the example's pull and the site's step."""
    scores: Array = measures.cosine[:, measures.of(site)].mean(axis=0)
    return scores


def gradient_difference(measures: Measures, site: int) -> Array:
    """How much of the step goes away without the example's pull (Li et al. 2023), over rounds."""
    scores: Array = measures.difference[:, measures.of(site)].mean(axis=0)
    return scores


def loss_of_updates(measures: Measures, site: int) -> Array:
    """Minus the loss under the site's model, in the mean over rounds."""
    scores: Array = -np.logaddexp(0, -measures.confidence[:, measures.of(site)]).mean(axis=0)
    return scores


def fedmia(values: Array, site: int) -> Array:
    """FedMIA of Zhu et al. (2025): one site against all others, which cannot hold its rows.

    For each round and example a Gaussian is laid over what the other sites' steps say; the score
    is the log-probability, summed over rounds, that a step without the example says less than the
    site's does. The deviation is pooled over examples, as the other sites are few.

    Parameters
    ----------
    values : float array, shape (rounds, sites, n)
        `Measures.confidence` (FedMIA-I) or `Measures.cosine` (FedMIA-II).
    site : int
        Where the attacked site stands in `values`.

    Raises
    ------
    ConfigurationError
        If there are fewer than two other sites: a sum over all cannot be attacked so.
    """
    others = np.delete(values, site, axis=1)
    if others.shape[1] < 2:
        raise ConfigurationError(
            f"FedMIA compares a site with others, here are {others.shape[1]}; it needs two"
        )
    centre = others.mean(axis=1)
    spread = others.var(axis=1, ddof=1).mean(axis=1, keepdims=True)
    apart = (values[:, site] - centre) / np.sqrt(np.maximum(spread, 1e-24))
    scores: Array = log_ndtr(apart).sum(axis=0)
    return scores


def example_gradients(
    model: nn.Module, state: State, x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """Gradient of each example's loss at a model, flat in the order of the names; (n, size)."""
    names = sorted(name for name, _ in model.named_parameters())
    fixed = {n: v for n, v in state.items() if n not in names}

    def loss(params: State, one: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        logits = functional_call(model, {**params, **fixed}, (one.unsqueeze(0),))
        return losses(logits, label.unsqueeze(0)).sum()

    of_each = torch.vmap(grad(loss), in_dims=(None, 0, 0))
    found = of_each({name: state[name] for name in names}, x, y)
    return torch.cat([found[name].reshape(len(x), -1) for name in names], dim=1)


def _of_step(
    model: nn.Module, step: Step, sites: tuple[int, ...], x: torch.Tensor, y: torch.Tensor
) -> tuple[Array, Array, Array]:
    names = sorted(name for name, _ in model.named_parameters())
    flat = {site: _flat(step.after[site], names) - _flat(step.before, names) for site in sites}
    moves = torch.stack([flat[site] for site in sites])
    lengths = moves.norm(dim=1).clamp_min(1e-300)
    size = max(1, _CHUNK // moves.shape[1])
    pulls = (
        -example_gradients(model, step.before, x[at : at + size], y[at : at + size]).double()
        for at in range(0, len(x), size)
    )
    # Gradients of all examples do not fit into memory; what is kept of them is small.
    parts = [(moves @ part.T, part.square().sum(dim=1), part.sum(dim=0)) for part in pulls]
    along = torch.cat([part for part, _, _ in parts], dim=1)
    squares = torch.cat([part for _, part, _ in parts])
    mean = torch.stack([part for _, _, part in parts]).sum(dim=0) / len(x)
    share = (moves @ mean).clamp_min(0) / mean.square().sum().clamp_min(1e-300) / len(x)
    cosine = along / lengths[:, None] / squares.sqrt().clamp_min(1e-300)
    difference = 2 * share[:, None] * along - share[:, None] ** 2 * squares
    with torch.no_grad():
        after = [confidence(functional_call(model, dict(step.after[s]), (x,)), y) for s in sites]
    return cosine.numpy(), difference.numpy(), torch.stack(after).numpy()


def _flat(state: State, names: list[str]) -> torch.Tensor:
    return torch.cat([state[name].double().reshape(-1) for name in names])
