"""Models that need no Flower (local, pooled), and how every model is judged: AUROC outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from flwr_swarm_attacks import separation

from .apps import task_module
from .data import Cohort, Federation

_RESAMPLES = 1000

State = Mapping[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Score:
    """An AUROC and its 95 % percentile interval from a bootstrap over patients."""

    value: float
    low: float
    high: float


def auroc(state: State, cohort: Cohort, config: Mapping[str, Any]) -> Score:
    """AUROC of a model on a cohort.

    Parameters
    ----------
    state : mapping of str to tensor
        State dict of the example's `Net`.
    cohort : Cohort
    config : mapping
        The run config that the model was built with.
    """
    logits = task_module().score(with_state(state, config), cohort).numpy()
    # The same statistic as the attacks': the chance that a case ranks above a non-case.
    found = separation(logits, cohort.y.astype(bool), resamples=_RESAMPLES, seed=0).auc
    return Score(value=found.value, low=found.low, high=found.high)


def with_state(state: State, config: Mapping[str, Any]) -> torch.nn.Module:
    """The example's model with these parameters."""
    model: torch.nn.Module = task_module().build(dict(config))
    model.load_state_dict(dict(state))
    return model


def train_alone(cohort: Cohort, config: Mapping[str, Any], *, salt: int) -> State:
    """Train from the common initial model on one cohort, for as many epochs as a run makes."""
    task, settings = task_module(), dict(config)
    model = task.build(settings)
    loader = task.loader_of(cohort, settings, salt=salt)
    epochs = int(settings["rounds"]) * int(settings["local-epochs"])
    task.fit(model, task.optimizer_of(model, settings), loader, epochs)
    state: State = model.state_dict()
    return state


def baselines(
    data: Federation, config: Mapping[str, Any], *, done: Callable[[], None] = lambda: None
) -> tuple[list[State], State]:
    """One model per site on its own rows, and one on the rows of all.

    Parameters
    ----------
    data : Federation
    config : mapping
    done : callable
        Called after each model.

    Returns
    -------
    (list of state dicts, state dict)
    """
    local = []
    for index, site in enumerate(data.sites):
        local.append(train_alone(site.train, config, salt=index))
        done()
    pooled = train_alone(pool([site.train for site in data.sites]), config, salt=len(data.sites))
    done()
    return local, pooled


def pool(cohorts: list[Cohort]) -> Cohort:
    """The rows of several cohorts, in order."""
    return Cohort(
        name="pooled",
        x=np.concatenate([c.x for c in cohorts]),
        y=np.concatenate([c.y for c in cohorts]),
        ids=np.concatenate([c.ids for c in cohorts]),
    )
