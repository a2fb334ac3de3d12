"""What privacy costs: AUROC of local, pooled, federated and swarm training, with DP and without.

    python -m benchmarks.utility [--quick | --full] [--json FILE] [--markdown FILE]

Five seeds on SUPPORT2, OPT, ALL and Golub. `--quick`: SUPPORT2, two seeds. `--full`: pictures too.
FILE is written after every data set, so that an interrupted run keeps what it has. The exit status
is 1 if a promise is broken beyond doubt; the last lines say which, in words.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from flwr_swarm.demo.data import Federation

from . import utility_regimes as regimes
from .data_sets import TABLES
from .utility_judged import (
    CENTRAL,
    FAILS,
    FEDERATED,
    LOCAL,
    OPEN,
    OWN,
    POOLED,
    SWARM,
    TOGETHER,
    WHOLE,
    judge,
)
from .utility_pictures import PICTURES
from .utility_regimes import Trained
from .utility_scores import Cell, Judges
from .utility_table import markdown
from .utility_task import RULE, Task, task_of

EPSILONS: Final = (1.0, 4.0, 8.0)
QUICK_SETS: Final = ("support2",)
SETS: Final = ("support2", "opt", "all", "golub")
SOURCES: Final[Mapping[str, Callable[[], Federation]]] = {**TABLES, **PICTURES}

_ALONE = "PyTorch alone"
_OPACUS = "Opacus, by its own accountant"
_FLOWER = "a Flower app, plain FedAvg"
_PROTOCOL = "the whole protocol: chain, encryption, elected leaders"
_LOOP = "the members' codec, noise and accountant; no chain, no encryption"


def study(
    task: Task, *, seeds: int, epsilons: tuple[float, ...] = EPSILONS, say: Callable[[str], None]
) -> dict[str, Any]:
    """Everything about one data set, as plain values."""
    judges = Judges.of(task.test.y.numpy() > 0.5)
    alone: list[list[Any]] = [[] for _ in task.sites]
    models: dict[str, list[Any]] = {}

    def cell(
        regime: str, through: str, train: Callable[[int], Trained], epsilon: float | None = None,
        count: int = seeds,
    ) -> Cell:  # fmt: skip
        started, rows, spent = time.perf_counter(), [], []
        for seed in range(1, count + 1):
            trained = train(seed)
            each = [judges.aurocs(task.scores(model)) for model in trained.models]
            if regime == LOCAL:
                for kept, one in zip(alone, each, strict=True):
                    kept.append(one)
            rows.append(np.mean(each, axis=0))
            spent.append(trained.epsilon)
            models.setdefault(regime, []).append(trained.models[0])
        worst = None if epsilon is None else max(s for s in spent if s is not None)
        made = Cell(
            regime=regime, epsilon=epsilon, spent=worst, through=through, aurocs=np.array(rows)
        )
        title = regime if epsilon is None else f"{regime}, epsilon {worst:.3f}"
        say(f"  {title}: {made.value:.4f}  ({time.perf_counter() - started:.1f} s)")
        return made

    cells = [
        cell(LOCAL, _ALONE, lambda seed: regimes.local(task, seed)),
        cell(POOLED, _ALONE, lambda seed: regimes.pooled(task, seed)),
        cell(FEDERATED, _FLOWER, lambda seed: regimes.federated(task, seed)),
        cell(SWARM, _PROTOCOL, lambda seed: regimes.swarm(task, seed)),
    ]
    for e in epsilons:
        cells += [
            cell(name, through, partial(_at, train, task, e), e, count)
            for name, through, train, count in (
                (CENTRAL, _OPACUS, regimes.central_noise, seeds),
                (TOGETHER, _LOOP, regimes.distributed_noise_loop, seeds),
                (WHOLE, _PROTOCOL, regimes.distributed_noise, 1),
                (OWN, _PROTOCOL, regimes.local_noise, seeds),
            )
        ]
    sites = [
        Cell(regime=f"{LOCAL}: {place}", through=_ALONE, aurocs=np.array(rows))
        for place, rows in zip(task.places, alone, strict=True)
    ]
    return {
        "dataset": task.name,
        "trained_on": [len(rows) for rows in task.sites],
        "judged_on": {"patients": len(judges.case), "cases": int(judges.case.sum())},
        "parameters": sum(value.numel() for value in task.initial(0).values()),
        "recipe": dict(vars(task.recipe)),
        "delta": task.delta,
        "honest": task.honest,
        "seeds": seeds,
        "swarm_from_federated": _distance(models[SWARM], models[FEDERATED]),
        "cells": [one.to_json() for one in [*cells[:1], *sites, *cells[1:]]],
        "judged": [one.to_json() | {"words": str(one)} for one in judge(cells)],
    }


def _at(
    train: Callable[[Task, int, float], Trained], task: Task, epsilon: float, seed: int
) -> Trained:
    return train(task, seed, epsilon)


def _distance(some: list[Any], others: list[Any]) -> float:
    """Largest difference of a parameter: what the swarm's quantisation changed."""
    pairs = [
        (one[name], other[name]) for one, other in zip(some, others, strict=True) for name in one
    ]
    return max(float((left - right).abs().max()) for left, right in pairs)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.utility")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="SUPPORT2 alone, two seeds")
    size.add_argument("--full", action="store_true", help="pictures too")
    parser.add_argument("--sets", help="comma-separated names instead of the mode's own")
    parser.add_argument("--seeds", type=int, help="default 5, and 2 with --quick")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)  # nets of this size get slower with more
    names = QUICK_SETS if chosen.quick else (*SETS, *PICTURES) if chosen.full else SETS
    if chosen.sets:
        names = tuple(chosen.sets.split(","))
    seeds = chosen.seeds or (2 if chosen.quick else 5)
    started, studies = time.perf_counter(), []
    say(RULE)
    for name in names:
        task = task_of(name, SOURCES[name]())
        say(f"{name}: {len(task.pooled)} patients train, {len(task.test)} judge, {seeds} seeds")
        studies.append(study(task, seeds=seeds, say=say))
        seconds = round(time.perf_counter() - started, 1)
        complete = len(studies) == len(names)
        result = {"seconds": seconds, "complete": complete, "rule": RULE, "studies": studies}
        if chosen.json:
            chosen.json.write_text(json.dumps(result, indent=1, allow_nan=False), encoding="utf-8")
        if chosen.markdown:
            chosen.markdown.write_text(markdown(studies), encoding="utf-8")
    return verdict(studies, round(time.perf_counter() - started, 1))


def verdict(studies: list[dict[str, Any]], seconds: float) -> int:
    """Every promise in words, and the exit status."""
    lines = [(one["dataset"], line) for one in studies for line in one["judged"]]
    for name, line in lines:
        say(f"{name}: {line['words']}")
    failed = sum(line["verdict"] == FAILS for _, line in lines)
    unclear = sum(line["verdict"] == OPEN for _, line in lines)
    say(
        f"{seconds} s; of {len(lines)} promises {len(lines) - failed - unclear} hold, {unclear} "
        f"cannot be told on so few patients and seeds, {failed} FAIL"
    )
    return 1 if failed else 0


def say(line: str) -> None:
    """A line of progress, at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
