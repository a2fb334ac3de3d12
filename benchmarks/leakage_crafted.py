"""What a malicious leader gets by a crafted model: from plain federated learning, and a swarm."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg, Strategy
from flwr_swarm_attacks import View
from flwr_swarm_attacks.crafting import CraftingGrid
from flwr_swarm_attacks.imprint import imprint, imprinted
from flwr_swarm_attacks.inversion_linear import layer_moves
from flwr_swarm_attacks.pictures import compare
from flwr_swarm_attacks.recorder import Recording
from flwr_swarm_attacks.views import MaliciousRelay, State
from sklearn.datasets import load_digits
from torch import nn

from flwr_swarm import SwarmStrategy, swarm_mod
from flwr_swarm.testing import InProcessGrid

from .leakage_app import FIRST_NODE, quiet
from .leakage_board import Board

SITES: Final = 4
ROWS: Final = 32
"""Digits of each site; every other one trains."""
_FIRST: Final = ("0.weight", "0.bias")


@dataclass(frozen=True, kw_only=True)
class Crafted:
    """What came of the lie in one regime: pictures robbed, sites that refused."""

    regime: str
    share: float
    pictures: int
    refused: int
    why: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dict(vars(self))


def net() -> nn.Module:
    """A net of two linear layers for 8 x 8 digits."""
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))


def crafted_cells(board: Board) -> list[Crafted]:
    """Send an imprint in round 2 to every site, in both regimes, and score what comes back."""
    federated = FedAvg(min_available_nodes=SITES, min_train_nodes=SITES, fraction_evaluate=0.0)
    found = [_lie(board, "federated", federated)]
    with tempfile.TemporaryDirectory() as folder:
        inner = FedAvg(min_available_nodes=SITES, min_train_nodes=SITES, fraction_evaluate=0.0)
        swarm = SwarmStrategy(inner, max_weight=float(ROWS), evidence=Path(folder), seal_seconds=4)
        found.append(_lie(board, "swarm", swarm, swarm_mod))
    return found


def _lie(board: Board, regime: str, strategy: Strategy, *mods: Any) -> Crafted:
    x, y = _digits()
    honest = _honest()
    crafted = imprint(honest, x[SITES * ROWS :], first=_FIRST, second="2.weight")
    grid = CraftingGrid(InProcessGrid(_app(x, y, *mods), nodes=SITES), crafted)
    with quiet():
        result = strategy.start(grid, ArrayRecord(dict(honest)), num_rounds=2)
    view = Recording(
        crossings=grid.crossings, final=result.arrays, site_of=lambda node: node - FIRST_NODE
    ).malicious_relay(crafted)
    shares = []
    for site in range(SITES):
        rows = np.arange(ROWS * site, ROWS * (site + 1))
        closest = compare(_robbed(view, site), x[rows])
        member = _members(rows)
        shares.append(closest.good[member])
        score = np.nan_to_num(closest.psnr, neginf=-1e3)
        board.add(regime, View.MALICIOUS_RELAY, "imprint (8 x 8 digits)", score, member, rows)
    why = next((error.split(":")[0] for error in view.refusals.values()), "")
    share = float(np.concatenate(shares).mean())
    return Crafted(
        regime=regime, share=share, pictures=SITES * ROWS // 2, refused=len(view.refusals), why=why
    )


def _robbed(view: MaliciousRelay, site: int) -> torch.Tensor:
    if site not in view.answers:
        return torch.zeros(0, 64)
    moves = layer_moves(view.steps[0], site, weight=_FIRST[0], bias=_FIRST[1])
    return imprinted(*moves)


def _app(x: torch.Tensor, y: torch.Tensor, *mods: Any) -> ClientApp:
    app = ClientApp(mods=list(mods))

    @app.train()
    def train(message: Message, context: Context) -> Message:
        """One step of SGD on all rows."""
        site = int(context.node_config["partition-id"])
        rows = np.arange(ROWS * site, ROWS * (site + 1))
        mine = rows[_members(rows)]
        model = net()
        model.load_state_dict(message.content["arrays"].to_torch_state_dict())  # type: ignore[union-attr]
        nn.functional.cross_entropy(model(x[mine]), y[mine]).backward()
        after = {n: (p - 0.1 * p.grad).detach() for n, p in model.named_parameters()}
        metrics = MetricRecord({"num-examples": len(mine)})
        content = RecordDict({"arrays": ArrayRecord(after), "metrics": metrics})
        return Message(content, reply_to=message)

    return app


def _members(rows: np.ndarray) -> np.ndarray:
    return rows % 2 == 0


def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    bunch = load_digits()
    x = torch.tensor(bunch.images / 16, dtype=torch.float32).flatten(1)
    return x, torch.tensor(bunch.target)


def _honest() -> State:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state: Mapping[str, torch.Tensor] = net().state_dict()
    return {name: value.clone() for name, value in state.items()}
