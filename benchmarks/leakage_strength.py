"""Whether the attacks are as strong as the literature's: on models that overfit, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from flwr_swarm_attacks import (
    Estimate,
    Separation,
    Shadows,
    Target,
    confidences,
    scores_of,
    separation,
    train_shadows,
)

from .leakage_app import World
from .leakage_cells import halves

WANTED: Final[Mapping[str, Mapping[str, tuple[float, float]]]] = {
    "support2": {"LiRA online": (0.70, 0.11), "RMIA offline": (0.69, 0.10)},
    "all": {"LiRA online": (0.90, 0.0)},
}
"""By data set and attack: AUC and TPR at 1 % FPR that 64 shadows must reach."""


@dataclass(frozen=True, kw_only=True)
class Strength:
    """One attack's numbers over several targets, and what they must reach.

    `holds` is false if an interval's upper end is below what is wanted: then the attack is at
    fault, not chance.
    """

    attack: str
    separation: Separation
    wanted_auc: float
    wanted_tpr: float
    shadows: int
    targets: int

    @property
    def holds(self) -> bool:
        """Both numbers are what they must be, within their intervals."""
        found = self.separation
        return _reaches(found.auc, self.wanted_auc) and _reaches(found.tpr, self.wanted_tpr)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "holds": self.holds}


def strength(world: World, *, shadows: int, targets: int, seed: int = 11) -> list[Strength]:
    """Attack some of an ensemble by `shadows` others of it.

    Parameters
    ----------
    world : World
    shadows : int
        Even. The numbers wanted are for 64.
    targets : int
        Even.
    """
    masks, recipe = halves(world, shadows + targets, seed=seed), world.recipe
    ensemble = train_shadows(
        world.net, world.x, world.y, masks, epochs=recipe.rounds * recipe.epochs,
        batch_size=recipe.batch_size, optimizer=world.optimizer, seed=seed,
        initial=None if recipe.hidden else world.initial(),
    )  # fmt: skip
    found, rows = confidences(ensemble, world.x, world.y), np.arange(len(world.y))
    scores = []
    for one in range(targets):
        known = Shadows(confidence=found[targets:], masks=masks[targets:])
        target = Target(confidence=found[one], member=masks[one], examples=rows, shadows=known)
        scores.append(scores_of(target))
    member, examples = masks[:targets].reshape(-1), np.tile(rows, targets)
    return [
        Strength(
            attack=attack,
            separation=separation(
                np.concatenate([one[attack] for one in scores]), member, examples=examples,
                resamples=500,
            ),
            wanted_auc=auc, wanted_tpr=tpr, shadows=shadows, targets=targets,
        )
        for attack, (auc, tpr) in WANTED.get(world.name, {}).items()
    ]  # fmt: skip


def _reaches(found: Estimate, wanted: float) -> bool:
    return found.high >= wanted
