"""The Flower app whose leakage is measured, and its four regimes: real runs, in this process.

A net that overfits a few hundred rows by many epochs: what leaks at all shows here. Which rows
train is drawn anew for each target, so that every row is a member in some and not in others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg, Strategy
from flwr_swarm_attacks.crossing import RecordingGrid
from flwr_swarm_attacks.quiet import quiet
from flwr_swarm_attacks.recorder import OwnUpdates, Recording, chain_observer
from flwr_swarm_attacks.shadows import batches
from flwr_swarm_attacks.views import ChainObserver, State
from numpy.typing import NDArray
from torch import nn

from flwr_swarm import SwarmStrategy, swarm_mod
from flwr_swarm.demo.data import Federation
from flwr_swarm.demo.models import pool
from flwr_swarm.protocol.quorum import smallest_threshold
from flwr_swarm.testing import InProcessGrid

FIRST_NODE: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the reference net of a data set is trained until it overfits.

    Parameters
    ----------
    hidden : int
        Neurons of the one hidden layer; 0 for a linear model.
    rounds, epochs : int
        Of the federation: rounds, and epochs at a site in each. Local and central training take
        rounds * epochs epochs.
    batch_size : int
    lr : float
        Of Adam, made anew in each round.
    rows : int
        Rows of each site that take part, half of them members.
    """

    hidden: int
    rounds: int
    epochs: int
    batch_size: int
    lr: float
    rows: int


RECIPES: Final[Mapping[str, Recipe]] = {
    "support2": Recipe(hidden=32, rounds=6, epochs=10, batch_size=32, lr=0.01, rows=250),
    "opt": Recipe(hidden=32, rounds=6, epochs=10, batch_size=32, lr=0.01, rows=200),
    "all": Recipe(hidden=0, rounds=5, epochs=10, batch_size=100, lr=0.001, rows=40),
    "golub": Recipe(hidden=0, rounds=5, epochs=10, batch_size=40, lr=0.001, rows=20),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """The rows that are attacked, and who holds them.

    Parameters
    ----------
    name : str
    x, y : tensors
    sites : int array
        Site of each row.
    recipe : Recipe
    """

    name: str
    x: torch.Tensor = field(repr=False)
    y: torch.Tensor = field(repr=False)
    sites: NDArray[np.int64] = field(repr=False)
    recipe: Recipe

    @property
    def places(self) -> range:
        """The sites."""
        return range(int(self.sites.max()) + 1)

    def net(self) -> nn.Module:
        """An untrained net."""
        width, hidden = self.x.shape[1], self.recipe.hidden
        if not hidden:
            return nn.Sequential(nn.Linear(width, 1))
        return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def initial(self) -> dict[str, torch.Tensor]:
        """The first global model; of zeros where the model is linear."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            state = self.net().state_dict()
        return {
            n: v.clone() if self.recipe.hidden else torch.zeros_like(v) for n, v in state.items()
        }

    def optimizer(self, parameters: list[torch.Tensor]) -> torch.optim.Optimizer:
        """The sites' optimizer."""
        return torch.optim.Adam(parameters, lr=self.recipe.lr)

    def fit(self, start: State, rows: NDArray[np.intp], *, epochs: int, seed: int) -> State:
        """Train on some rows."""
        model = self.net()
        model.load_state_dict(dict(start))
        optimizer = self.optimizer(list(model.parameters()))
        mask = np.zeros(len(self.y), dtype=np.bool_)
        mask[rows] = True
        steps = max(1, -(-len(rows) // self.recipe.batch_size))
        for index in batches(mask, steps=steps, epochs=epochs, seed=(seed,)):
            optimizer.zero_grad()
            logits = model(self.x[index]).squeeze(-1)
            nn.functional.binary_cross_entropy_with_logits(logits, self.y[index]).backward()
            optimizer.step()
        return {name: value.detach().clone() for name, value in model.state_dict().items()}


def world_of(name: str, federation: Federation, *, seed: int = 0) -> World:
    """The rows of a data set that take part: as many of each site as the recipe says."""
    recipe, rng = RECIPES[name], np.random.default_rng(seed)
    parts = [pool([site.train, site.held_out]) for site in federation.sites]
    chosen = [part.where(_some(rng, len(part), recipe.rows)) for part in parts]
    everyone = pool(chosen)
    return World(
        name=name,
        x=torch.from_numpy(everyone.x),
        y=torch.from_numpy(everyone.y),
        sites=np.repeat(np.arange(len(chosen)), [len(part) for part in chosen]),
        recipe=recipe,
    )


def draw_members(world: World, *, seed: int) -> NDArray[np.bool_]:
    """Half of each site's rows."""
    rng, member = np.random.default_rng(seed), np.zeros(len(world.y), dtype=np.bool_)
    for site in world.places:
        here = np.flatnonzero(world.sites == site)
        member[rng.permutation(here)[: len(here) // 2]] = True
    return member


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """One target in all regimes.

    Parameters
    ----------
    member : bool array
    local : list of State
        A model for each site.
    central : State
    federated, swarm : Recording
    own : OwnUpdates
        Of the swarm's members, for coalitions.
    chain : ChainObserver
        Of the swarm.
    """

    member: NDArray[np.bool_]
    local: list[State]
    central: State
    federated: Recording
    swarm: Recording
    own: OwnUpdates
    chain: ChainObserver


def run_all(world: World, *, seed: int) -> Runs:
    """Train one target: every site alone, all rows in one place, FedAvg, and the swarm."""
    member = draw_members(world, seed=seed)
    recipe, start = world.recipe, world.initial()
    fit = partial(world.fit, start, epochs=recipe.rounds * recipe.epochs)
    rows_of = {site: np.flatnonzero(member & (world.sites == site)) for site in world.places}
    federated, _ = _flower(world, rows_of, seed, _fedavg(world))
    with tempfile.TemporaryDirectory() as folder:
        strategy = SwarmStrategy(
            _fedavg(world), max_weight=float(recipe.rows), evidence=Path(folder)
        )
        swarm, own = _flower(world, rows_of, seed, strategy, swarm_mod)
        chain = chain_observer(Path(folder))
    return Runs(
        member=member,
        local=[fit(rows, seed=seed + site) for site, rows in rows_of.items()],
        central=fit(np.flatnonzero(member), seed=seed),
        federated=federated,
        swarm=swarm,
        own=own,
        chain=chain,
    )


def client_app(
    world: World, rows_of: Mapping[int, NDArray[np.intp]], seed: int, *mods: Callable[..., Message]
) -> ClientApp:
    """A site: it trains the global model on its members and returns it."""
    app = ClientApp(mods=list(mods))

    @app.train()
    def train(message: Message, context: Context) -> Message:
        site = int(context.node_config["partition-id"])
        turn = int(message.content["config"]["server-round"])  # type: ignore[index]
        state = world.fit(
            message.content["arrays"].to_torch_state_dict(),  # type: ignore[union-attr]
            rows_of[site],
            epochs=world.recipe.epochs,
            seed=1_000_000 * seed + 1000 * turn + site,
        )
        metrics = MetricRecord({"num-examples": len(rows_of[site])})
        content = RecordDict({"arrays": ArrayRecord(dict(state)), "metrics": metrics})
        return Message(content, reply_to=message)

    return app


def _flower(
    world: World,
    rows_of: Mapping[int, NDArray[np.intp]],
    seed: int,
    strategy: Strategy,
    *mods: Callable[..., Message],
) -> tuple[Recording, OwnUpdates]:
    own, nodes = OwnUpdates(), len(world.places)
    app = client_app(world, rows_of, seed, *mods, own.mod)
    grid = RecordingGrid(InProcessGrid(app, nodes=nodes))
    with quiet():
        result = strategy.start(grid, ArrayRecord(world.initial()), num_rounds=world.recipe.rounds)
    recording = Recording(
        crossings=grid.crossings,
        final=result.arrays,
        site_of=lambda node: node - FIRST_NODE,
        threshold=smallest_threshold(nodes),
    )
    return recording, own


def _fedavg(world: World) -> FedAvg:
    nodes = len(world.places)
    with quiet():  # it warns that nobody evaluates, which is meant
        return FedAvg(min_available_nodes=nodes, min_train_nodes=nodes, fraction_evaluate=0.0)


def _some(rng: np.random.Generator, total: int, wanted: int) -> NDArray[np.bool_]:
    mask = np.zeros(total, dtype=np.bool_)
    mask[rng.permutation(total)[:wanted]] = True
    return mask
