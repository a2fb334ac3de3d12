"""What starts the training and keeps its result."""

from __future__ import annotations

from pathlib import Path

import torch
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from flwr_swarm import SwarmStrategy
from support2_app import task

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for `rounds` rounds; save the last model to `output`."""
    config = context.run_config
    initial = ArrayRecord(task.build(config).state_dict())
    strategy = SwarmStrategy(FedAvg(min_available_nodes=int(config["sites"])), **task.swarm(config))
    result = strategy.start(grid, initial, num_rounds=int(config["rounds"]))
    output = Path(str(config["output"]))
    output.parent.mkdir(parents=True, exist_ok=True)
    torch.save(result.arrays.to_torch_state_dict(), output)
