"""One-run audit of DP training: canaries through the trainer's own path, and what came out.

A trainer is a function that trains as a site does: it gets `make_private` as an argument, calls it
on its own model, optimizer and loader, and loops. `product_trainer` is the smallest one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from flwr.app import Context, RecordDict
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.privacy import epsilon_spent
from flwr_swarm.privacy import make_private as the_product

from . import audit_bounds
from .audit_graft import Graft
from .audit_scores import CanaryScores

MakePrivate = Callable[..., tuple[Any, Any, Any]]
Trainer = Callable[[Context, MakePrivate], None]
"""Trains one round at the site whose context it gets."""

THRESHOLDS = np.arange(-1.0, 5.01, 0.5)
"""In deviations of the claimed noise: fixed beforehand, so that a bound's alpha is exact."""
SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
"""Of all canaries that one-run audits guess, at both ends."""
SPARSE = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """What an audit saw of one site.

    Parameters
    ----------
    rounds : float64 array, shape (rounds, m)
        Noisy sums of each canary's row, over max_grad_norm, round by round.
    chosen : bool array, shape (m,)
        Canaries that were in the data.
    steps : tuple of int
        Steps that were charged for in each round.
    noise_multiplier : float
    epsilon, delta : float
        What the site's accountant says after the last round.
    """

    rounds: NDArray[np.float64]
    chosen: NDArray[np.bool_]
    steps: tuple[int, ...]
    noise_multiplier: float
    epsilon: float
    delta: float

    @property
    def scores(self) -> CanaryScores:
        """Of all rounds together, in deviations of the claimed noise."""
        deviation = self.noise_multiplier * math.sqrt(sum(self.steps))
        return CanaryScores.of(self.rounds.sum(axis=0) / deviation, self.chosen)

    @property
    def noise(self) -> NDArray[np.float64]:
        """Rows of canaries that were not in the data, (rounds, k): standard normals."""
        deviations = self.noise_multiplier * np.sqrt(np.asarray(self.steps, np.float64))
        noise: NDArray[np.float64] = self.rounds[:, ~self.chosen] / deviations[:, None]
        return noise


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Lower bounds on epsilon, each above the truth with probability alpha at most.

    `steinke` is reported only: it is too weak to gate on.
    """

    fdp: float
    gdp: float
    z: float
    steinke: float

    @property
    def highest(self) -> float:
        """The strongest of those that gates use."""
        return max(self.fdp, self.gdp, self.z)


def bounds(scores: CanaryScores, *, alpha: float, delta: float) -> Bounds:
    """All lower bounds of the scores, at `THRESHOLDS` and `SHARES` that do not look at them."""
    return Bounds(
        fdp=audit_bounds.fdp(scores, alpha=alpha, delta=delta, shares=SHARES),
        gdp=audit_bounds.gdp_clopper_pearson(
            scores, alpha=alpha, delta=delta, thresholds=THRESHOLDS
        ),
        z=audit_bounds.gdp_z(scores, alpha=alpha, delta=delta),
        steinke=audit_bounds.steinke(scores, alpha=alpha, delta=delta, shares=SHARES),
    )


def observe(
    train: Trainer,
    *,
    context: Context | None = None,
    rounds: int = 4,
    canaries: int = 1000,
    seed: int | None = None,
    sparse: bool = False,
    make_private: MakePrivate = the_product,
) -> Observed:
    """Train `rounds` rounds at one site with canaries, and read their rows.

    Parameters
    ----------
    train : callable
        See `Trainer`. It must call the `make_private` that it is given, once a round.
    context : Context, optional
        The site's; it keeps the accountant from round to round.
    rounds, canaries : int
    seed : int, optional
        Of the coins that choose canaries; by default from the system.
    sparse : bool
        No canary is in the data, and most of the data is left out, so that a third of all Poisson
        batches is empty: for the noise alone.
    make_private : callable
        What is audited; the product's own.

    Raises
    ------
    ConfigurationError
        If the trainer did not train privately, or canaries did not reach the optimizer.
    """
    site = _context() if context is None else context
    coins = np.random.default_rng(seed)
    chosen = np.zeros(canaries, bool) if sparse else coins.random(canaries) < 0.5
    watch = _Watch(chosen=chosen, make_private=make_private, sparse=SPARSE if sparse else 0)
    for number in range(rounds):
        train(site, watch)
        watch.check(number + 1)
    spent = epsilon_spent(site)
    if spent is None:
        raise ConfigurationError(
            "the accountant of the audited site was never charged; was the Context passed to "
            "make_private another one?"
        )
    last = watch.calls[-1]
    return Observed(
        rounds=np.stack([call.graft.gradients * call.scale for call in watch.calls]),
        chosen=chosen,
        steps=tuple(call.steps for call in watch.calls),
        noise_multiplier=last.noise_multiplier,
        epsilon=spent,
        delta=last.delta,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Call:
    graft: Graft
    scale: float
    steps: int
    noise_multiplier: float
    delta: float


@dataclass(kw_only=True, eq=False)
class _Watch:
    """`make_private` that grafts canaries first, and lifts the budget: an audit spends none."""

    chosen: NDArray[np.bool_]
    make_private: MakePrivate
    sparse: int
    calls: list[_Call] = field(default_factory=list)

    def __call__(
        self, source: Any, model: nn.Module, optimizer: Any, loader: Any, **options: Any
    ) -> tuple[Any, Any, Any]:
        noise = options["noise_multiplier"]
        if isinstance(noise, str) or not noise > 0:
            raise ConfigurationError(
                f"the audited training asked for noise_multiplier={noise!r}; there is no "
                "differential privacy of the site's own to audit (shared noise is in the sums: "
                "test them with noise_variance_gate)"
            )
        if len(loader.dataset) < self.sparse:
            raise ConfigurationError(
                f"the audited site has {len(loader.dataset)} records; give {self.sparse} or more"
            )
        clip = float(options.get("max_grad_norm", 1.0))
        graft = Graft(chosen=self.chosen)
        grafted = graft.attach(model, optimizer, loader, sparse=self.sparse)
        records = len(grafted.dataset)  # type: ignore[arg-type]
        mean = options.get("loss_reduction", "mean") == "mean"
        delta = min(float(options.get("delta", 1e-5)), 0.5 / records)
        self.calls.append(
            _Call(
                graft=graft,
                scale=(records // len(grafted) if mean else 1) / clip,
                steps=int(options["epochs"]) * len(grafted),
                noise_multiplier=float(noise),
                delta=delta,
            )
        )
        unlimited = {**options, "budget": math.inf, "delta": delta}
        if options.get("patients") is not None:
            theirs = list(options["patients"])[: self.sparse or None]
            unlimited["patients"] = theirs + [(graft, i) for i in range(records - len(theirs))]
        return self.make_private(source, model, optimizer, grafted, **unlimited)

    def check(self, rounds: int) -> None:
        if len(self.calls) != rounds:
            raise ConfigurationError(
                f"{rounds} rounds of the audited training called make_private {len(self.calls)} "
                "times; call it once a round"
            )
        if not self.calls[-1].graft.steps:
            raise ConfigurationError(
                "no canary reached the optimizer: the training loop must call model(x) on the "
                "batches of the private loader, and step the private optimizer"
            )


def product_trainer(
    *, epochs: int = 2, noise_multiplier: float = 3.0, records: int = 32, seed: int = 0
) -> Trainer:
    """A small site that trains as the documentation says, through the product's own path."""
    generator = torch.Generator().manual_seed(seed)
    data = TensorDataset(
        torch.randn(records, 4, generator=generator),
        torch.randint(0, 2, (records,), generator=generator).float(),
    )

    def train(context: Context, make_private: MakePrivate) -> None:
        model = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
        optimizer: Any = torch.optim.SGD(model.parameters(), lr=0.1)
        loader = DataLoader(data, 8, shuffle=True)
        model, optimizer, loader = make_private(
            context, model, optimizer, loader,
            epochs=epochs, noise_multiplier=noise_multiplier, budget=math.inf, max_grad_norm=0.5,
        )  # fmt: skip
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                nn.functional.binary_cross_entropy_with_logits(model(x), y).backward()
                optimizer.step()

    return train


def _context() -> Context:
    return Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config={})
