"""What a site runs: it adds (its number + 1) units to each value, on as many examples."""

from __future__ import annotations

import time

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from flwr_swarm import swarm_mod

app = ClientApp(mods=[swarm_mod])


@app.train()
def train(msg: Message, context: Context) -> Message:
    """One step."""
    config = context.run_config
    place = int(context.node_config["partition-id"]) + 1
    time.sleep(float(config["pause"]))
    values = msg.content["arrays"]["w"].numpy() + np.float32(place * float(config["unit"]))
    metrics = MetricRecord({"num-examples": 100 * place, "train_loss": float(place)})
    arrays = ArrayRecord({"w": Array(values.astype(np.float32))})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    """The mean of the values, as the loss."""
    metrics = {"num-examples": 10, "eval_loss": float(msg.content["arrays"]["w"].numpy().mean())}
    return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=msg)
