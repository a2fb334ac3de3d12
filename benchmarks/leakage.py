"""Who learns what: local, central, federated and swarm training, from every vantage point.

    python -m benchmarks.leakage [--quick | --full] [--json FILE] [--html FILE]

Each cell of the grid is a view of a real run; every attack that the view allows is put to it. A
cell's headline is the attack with the largest AUC, so it is biased upwards; all others are listed.
`--quick` attacks SUPPORT2. `--full` attacks more targets, all data sets, and makes pictures.
The exit status is 1 if an attack is weaker than the literature's, or if encryption does not hold.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from flwr_swarm_attacks import View

from .data_sets import TABLES
from .leakage_app import World, run_all, world_of
from .leakage_board import AttackCurve, Board
from .leakage_cells import attack_target, prepare
from .leakage_crafted import crafted_cells
from .leakage_page import page
from .leakage_strength import strength

QUICK_SETS = ("support2",)
FULL_SETS = ("support2", "opt", "all", "golub")


def study(
    world: World, *, targets: int, shadows: int, resamples: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Everything about one data set, as plain values; `say` is told what is done."""
    known = prepare(world, count=shadows)
    say("shadow models trained")
    board, sources = Board(), []
    for seed in range(1, targets + 1):
        runs = run_all(world, seed=seed)
        sources += attack_target(board, world, runs, known, seed=seed)
        say(f"target {seed} of {targets} attacked")
    crafted = crafted_cells(board)
    curves = list(board.curves(resamples=resamples))
    say("intervals computed")
    strong = strength(world, shadows=shadows, targets=max(2, 2 * targets))
    return {
        "dataset": world.name,
        "rows": len(world.y),
        "sites": len(world.places),
        "targets": targets,
        "shadows": shadows,
        "attacks": [curve.to_json() for curve in curves],
        "source_inference": [dict(vars(one)) for one in sources],
        "crafted": [one.to_json() for one in crafted],
        "strength": [one.to_json() for one in strong],
        "holds": verdicts(curves, [one.holds for one in strong], crafted_refused(crafted)),
    }


def crafted_refused(crafted: list[Any]) -> bool:
    """Every member of the swarm refused, and nothing came back."""
    return all(
        one.share == 0.0 and one.why == "ModelRefused" for one in crafted if one.regime == "swarm"
    )


def verdicts(curves: list[AttackCurve], strong: list[bool], refused: bool) -> dict[str, bool]:
    """What must be true of a right build; each is judged with the intervals in its favour."""
    best: dict[tuple[str, str], AttackCurve] = {}
    for curve in curves:
        key = (curve.regime, curve.view.name)
        if key not in best or curve.separation.auc.value > best[key].separation.auc.value:
            best[key] = curve
    sealed = best["swarm", "LEADER_ENCRYPTED"].separation.auc
    summed = best["federated", "MEMBER_EVERY_MODEL"].separation.auc
    cipher = [c.separation.auc for c in curves if c.attack.startswith("ciphertext")]
    hashes = [c.separation.auc for c in curves if c.view is View.CHAIN_OBSERVER]
    return {
        "leader_under_encryption_not_above_aggregate_only": sealed.low <= summed.high,
        "ciphertexts_tell_nothing": all(one.low - 0.02 <= 0.5 for one in cipher),
        "hashes_tell_nothing": all(one.low - 0.02 <= 0.5 for one in hashes),
        "crafted_model_refused": refused,
        "attacks_are_strong": all(strong),
    }


@dataclass(frozen=True, kw_only=True)
class _Saying:
    """Says what is done, and how long after the start."""

    name: str
    started: float

    def __call__(self, what: str) -> None:
        print(f"  [{time.time() - self.started:5.0f} s] {self.name}: {what}", flush=True)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One data set's study, for this process or another."""

    name: str
    targets: int
    shadows: int
    started: float

    def __call__(self) -> dict[str, Any]:
        torch.set_num_threads(1)  # nets of this size get slower with more
        world = world_of(self.name, TABLES[self.name]())
        say = _Saying(name=self.name, started=self.started)
        say(f"{len(world.y)} rows, {self.targets} targets, {self.shadows} shadows")
        return study(world, targets=self.targets, shadows=self.shadows, resamples=500, say=say)


def _done(jobs: list[_Job]) -> Iterator[dict[str, Any]]:
    """Each job's study, in order; several sets are studied at once, a process each."""
    if len(jobs) == 1:
        yield jobs[0]()
        return
    spawn = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(min(len(jobs), os.cpu_count() or 1), mp_context=spawn) as pool:
        for future in [pool.submit(job) for job in jobs]:
            yield future.result()


def main() -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leakage")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="SUPPORT2 alone (the default)")
    size.add_argument("--full", action="store_true", help="every set, more targets, pictures")
    parser.add_argument("--sets", help="comma-separated names instead of the mode's own")
    parser.add_argument("--targets", type=int, help="attacked models of each regime")
    parser.add_argument("--shadows", type=int, default=64)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--html", type=Path)
    chosen = parser.parse_args()
    if unknown := set((chosen.sets or "support2").split(",")) - set(FULL_SETS):
        parser.error(f"--sets names {', '.join(sorted(unknown))}; choose from {FULL_SETS}")
    torch.set_num_threads(1)
    started = time.time()
    names = chosen.sets.split(",") if chosen.sets else FULL_SETS if chosen.full else QUICK_SETS
    targets = chosen.targets or (6 if chosen.full else 3)
    jobs = [_Job(name=n, targets=targets, shadows=chosen.shadows, started=started) for n in names]
    studies = []
    for one in _done(jobs):
        studies.append(one)
        print_study(one)
    pictures: dict[str, str] = {}
    if chosen.full:
        from .leakage_pictures import draw  # noqa: PLC0415 - needs the pictures' extra

        pictures = draw(_Saying(name="pictures", started=started))
    seconds = round(time.time() - started, 1)
    result = {"seconds": seconds, "studies": studies}
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=1, allow_nan=False), encoding="utf-8")
    if chosen.html:
        chosen.html.write_text(page(result, pictures), encoding="utf-8")
    failed = [f"{s['dataset']}: {n}" for s in studies for n, ok in s["holds"].items() if not ok]
    print(f"{seconds} s; " + (f"NOT HELD: {', '.join(failed)}" if failed else "all holds"))
    return 1 if failed else 0


def print_study(found: dict[str, Any]) -> None:
    """The grid in the terminal: each cell's strongest attack."""
    from .leakage_page import headline  # noqa: PLC0415

    print(f"{found['dataset']}: {found['rows']} rows at {found['sites']} sites", flush=True)
    for one in headline(found):
        auc, tpr = one["auc"], one["tpr_at_1pct_fpr"]
        print(
            f"  {one['regime']:<10}{one['view']:<48} AUC {auc['value']:.3f} "
            f"[{auc['low']:.3f}, {auc['high']:.3f}]  TPR {tpr['value']:6.1%} "
            f"[{tpr['low']:.1%}, {tpr['high']:.1%}]  {one['attack']}"
        )
    for one in found["crafted"]:
        print(f"  crafted model, {one['regime']}: {one['share']:.0%} of {one['pictures']} digits "
              f"robbed, {one['refused']} refusals {one['why']}")  # fmt: skip
    for one in found["strength"]:
        print(f"  strength, {one['attack']}: AUC {one['separation']['auc']['value']:.3f} "
              f"(wanted {one['wanted_auc']:.2f}), TPR {one['separation']['tpr']['value']:.1%} "
              f"(wanted {one['wanted_tpr']:.0%})")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
