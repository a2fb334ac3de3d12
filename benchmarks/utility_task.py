"""What the utility benchmark trains: a data set's patients, its net, and numbers fixed beforehand.

Patients on whom nobody trains, held back at a site or of no site, judge every model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from torch import nn

from flwr_swarm.demo.data import Cohort, Federation
from flwr_swarm.demo.models import State, pool
from flwr_swarm.protocol.quorum import tolerated_faults

CLIP: Final = 1.0
"""L2 norm to which DP clips each patient's gradient."""

RULE: Final = (
    "recipes: best mean AUROC over three folds of the rows that train, of FedAvg without DP and of "
    "central DP-SGD at epsilon 4 with DP (python -m benchmarks.utility_tuning)"
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a data set is trained, chosen by `benchmarks.utility_tuning`.

    Parameters
    ----------
    hidden : int
        Neurons of the one hidden layer; 0 for a linear model, which starts at zero.
    rounds, epochs : int
        Without DP: rounds of a federation, and epochs at a site in each. Local and pooled
        training take rounds * epochs epochs.
    batch_size : int
    lr, decay : float
        Of plain SGD without DP: learning rate, and weight decay.
    steps : int
        Steps with DP, each on all patients. Shared noise takes one a round.
    private_lr : float
        Learning rate of a step with DP.
    local_steps : int
        Of them at a site in a round, where each site adds noise of its own.
    """

    hidden: int
    rounds: int
    epochs: int
    batch_size: int
    lr: float
    decay: float
    steps: int
    private_lr: float
    local_steps: int


RECIPES: Final[Mapping[str, Recipe]] = {
    "support2": Recipe(
        hidden=32, rounds=10, epochs=2, batch_size=32, lr=0.1, decay=0.01,
        steps=20, private_lr=4.0, local_steps=4,
    ),
    "opt": Recipe(
        hidden=0, rounds=10, epochs=5, batch_size=32, lr=1.0, decay=0.01,
        steps=8, private_lr=4.0, local_steps=4,
    ),
    "all": Recipe(
        hidden=0, rounds=10, epochs=2, batch_size=32, lr=0.001, decay=0.01,
        steps=4, private_lr=0.1, local_steps=4,
    ),
    "golub": Recipe(
        hidden=0, rounds=10, epochs=2, batch_size=32, lr=0.01, decay=0.01,
        steps=20, private_lr=0.1, local_steps=4,
    ),
    "fashion": Recipe(
        hidden=0, rounds=10, epochs=5, batch_size=32, lr=0.1, decay=0.01,
        steps=20, private_lr=4.0, local_steps=4,
    ),
    "ihc": Recipe(
        hidden=0, rounds=10, epochs=2, batch_size=32, lr=0.001, decay=0.01,
        steps=4, private_lr=0.1, local_steps=4,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Patients, as tensors: features (n, width) and outcomes (n,)."""

    x: torch.Tensor = field(repr=False)
    y: torch.Tensor = field(repr=False)

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """One data set, ready to be trained in every regime.

    Parameters
    ----------
    name : str
    places : tuple of str
        Names of the sites.
    sites : tuple of Rows
        What each trains on.
    pooled : Rows
        All of it.
    test : Rows
        Patients on whom nobody trains.
    recipe : Recipe
    """

    name: str
    places: tuple[str, ...]
    sites: tuple[Rows, ...]
    pooled: Rows
    test: Rows
    recipe: Recipe

    @property
    def delta(self) -> float:
        """The largest power of ten that is at most a tenth of one over all patients trained on."""
        return float(10.0 ** math.floor(math.log10(0.1 / len(self.pooled))))

    @property
    def honest(self) -> int:
        """Members whose shares of the noise alone must do: all but the faults tolerated.

        A faulty member may stay out of a sum, or take part and tell its share.
        """
        return len(self.sites) - tolerated_faults(len(self.sites))

    @property
    def largest(self) -> int:
        """Patients of the largest site."""
        return max(len(rows) for rows in self.sites)

    def net(self) -> nn.Module:
        """An untrained net; logits of shape (n,)."""
        width, hidden = self.pooled.x.shape[1], self.recipe.hidden
        if not hidden:
            return nn.Sequential(nn.Linear(width, 1), nn.Flatten(0))
        return nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Flatten(0)
        )

    def initial(self, seed: int) -> State:
        """The model that every regime starts from; of zeros where it is linear."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            state = self.net().state_dict()
        return {
            n: v.clone() if self.recipe.hidden else torch.zeros_like(v) for n, v in state.items()
        }

    def with_state(self, state: State) -> nn.Module:
        """A net with these parameters."""
        model = self.net()
        model.load_state_dict(dict(state))
        return model

    @torch.no_grad()
    def scores(self, state: State) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Logits of the patients that judge."""
        logits = self.with_state(state)(self.test.x)
        return np.asarray(logits.numpy(), dtype=np.float64)

    def fit(self, start: State, rows: Rows, *, epochs: int, seed: Sequence[int]) -> State:
        """Train without DP; the order of the rows follows from `seed`."""
        model, recipe = self.with_state(start), self.recipe
        optimizer = torch.optim.SGD(model.parameters(), lr=recipe.lr, weight_decay=recipe.decay)
        rng = np.random.default_rng(list(seed))
        for _ in range(epochs):
            order = torch.from_numpy(rng.permutation(len(rows)))
            for index in order.split(recipe.batch_size):
                optimizer.zero_grad()
                loss_of(model(rows.x[index]), rows.y[index]).backward()
                optimizer.step()
        return {name: value.detach().clone() for name, value in model.state_dict().items()}


def loss_of(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The loss of all regimes."""
    return nn.functional.binary_cross_entropy_with_logits(logits, y)


def task_of(name: str, federation: Federation, recipe: Recipe | None = None) -> Task:
    """A federation as a task, by its own recipe or another."""
    sites = [site.train for site in federation.sites]
    test = pool([*(site.held_out for site in federation.sites), federation.external])

    def rows(cohort: Cohort) -> Rows:
        return Rows(x=torch.from_numpy(cohort.x), y=torch.from_numpy(cohort.y))

    return Task(
        name=name,
        places=tuple(site.name for site in federation.sites),
        sites=tuple(rows(site) for site in sites),
        pooled=rows(pool(sites)),
        test=rows(test),
        recipe=recipe or RECIPES[name],
    )
