"""The rule by which the utility benchmark's recipes were chosen: training rows only.

    python -m benchmarks.utility_tuning [--sets support2,opt,all,golub]

Rows that train are cut into three folds; each grid's entry with the best mean AUROC on the fold
left out is taken, the first of equals. Without DP the grid is tried on FedAvg, with DP on central
DP-SGD at epsilon 4. Every regime then takes the same recipe, so that a swarm differs from what it
is compared with in nothing but how it trains. The choice itself is charged to no epsilon.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from flwr_swarm_attacks import auc
from numpy.typing import NDArray

from . import utility_regimes as regimes
from .utility import SETS, SOURCES, say
from .utility_regimes import Trained
from .utility_task import RECIPES, Recipe, Rows, Task, task_of

FOLDS = 3
EPSILON = 4.0
PLAIN: dict[str, list[Any]] = {"epochs": [2, 5], "lr": [0.001, 0.01, 0.03, 0.1, 0.3, 1.0]}
PRIVATE: dict[str, list[Any]] = {"steps": [4, 8, 20], "private_lr": [0.1, 0.5, 1.0, 2.0, 4.0]}


def folds(task: Task) -> list[Task]:
    """The task's training rows as tasks of their own, a third of them judging in each."""
    fold, case = np.empty(len(task.pooled), dtype=np.int64), task.pooled.y.numpy() > 0.5
    for kind in (True, False):  # each fold has its cases
        here = np.random.default_rng(0).permutation(np.flatnonzero(case == kind))
        fold[here] = np.arange(len(here)) % FOLDS
    site = np.repeat(np.arange(len(task.sites)), [len(rows) for rows in task.sites])

    def part(chosen: NDArray[np.bool_]) -> Rows:
        mask = torch.from_numpy(chosen)
        return Rows(x=task.pooled.x[mask], y=task.pooled.y[mask])

    return [
        replace(
            task,
            sites=tuple(part((fold != out) & (site == k)) for k in range(len(task.sites))),
            pooled=part(fold != out),
            test=part(fold == out),
        )
        for out in range(FOLDS)
    ]


def choose(
    task: Task, grid: dict[str, list[Any]], train: Callable[[Task, int], Trained]
) -> dict[str, Any]:
    """The grid's best entry."""
    parts, scored = folds(task), []
    for values in itertools.product(*grid.values()):
        entry = dict(zip(grid, values, strict=True))
        recipe = replace(task.recipe, **entry)
        found = []
        for part in parts:
            with_recipe = replace(part, recipe=recipe)
            (model,) = train(with_recipe, 1).models
            found.append(auc(with_recipe.scores(model), part.test.y.numpy() > 0.5))
        scored.append((float(np.mean(found)), entry))
    best = max(score for score, _ in scored)
    say(f"  {task.name}: " + ", ".join(f"{entry} {score:.3f}" for score, entry in scored))
    return next(entry for score, entry in scored if score == best)


def tuned(task: Task) -> Recipe:
    """The recipe that the rule leads to; what no grid holds stays."""
    plain = choose(task, PLAIN, regimes.federated)
    private = choose(task, PRIVATE, lambda part, seed: regimes.central_noise(part, seed, EPSILON))
    return replace(task.recipe, **plain, **private)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.utility_tuning")
    parser.add_argument("--sets", default=",".join(SETS))
    torch.set_num_threads(1)
    for name in parser.parse_args().sets.split(","):
        found = tuned(task_of(name, SOURCES[name]()))
        say(f"{name}: {found}" + ("" if found == RECIPES[name] else "   NOT what is pinned"))
