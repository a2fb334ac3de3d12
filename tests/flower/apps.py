"""Small honest Flower apps for tests: a linear model, gradient steps in numpy, no randomness."""

from __future__ import annotations

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

FEATURES = 5


def initial_model() -> ArrayRecord:
    arrays = {
        "weight": np.zeros((FEATURES, 2), dtype=np.float32),
        "bias": np.zeros((), dtype=np.float32),
        "steps": np.array(3, dtype=np.int64),
    }
    return ArrayRecord({name: Array(value) for name, value in arrays.items()})


def site_data(partition: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(100 + partition)
    x = rng.normal(size=(20 + 7 * partition, FEATURES))
    y = np.stack([x @ np.arange(FEATURES), x.sum(axis=1)], axis=1) + partition
    return x, y


def make_app(*mods: object) -> ClientApp:
    """A ClientApp with the given mods; the stock app is `make_app()`."""
    app = ClientApp(mods=list(mods))

    @app.train()
    def train(message: Message, context: Context) -> Message:
        x, y = site_data(int(context.node_config["partition-id"]))
        record = message.content.array_records["arrays"]
        weight = record["weight"].numpy().astype(np.float64)
        bias = record["bias"].numpy().astype(np.float64)
        error = x @ weight + bias - y
        weight = weight - 0.05 * x.T @ error / len(x)
        bias = bias - 0.05 * error.mean()
        arrays = {
            "weight": weight.astype(np.float32),
            "bias": np.asarray(bias, dtype=np.float32),
            "steps": np.asarray(record["steps"].numpy() + 1),
        }
        content = {
            "arrays": ArrayRecord({name: Array(value) for name, value in arrays.items()}),
            "metrics": MetricRecord(
                {"train_loss": float((error**2).mean()), "num-examples": len(x)}
            ),
        }
        return Message(RecordDict(content), reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        x, y = site_data(int(context.node_config["partition-id"]))
        record = message.content.array_records["arrays"]
        error = x @ record["weight"].numpy() + record["bias"].numpy() - y
        metrics = MetricRecord({"loss": float((error**2).mean()), "num-examples": len(x)})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app
