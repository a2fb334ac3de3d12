"""What a hospital runs."""

from __future__ import annotations

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from flwr_swarm import swarm_mod
from flwr_swarm.demo.data import load
from flwr_swarm.privacy import make_private
from support2_app import task

app = ClientApp(mods=[swarm_mod])


@app.train()
def train(msg: Message, context: Context) -> Message:
    """Train the global model on this hospital's patients."""
    config = context.run_config
    site = int(context.node_config["partition-id"])
    turn = int(msg.content["config"]["server-round"])
    patients = load(str(config["dataset"])).sites[site].train
    model = task.build(config)
    model.load_state_dict(msg.content["arrays"].to_torch_state_dict())
    optimizer = task.optimizer_of(model, config)
    loader = task.loader_of(patients, config, salt=1000 * turn + site)
    model, optimizer, loader = make_private(context, model, optimizer, loader, **task.dp(config))
    loss = task.fit(model, optimizer, loader, int(config["local-epochs"]))
    metrics = MetricRecord({"num-examples": len(patients), "train_loss": loss})
    arrays = ArrayRecord(model.state_dict())
    return Message(content=RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    """Score the global model on the patients that this hospital held back."""
    config = context.run_config
    site = int(context.node_config["partition-id"])
    patients = load(str(config["dataset"])).sites[site].held_out
    model = task.build(config)
    model.load_state_dict(msg.content["arrays"].to_torch_state_dict())
    logits, truth = task.score(model, patients), torch.from_numpy(patients.y)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth).item()
    metrics = MetricRecord({"num-examples": len(patients), "eval_loss": loss})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=msg)
