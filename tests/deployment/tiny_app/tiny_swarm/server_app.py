"""What starts the training and keeps its result."""

from __future__ import annotations

import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from flwr_swarm import SwarmStrategy

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for `rounds` rounds; save the last model to model.npy."""
    config = context.run_config
    initial = ArrayRecord({"w": Array(np.zeros(int(config["size"]), np.float32))})
    strategy = SwarmStrategy(
        FedAvg(min_available_nodes=int(config["sites"])),
        max_weight=1000.0,
        seal_seconds=600,
        merge_seconds=300,
    )
    result = strategy.start(grid, initial, num_rounds=int(config["rounds"]))
    np.save("model.npy", result.arrays["w"].numpy())
