"""The relay's side: it trains and keeps the model, and is hostile where it is told so."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from flwr_swarm import SwarmStrategy
from flwr_swarm.flower.records import FIELDS
from flwr_swarm.stopping import Progress

from .orders import orders

app = ServerApp()


MODELS = Path("models")


class Hostile(SwarmStrategy):
    """Sends another model to one member, or to all, when it is told so; once a round."""

    _done: frozenset[tuple[int, int]] = frozenset()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As it should be, and then perhaps something else."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        for at, message in enumerate(messages):
            told, key = _told(message), (_round(message), message.metadata.dst_node_id)
            if key in self._done:
                continue
            if "other_model_to_all" in told or ("other_model_to_one" in told and at == 0):
                content = RecordDict(dict(message.content.items()))
                self._done |= {key}
                values = content.array_records["arrays"]["w"].numpy() + np.float32(1.0)
                content["arrays"] = ArrayRecord({"w": Array(values.astype(np.float32))})
                messages[at] = Message(
                    content, message.metadata.dst_node_id, message.metadata.message_type
                )
        return messages


class Told:
    """The run ends when the benchmark says so."""

    def reason(self, progress: Progress) -> str | None:
        """That it was told."""
        return "the benchmark has seen enough" if orders(0, "stop") else None


class Repeating:
    """A grid that sends some messages twice."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send, and send again what is to be sent twice."""
        sent = list(messages)
        again = [
            Message(m.content, m.metadata.dst_node_id, m.metadata.message_type)
            for m in sent
            if "duplicate" in _told(m)
        ]
        pushed = self._grid.push_messages(sent)
        if again:
            list(self._grid.push_messages(again))
        return pushed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)


def _told(message: Message) -> dict[str, Any]:
    fields = message.content.config_records.get(FIELDS, {})
    return orders(_round(message), str(fields.get("phase", "")))


def _round(message: Message) -> int:
    fields = message.content.config_records.get(FIELDS, {})
    return int(cast(int, fields.get("round", 0)))


def keep(_round: int, arrays: ArrayRecord) -> None:
    """Save every model that the loop has, the first included."""
    MODELS.mkdir(exist_ok=True)
    path = MODELS / f"{time.time_ns()}.npy"
    aside = path.with_suffix(".new")  # whoever reads it, reads all of it
    with aside.open("wb") as file:
        np.save(file, arrays["w"].numpy())
    aside.replace(path)


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for `rounds` rounds; save the last model to model.npy."""
    config = context.run_config
    initial = ArrayRecord({"w": Array(np.zeros(64, np.float32))})
    strategy = Hostile(
        FedAvg(
            min_available_nodes=int(config["sites"]),
            min_train_nodes=int(config["sites"]),
            fraction_evaluate=0.0,
        ),
        clip=1.0,
        max_weight=1000.0,
        seal_seconds=int(config["seal-seconds"]),
        merge_seconds=int(config["merge-seconds"]),
        stop=[Told()],
    )
    result = strategy.start(
        cast(Grid, Repeating(grid)),
        initial,
        num_rounds=int(config["rounds"]),
        evaluate_fn=keep,
    )
    np.save("model.npy", result.arrays["w"].numpy())
