"""A small real run whose relay lies in its second round, and the pictures that the answers give.

Sites take one step of SGD on all of their pictures: the kindest case for the attacker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg, Strategy
from torch import nn

from flwr_swarm import SwarmStrategy
from flwr_swarm.testing import InProcessGrid

from .crafting import CraftingGrid
from .crossing import Crossing
from .imprint import imprint, imprinted
from .inversion_linear import layer_moves
from .quiet import quiet
from .recorder import Recording
from .views import MaliciousRelay

_FIRST: Final = ("0.weight", "0.bias")
_FIRST_NODE: Final = 1000
_CLASSES: Final = 10
_RATE: Final = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Site:
    """What a site trains on: flat pictures, and a class from 0 to 9 of each."""

    x: torch.Tensor = field(repr=False)
    y: torch.Tensor = field(repr=False)


def net(width: int) -> nn.Module:
    """Two linear layers; an imprint has one bin for each of the first one's neurons."""
    return nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, _CLASSES))


def fedavg(sites: int) -> FedAvg:
    """Plain federated learning of all sites."""
    with quiet():
        return FedAvg(min_available_nodes=sites, min_train_nodes=sites, fraction_evaluate=0.0)


def swarm(sites: Sequence[Site], evidence: Path) -> SwarmStrategy:
    """The same as a swarm; run it with `swarm_mod`."""
    return SwarmStrategy(
        fedavg(len(sites)),
        max_weight=float(max(len(site.x) for site in sites)),
        evidence=evidence,
        seal_seconds=120,
    )


def lied_to(
    sites: Sequence[Site], sample: torch.Tensor, strategy: Strategy, *mods: Any
) -> MaliciousRelay:
    """One honest round, then an imprint to every site; what comes back.

    Nobody is lied to if the first round did not end, since a first model is checked by nobody.

    Parameters
    ----------
    sites : sequence of Site
    sample : tensor, shape (m, width)
        Pictures of no site, from which the attacker knows how bright pictures are.
    strategy : Strategy
    *mods : callable
        Of the sites' ClientApp.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        honest = {n: v.clone() for n, v in net(sample.shape[1]).state_dict().items()}
    crafted = imprint(honest, sample, first=_FIRST, second="2.weight")
    grid = CraftingGrid(
        InProcessGrid(_app(sites, *mods), nodes=len(sites)),
        crafted,
        since=lambda turn: turn > 1 and any(map(_ended, grid.crossings)),
    )
    with quiet():
        result = strategy.start(grid, ArrayRecord(honest), num_rounds=2)
    return Recording(
        crossings=grid.crossings, final=result.arrays, site_of=lambda node: node - _FIRST_NODE
    ).malicious_relay(crafted)


def robbed(view: MaliciousRelay, site: int) -> torch.Tensor:
    """Candidates for the site's pictures, shape (m, width); none if it did not answer."""
    if site not in view.answers:
        return torch.zeros(0, view.crafted[_FIRST[0]].shape[1])
    moves = layer_moves(view.steps[0], site, weight=_FIRST[0], bias=_FIRST[1])
    return imprinted(*moves)


def _ended(crossing: Crossing) -> bool:
    """Whether it is the last of a round: a certified sum's opening, or plain training."""
    return crossing.phase in ("open", "train") and crossing.answer is not None


def _app(sites: Sequence[Site], *mods: Any) -> ClientApp:
    app = ClientApp(mods=list(mods))

    @app.train()
    def train(message: Message, context: Context) -> Message:
        mine = sites[int(context.node_config["partition-id"])]
        model = net(mine.x.shape[1])
        model.load_state_dict(message.content["arrays"].to_torch_state_dict())  # type: ignore[union-attr]
        nn.functional.cross_entropy(model(mine.x), mine.y).backward()
        after = {n: (p - _RATE * p.grad).detach() for n, p in model.named_parameters()}
        metrics = MetricRecord({"num-examples": len(mine.x)})
        content = RecordDict({"arrays": ArrayRecord(after), "metrics": metrics})
        return Message(content, reply_to=message)

    return app
