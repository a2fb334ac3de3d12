"""What a site runs: it adds (its number + 1) units to each value, unless it is told otherwise."""

from __future__ import annotations

import time

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from flwr_swarm import swarm_mod

from .mischief import TRAINING, mischief

UNIT = 0.01
SECONDS = 1.0

app = ClientApp(mods=[mischief, swarm_mod])


@app.train()
def train(msg: Message, context: Context) -> Message:
    """One step, the same whatever the model."""
    place = int(context.node_config["partition-id"]) + 1
    time.sleep(float(TRAINING.get("slow", SECONDS)))
    if "raise" in TRAINING:
        raise RuntimeError("the data of this site cannot be read")
    step = np.float32("nan") if "nan" in TRAINING else np.float32(place * UNIT)
    values = msg.content["arrays"]["w"].numpy() + step
    metrics = {"num-examples": 100 * place, "train_loss": float(place)}
    if "extra_metric" in TRAINING:
        metrics["another"] = 1.0
    arrays = ArrayRecord({"w": Array(values.astype(np.float32))})
    return Message(RecordDict({"arrays": arrays, "metrics": MetricRecord(metrics)}), reply_to=msg)
