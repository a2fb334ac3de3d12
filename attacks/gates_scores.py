"""Gates on attacks: is a membership attack stronger than was claimed, whatever its scores are.

The bounds assume only that examples are independent of one another; each may appear once.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr
from scipy.stats import beta, binom

from flwr_swarm._exceptions import ConfigurationError

from .gate import ALPHA, GateResult
from .metrics import auc

Array = NDArray[np.float64]


def auc_gate(
    scores: ArrayLike,
    member: ArrayLike,
    *,
    at_most: float = 0.5,
    against: float = 0.7,
    alpha: float = ALPHA,
    name: str = "attack AUC",
) -> GateResult:
    """Trips if an attack's true AUC is above `at_most`.

    The measured AUC is a two-sample U-statistic, which is beyond its mean by t with probability
    exp(-2 min(k, l) t^2) at most (Hoeffding 1963), for k members and l others of any scores.

    Parameters
    ----------
    scores : float array, shape (n,)
        Higher means more likely a member.
    member : bool array, shape (n,)
    at_most : float
        The AUC that was claimed.
    against : float
        The AUC at which `power` is given, by Hanley and McNeil's variance (1982).
    """
    truth = np.asarray(member, np.bool_)
    fewest = int(min(truth.sum(), (~truth).sum()))
    found = auc(scores, truth)
    threshold = at_most + math.sqrt(math.log(1 / alpha) / (2 * fewest))
    return GateResult(
        gate=name,
        statistic=found,
        threshold=threshold,
        tripped=not found <= threshold,
        false_alarm=alpha,
        power=_auc_power(threshold, against, int(truth.sum()), int((~truth).sum())),
        against=f"an attack of AUC {against:g}",
        detail=f"AUC on {int(truth.sum())} members and {int((~truth).sum())} others, claimed to "
        f"be {at_most:g} at most",
    )


def tpr_gate(
    scores: ArrayLike,
    member: ArrayLike,
    *,
    fpr: float = 0.01,
    at_most: float = 0.01,
    against: float = 0.1,
    alpha: float = ALPHA,
    name: str = "attack TPR",
) -> GateResult:
    """Trips if an attack finds more than `at_most` of the members at a false-positive rate `fpr`.

    Non-members alone fix the score's threshold, an order statistic that accuses more than `fpr` of
    all non-members with probability alpha / 2 at most (the rate above it is a beta variable).
    Members beyond it are binomial; their rate's lower bound is Clopper and Pearson's.

    Raises
    ------
    ConfigurationError
        If there are too few non-members to say anything about so small a rate.
    """
    values, truth = np.asarray(scores, np.float64), np.asarray(member, np.bool_)
    others, members = np.sort(values[~truth])[::-1], values[truth]
    rank = _rank(len(others), fpr, alpha / 2)
    if rank == 0 or not len(members):
        raise ConfigurationError(
            f"{len(others)} non-members cannot fix a threshold of false-positive rate {fpr:g} at "
            f"alpha {alpha:.0e}; give {others_needed(fpr=fpr, alpha=alpha)} or more"
        )
    if np.isnan(values).any():
        raise ConfigurationError("a score is NaN; did the attacked model diverge?")
    found = int((members > others[rank - 1]).sum())
    most = int(binom.isf(alpha / 2, len(members), at_most))
    return GateResult(
        gate=name,
        statistic=found / len(members),
        threshold=most / len(members),
        tripped=found > most,
        false_alarm=alpha,
        power=float(binom.sf(most, len(members), against)),
        against=f"an attack that finds {against:.0%} at that threshold",
        detail=f"share of {len(members)} members above the score of non-member {rank} of "
        f"{len(others)} (false-positive rate below {fpr:g}), claimed to be {at_most:g} at most",
    )


def others_needed(*, fpr: float = 0.01, alpha: float = ALPHA) -> int:
    """Fewest non-members with which `tpr_gate` can speak of this rate."""
    return math.ceil(math.log(alpha / 2) / math.log1p(-fpr))


def examples_needed(
    auc_found: float, *, at_most: float = 0.5, alpha: float = ALPHA, power: float = 0.99
) -> int:
    """Members, and as many others, with which `auc_gate` finds an attack of this AUC."""
    if not at_most < auc_found <= 1:
        raise ConfigurationError(
            f"an AUC of {auc_found} is not above the claimed {at_most}; there is nothing to find"
        )
    count = 8
    while True:
        threshold = at_most + math.sqrt(math.log(1 / alpha) / (2 * count))
        if _auc_power(threshold, auc_found, count, count) >= power:
            return count
        count = math.ceil(count * 1.05)


def _rank(others: int, fpr: float, alpha: float) -> int:
    """How many non-members may lie at or above the threshold, so that its rate is below `fpr`."""
    ranks = np.arange(1, others + 1)
    sure = beta.sf(fpr, ranks, others - ranks + 1) <= alpha
    return int(sure.sum())  # surer at lower ranks, so a prefix


def _auc_power(threshold: float, value: float, members: int, others: int) -> float:
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    spread = value * (1 - value)
    spread += (members - 1) * (q1 - value**2) + (others - 1) * (q2 - value**2)
    deviation = math.sqrt(max(spread / (members * others), 1e-18))
    return float(ndtr((value - threshold) / deviation))
