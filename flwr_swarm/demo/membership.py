"""The attack table: was this patient in the training set? Asked of every model, from two views."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr_swarm_attacks import (
    AttackResult,
    Shadows,
    View,
    attack,
    balanced_masks,
    confidences,
    target_of,
    train_shadows,
)
from numpy.typing import NDArray

from flwr_swarm._exceptions import SwarmError

from .apps import task_module
from .data import Federation, Site
from .models import State, pool, with_state

Progress = Callable[[int, int], None]
_RESAMPLES = 500


def final_model_shadows(
    data: Federation, config: Mapping[str, Any], *, shadows: int, progress: Progress
) -> Shadows:
    """Shadow models of what training ends with: half of all rows each, as many epochs as a run.

    The attacker knows architecture, hyperparameters and the rows it asks about, as in Carlini et
    al. (2022); it trains its shadows in one place, because it does not know who holds which row.
    """
    x, y, _, _ = _everyone(data)
    masks = balanced_masks(shadows, len(x), seed=int(config["seed"]))
    epochs = int(config["rounds"]) * int(config["local-epochs"])
    return _shadows(x, y, masks, config, epochs=epochs, initial=None, progress=progress)


def attack_final(
    state: State, data: Federation, config: Mapping[str, Any], shadows: Shadows
) -> list[AttackResult]:
    """All attacks on a final model, as anyone sees it who gets the model."""
    x, y, member, ids = _everyone(data)
    model = with_state(state, config)
    target = target_of(model, x, y, member, examples=ids, shadows=shadows)
    found: list[AttackResult] = attack(View.OUTSIDER_FINAL_MODEL, [target], resamples=_RESAMPLES)
    return found


def complete_round(updates: Path, sites: int) -> int:
    """The newest recorded round in which every site's update was merged.

    `RecordedFedAvg` numbers what it is given, so only in such a round is each update's site known.

    Raises
    ------
    SwarmError
        If there is none.
    """
    rounds = sorted(updates.glob("round-*-global.pt"), reverse=True)
    for path in rounds:
        number = int(path.name.split("-")[1])
        if len(list(updates.glob(f"round-{number:04d}-member-*.pt"))) == sites:
            return number
    raise SwarmError(
        f"in none of {len(rounds)} recorded rounds were the updates of all {sites} sites merged, "
        "so no single update can be attacked; the log of the run without encryption says why"
    )


def attack_updates(
    updates: Path,
    number: int,
    data: Federation,
    config: Mapping[str, Any],
    *,
    shadows: int,
    progress: Progress,
) -> list[AttackResult]:
    """All attacks on the single updates of one round, as a leader sees them in the clear.

    The leader knows the global model before and the site's model after; its shadows start from
    the former and train as the site does, on half of the site's rows each.

    Parameters
    ----------
    updates : Path
        What `RecordedFedAvg` wrote.
    number : int
        The round.
    """
    initial = _load(updates / f"round-{number:04d}-global.pt")
    targets = []
    for index, site in enumerate(data.sites):
        x, y, member, ids = _rows([site])
        masks = balanced_masks(shadows, len(x), seed=int(config["seed"]) + index)
        known = _shadows(
            x, y, masks, config,
            epochs=int(config["local-epochs"]), initial=initial,
            progress=lambda done, steps, index=index: progress(  # type: ignore[misc]
                index * steps + done, len(data.sites) * steps
            ),
        )  # fmt: skip
        after = _load(updates / f"round-{number:04d}-member-{index:04d}.pt")
        model = with_state(after, config)
        targets.append(target_of(model, x, y, member, examples=ids, shadows=known))
    found: list[AttackResult] = attack(View.LEADER_PLAINTEXT_UPDATE, targets, resamples=_RESAMPLES)
    return found


def _shadows(
    x: torch.Tensor,
    y: torch.Tensor,
    masks: NDArray[np.bool_],
    config: Mapping[str, Any],
    *,
    epochs: int,
    initial: State | None,
    progress: Progress,
) -> Shadows:
    features, hidden = x.shape[1], int(config["hidden"])
    ensemble = train_shadows(
        lambda: task_module().Net(features, hidden),
        x,
        y,
        masks,
        epochs=epochs,
        batch_size=int(config["batch-size"]),
        lr=float(config["learning-rate"]),
        initial=initial,
        seed=int(config["seed"]),
        progress=progress,
    )
    return Shadows(confidence=confidences(ensemble, x, y), masks=masks)


def _everyone(
    data: Federation,
) -> tuple[torch.Tensor, torch.Tensor, NDArray[np.bool_], NDArray[np.int64]]:
    return _rows(data.sites)


def _rows(
    sites: Sequence[Site],
) -> tuple[torch.Tensor, torch.Tensor, NDArray[np.bool_], NDArray[np.int64]]:
    """Rows of some sites: x, y, whether they trained, identifiers."""
    trained = pool([site.train for site in sites])
    kept = pool([site.held_out for site in sites])
    both = pool([trained, kept])
    member = np.arange(len(both)) < len(trained)
    return torch.from_numpy(both.x), torch.from_numpy(both.y), member, both.ids


def _load(path: Path) -> State:
    state: State = torch.load(path, weights_only=True)
    return state
