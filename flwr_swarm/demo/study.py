"""The main job: the same training as a federation and as a swarm, judged and attacked alike."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from flwr_swarm_attacks import AttackResult
from rich.console import Console

from flwr_swarm._exceptions import ConfigurationError

from . import data, membership, models
from .apps import PLAINTEXT, STOCK, SWARM, stage
from .models import Score, State
from .recorder import DIRECTORY_VARIABLE
from .runtime import runtime
from .settings import Settings
from .watch import ROUNDS, RoundTail, progress_bar, read_rounds, round_line

_PLAINTEXT_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class Study:
    """Everything that a demo measured.

    Parameters
    ----------
    rounds : list of dict
        Of the swarm with encryption and DP.
    auroc : dict of str to Score
        By model, on the external cohort; "local/<site>" for a site's own.
    attacks : list of (str, AttackResult)
        Name of the attacked model, and result.
    seconds : dict of str to float
        Duration of each step.
    """

    settings: Settings
    data: data.Federation
    rounds: list[dict[str, Any]]
    auroc: dict[str, Score]
    attacks: list[tuple[str, AttackResult]]
    seconds: dict[str, float]


@dataclass(kw_only=True)
class _Job:
    settings: Settings
    console: Console
    work: Path
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[None]:
        self.console.print(f"[bold]▸ {title}[/]")
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 1)
        self.console.print(f"  [dim]{self.seconds[name]:.1f} s[/]")

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        with progress_bar(self.console) as progress:
            task = progress.add_task(title, total=total)
            yield lambda done: progress.update(task, completed=done)

    def fly(
        self,
        app: str,
        name: str,
        *,
        changes: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> State:
        """Run an app on a runtime of its own; print its rounds as they come."""
        config = {**self.settings.config, **(changes or {})}
        output = self.work / f"{name}.pt"
        run_dir = self.run_dir(name)
        log = self.settings.out / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        folder = stage(app, self.work / "apps" / name)
        with self.bar("starting Flower's simulation", int(config["rounds"])) as advance:
            tail = RoundTail(run_dir, lambda entry: self._round(entry, advance))
            with runtime(
                nodes=len(data.load(self.settings.dataset).sites),
                env={"FLWR_SWARM_DIR": str(run_dir), **(env or {})},
            ) as flower:
                flower.run(folder, {**config, "output": str(output)}, log=log, every=tail.look)
        state: State = torch.load(output, weights_only=True)
        return state

    def run_dir(self, name: str) -> Path:
        return self.work / "runs" / name

    def _round(self, entry: Mapping[str, Any], advance: Callable[[int], None]) -> None:
        self.console.print("  " + round_line(entry), highlight=False, soft_wrap=True)
        advance(int(entry["round"]))


def run_study(settings: Settings, console: Console) -> Study:
    """Run everything; leave the main run's evidence in `<out>/run`.

    Raises
    ------
    SwarmError
        If the data cannot be had, or a Flower run does not complete.
    """
    torch.set_num_threads(1)  # nets of this size get slower with more
    evidence = settings.out / "run"
    if evidence.exists() and not (evidence / ROUNDS).is_file():
        raise ConfigurationError(
            f"{evidence} exists and is not an earlier run's evidence; choose another --out"
        )
    settings.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="flwr-swarm-demo-") as scratch:
        return _run(_Job(settings=settings, console=console, work=Path(scratch)))


def _run(job: _Job) -> Study:
    settings, config = job.settings, job.settings.config
    with job.step("data", f"Patients: {settings.dataset}"):
        patients = data.load(settings.dataset)
        for index, site in enumerate(patients.sites):
            job.console.print(
                f"  site {index}: {site.name}, {len(site.train)} train, "
                f"{len(site.held_out)} held out, {site.train.y.mean():.0%} with the outcome"
            )
        outside = patients.external
        job.console.print(f"  external: {outside.name}, {len(outside)}, {outside.y.mean():.0%}")
    with (
        job.step("baselines", "Baselines: each site alone, and all rows in one place"),
        job.bar("models", len(patients.sites) + 1) as advance,
    ):
        steps = iter(range(1, len(patients.sites) + 2))
        local, pooled = models.baselines(patients, config, done=lambda: advance(next(steps)))
    finals: dict[str, State] = {}
    with job.step("federated", "Federated: the stock example, plain FedAvg"):
        finals["federated"] = job.fly(STOCK, "federated")
    with job.step("swarm", "Swarm: encryption and differential privacy on"):
        finals["swarm"] = job.fly(SWARM, "swarm")
        _keep_evidence(job.run_dir("swarm"), settings.out / "run")
    if not settings.quick:
        with job.step("swarm_without_dp", "Swarm: encryption on, differential privacy off"):
            finals["swarm_without_dp"] = job.fly(
                SWARM, "swarm_without_dp", changes={"noise-multiplier": 0.0}
            )
    updates = job.work / "updates"
    shown = min(_PLAINTEXT_ROUNDS, int(config["rounds"]))
    with job.step("plaintext", "Swarm: encryption off, so that a leader reads every update"):
        job.fly(
            PLAINTEXT,
            "plaintext",
            changes={"noise-multiplier": 0.0, "rounds": shown},
            env={"FLWR_SWARM_ACCEPT_PLAINTEXT": "1", DIRECTORY_VARIABLE: str(updates)},
        )
    scores = {
        **{f"local/{site.name}": s for site, s in zip(patients.sites, local, strict=True)},
        "pooled": pooled,
        **finals,
    }
    with job.step("auroc", "AUROC on patients of no site"):
        auroc = {name: models.auroc(s, patients.external, config) for name, s in scores.items()}
    with job.step("attacks", f"Attacks: {settings.shadows} shadow models for each target"):
        number = membership.complete_round(updates, len(patients.sites))
        attacks = _attack(job, patients, {"pooled": pooled, **finals}, updates, number)
    return Study(
        settings=settings,
        data=patients,
        rounds=read_rounds(settings.out / "run"),
        auroc=auroc,
        attacks=attacks,
        seconds=job.seconds,
    )


def _attack(
    job: _Job, patients: data.Federation, targets: Mapping[str, State], updates: Path, number: int
) -> list[tuple[str, AttackResult]]:
    config, count = job.settings.config, job.settings.shadows
    with progress_bar(job.console) as progress:
        task = progress.add_task("shadow training, steps")

        def report(done: int, steps: int) -> None:
            progress.update(task, completed=done, total=steps)

        shadows = membership.final_model_shadows(patients, config, shadows=count, progress=report)
        found = [
            (name, result)
            for name, state in targets.items()
            for result in membership.attack_final(state, patients, config, shadows)
        ]
        single = membership.attack_updates(
            updates, number, patients, config, shadows=count, progress=report
        )
    return found + [("plaintext", result) for result in single]


def _keep_evidence(source: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(source, target)
