"""What a malicious leader gets by a crafted model: from plain federated learning, and a swarm."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from flwr.serverapp.strategy import Strategy
from flwr_swarm_attacks import View
from flwr_swarm_attacks.lying_relay import Site, fedavg, lied_to, robbed, swarm
from flwr_swarm_attacks.pictures import compare
from sklearn.datasets import load_digits

from flwr_swarm import swarm_mod

from .leakage_board import Board

SITES: Final = 4
ROWS: Final = 32
"""Digits of each site; every other one trains."""


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


def crafted_cells(board: Board) -> list[Crafted]:
    """Send an imprint in round 2 to every site, in both regimes, and score what comes back."""
    x, y = _digits()
    mine = [(rows := _rows(site))[_members(rows)] for site in range(SITES)]
    sites = [Site(x=x[rows], y=y[rows]) for rows in mine]
    found = [_lie(board, "federated", x, sites, fedavg(SITES))]
    with tempfile.TemporaryDirectory() as folder:
        found.append(_lie(board, "swarm", x, sites, swarm(sites, Path(folder)), swarm_mod))
    return found


def _lie(
    board: Board, regime: str, x: torch.Tensor, sites: list[Site], strategy: Strategy, *mods: Any
) -> Crafted:
    view = lied_to(sites, x[SITES * ROWS :], strategy, *mods)
    shares = []
    for site in range(SITES):
        rows = _rows(site)
        closest = compare(robbed(view, site), x[rows])
        member = _members(rows)
        shares.append(closest.good[member])
        score = np.nan_to_num(closest.psnr, neginf=-1e3)
        board.add(regime, View.MALICIOUS_RELAY, "imprint (8 x 8 digits)", score, member, rows)
    why = next((error.split(":")[0] for error in view.refusals.values()), "")
    share = float(np.concatenate(shares).mean())
    return Crafted(
        regime=regime, share=share, pictures=SITES * ROWS // 2, refused=len(view.refusals), why=why
    )


def _rows(site: int) -> np.ndarray:
    return np.arange(ROWS * site, ROWS * (site + 1))


def _members(rows: np.ndarray) -> np.ndarray:
    return rows % 2 == 0


def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    bunch = load_digits()
    x = torch.tensor(bunch.images / 16, dtype=torch.float32).flatten(1)
    return x, torch.tensor(bunch.target)
