"""From attacked models to results: every attack on every target of a view, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from flwr_swarm._exceptions import ConfigurationError

from .calibration import calibrated_loss
from .confidence import confidence
from .membership import Variance, lira_offline, lira_online, loss_threshold
from .metrics import separation
from .rmia import rmia_offline, rmia_online
from .views import View

Predict = nn.Module | Callable[[torch.Tensor], torch.Tensor]
Array = NDArray[np.float64]
Score = Callable[[Array, Array, NDArray[np.bool_]], Array]
"""From the target's confidences, the shadows' and their masks."""

LOSS_THRESHOLD = "loss threshold"
CALIBRATED_LOSS = "calibrated loss"
LIRA_ONLINE = "LiRA online"
LIRA_OFFLINE = "LiRA offline"
RMIA_ONLINE = "RMIA online"
RMIA_OFFLINE = "RMIA offline"


@dataclass(frozen=True, kw_only=True, eq=False)
class Shadows:
    """What the attacker's own models say about the attacked examples.

    Parameters
    ----------
    confidence : float array, shape (K, n)
        From `confidences`.
    masks : bool array, shape (K, n)
        Which shadow trained on which example.
    """

    confidence: NDArray[np.float64]
    masks: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """One attacked model and the examples it is attacked on.

    Parameters
    ----------
    confidence : float array, shape (n,)
        The model's logit-scaled confidences; from `target_of`.
    member : bool array, shape (n,)
        The truth: which examples trained it.
    examples : int array, shape (n,)
        Who they are, so that intervals are clustered when they appear in several targets.
    shadows : Shadows, optional
        All attacks but the loss threshold need them.
    """

    confidence: NDArray[np.float64]
    member: NDArray[np.bool_]
    examples: NDArray[np.int64]
    shadows: Shadows | None = None


@dataclass(frozen=True, kw_only=True)
class AttackResult:
    """One attack from one view; rates are in [0, 1], intervals 95 %, clustered by example.

    AUC .5 is chance. `members` and `non_members` count attacked (example, target) pairs.
    """

    view: View
    attack: str
    auc: float
    auc_low: float
    auc_high: float
    tpr_at_1pct_fpr: float
    tpr_low: float
    tpr_high: float
    members: int
    non_members: int
    targets: int
    shadows: int

    def to_json(self) -> dict[str, str | float | int]:
        """Field names to plain values; `view` by its name in reports."""
        return {**asdict(self), "view": self.view.value}


def target_of(
    predict: Predict,
    x: torch.Tensor,
    y: torch.Tensor,
    member: NDArray[np.bool_],
    *,
    examples: NDArray[np.int64] | None = None,
    shadows: Shadows | None = None,
) -> Target:
    """Query a model once on all examples.

    Parameters
    ----------
    predict : torch.nn.Module or callable
        From inputs to logits; a module is put into evaluation mode for the query.
    x, y : tensors
        Examples and labels, as in `confidence`.
    member, examples, shadows
        As in `Target`; examples default to 0, ..., n - 1.

    Raises
    ------
    ConfigurationError
        If the numbers of examples differ.
    """
    if not len(x) == len(y) == len(member):
        raise ConfigurationError(
            f"{len(x)} examples, {len(y)} labels and {len(member)} memberships; give one of each"
        )
    training = isinstance(predict, nn.Module) and predict.training
    if isinstance(predict, nn.Module):
        predict.eval()
    try:
        with torch.no_grad():
            found = confidence(predict(x), y).numpy()
    finally:
        if isinstance(predict, nn.Module):
            predict.train(training)
    return Target(
        confidence=found,
        member=np.asarray(member, np.bool_),
        examples=np.arange(len(x)) if examples is None else np.asarray(examples),
        shadows=shadows,
    )


def attack(
    view: View,
    targets: Sequence[Target],
    *,
    variance: Variance = "auto",
    resamples: int = 1000,
    seed: int = 0,
) -> list[AttackResult]:
    """Run every attack that the targets allow and pool the scores of all targets.

    Parameters
    ----------
    view : View
        From where the attacker looks; it decides nothing here, it names the claim.
    targets : sequence of Target
        At least one; the attacks with shadows run if all of them have some.
    variance : {"auto", "each", "global"}
        See `lira_online`.
    resamples, seed : int
        Of the bootstrap.

    Returns
    -------
    list of AttackResult
        Loss threshold, calibrated loss, LiRA online and offline, RMIA online and offline.
    """
    if not targets:
        raise ConfigurationError("no target to attack; give at least one")
    each = [scores_of(target, variance=variance) for target in targets]
    common = [name for name in each[0] if all(name in found for found in each)]
    scores = {name: [found[name] for found in each] for name in common}
    member = np.concatenate([t.member for t in targets])
    examples = np.concatenate([t.examples for t in targets])
    results = []
    for name, parts in scores.items():
        found = separation(
            np.concatenate(parts), member, examples=examples, resamples=resamples, seed=seed
        )
        results.append(
            AttackResult(
                view=view,
                attack=name,
                auc=found.auc.value,
                auc_low=found.auc.low,
                auc_high=found.auc.high,
                tpr_at_1pct_fpr=found.tpr.value,
                tpr_low=found.tpr.low,
                tpr_high=found.tpr.high,
                members=int(member.sum()),
                non_members=int((~member).sum()),
                targets=len(targets),
                shadows=0
                if name == LOSS_THRESHOLD
                else min(len(t.shadows.confidence) for t in targets if t.shadows is not None),
            )
        )
    return results


def scores_of(target: Target, *, variance: Variance = "auto") -> dict[str, Array]:
    """Every attack's scores of one target by the attack's name; higher means more a member.

    Without shadows, the loss threshold alone.
    """
    scores = {LOSS_THRESHOLD: loss_threshold(target.confidence)}
    if target.shadows is not None:
        attacks: dict[str, Score] = {
            CALIBRATED_LOSS: calibrated_loss,
            LIRA_ONLINE: partial(lira_online, variance=variance),
            LIRA_OFFLINE: partial(lira_offline, variance=variance),
            RMIA_ONLINE: rmia_online,
            RMIA_OFFLINE: rmia_offline,
        }
        shadows = target.shadows
        scores |= {
            name: score(target.confidence, shadows.confidence, shadows.masks)
            for name, score in attacks.items()
        }
    return scores


def attack_model(
    view: View,
    predict: Predict,
    x: torch.Tensor,
    y: torch.Tensor,
    member: NDArray[np.bool_],
    *,
    shadows: Shadows | None = None,
    variance: Variance = "auto",
    resamples: int = 1000,
    seed: int = 0,
) -> list[AttackResult]:
    """`attack` on a single model; arguments as in `target_of` and `attack`."""
    target = target_of(predict, x, y, member, shadows=shadows)
    return attack(view, [target], variance=variance, resamples=resamples, seed=seed)
