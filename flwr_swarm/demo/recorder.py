"""FedAvg that keeps what it is given: the view of a leader who reads updates in the clear."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from flwr_swarm._exceptions import ConfigurationError

DIRECTORY_VARIABLE: Final = "FLWR_SWARM_DEMO_UPDATES"


class RecordedFedAvg(FedAvg):
    """FedAvg that also saves every global model and every member's reply.

    Files go to `$FLWR_SWARM_DEMO_UPDATES`: `round-0001-global.pt` (the model that was sent) and
    `round-0001-member-0000.pt` (the model that came back). Works only with `encryption="none"`:
    with encryption on, SwarmStrategy refuses a strategy that overrides aggregation.
    """

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """FedAvg's own; keeps the global model."""
        _save(arrays, f"round-{server_round:04d}-global.pt")
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """FedAvg's own; keeps each reply, numbered in the order given (ascending member)."""
        kept = list(replies)
        for member, reply in enumerate(kept):
            arrays = next(iter(reply.content.array_records.values()))
            _save(arrays, f"round-{server_round:04d}-member-{member:04d}.pt")
        return super().aggregate_train(server_round, kept)


def _save(arrays: ArrayRecord, name: str) -> None:
    folder = os.environ.get(DIRECTORY_VARIABLE)
    if not folder:
        raise ConfigurationError(
            f"{DIRECTORY_VARIABLE} is not set; name the folder that receives the updates"
        )
    Path(folder).mkdir(parents=True, exist_ok=True)
    torch.save(arrays.to_torch_state_dict(), Path(folder) / name)
