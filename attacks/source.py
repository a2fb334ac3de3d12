"""Source inference: at which site was this example trained on? (Hu et al. 2021)"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

from flwr_swarm._exceptions import ConfigurationError

from .membership import Array


@dataclass(frozen=True, kw_only=True)
class Source:
    """Share of examples whose site was named, with its 95 % interval (Clopper and Pearson).

    `chance` is what naming the site with the most examples always would reach.
    """

    accuracy: float
    low: float
    high: float
    chance: float
    examples: int


def likely_site(confidence: Array) -> NDArray[np.intp]:
    """The site whose models are surest of the example: the Bayes choice under equal priors.

    Parameters
    ----------
    confidence : float array, shape (rounds, sites, n)
        Under the sites' models, as `Measures.confidence` has it.
    """
    if confidence.ndim != 3 or confidence.shape[1] < 2:
        raise ConfigurationError(
            f"confidence has shape {confidence.shape}; give (rounds, sites, n) of two sites or "
            "more: from a sum nobody's site can be told"
        )
    loss = np.logaddexp(0.0, -confidence).mean(axis=0)
    found: NDArray[np.intp] = loss.argmin(axis=0)
    return found


def source_accuracy(guessed: ArrayLike, truth: ArrayLike) -> Source:
    """How often the guess was right, over training examples."""
    right, where = np.asarray(guessed), np.asarray(truth)
    if right.shape != where.shape or right.ndim != 1 or not len(right):
        raise ConfigurationError(
            f"guesses {right.shape} and sites {where.shape} must be vectors of one length"
        )
    hits, count = int((right == where).sum()), len(right)
    low = float(beta.ppf(0.025, hits, count - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, count - hits)) if hits < count else 1.0
    largest = np.unique(where, return_counts=True)[1].max()
    return Source(
        accuracy=hits / count, low=low, high=high, chance=float(largest / count), examples=count
    )
