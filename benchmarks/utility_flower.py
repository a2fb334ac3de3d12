"""One training as a real Flower app in this process: what a site does is a function given to it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg, Strategy

from flwr_swarm.demo.models import State
from flwr_swarm.testing import InProcessGrid

Train = Callable[[int, int, State, Context], tuple[State, int]]
"""Site, round, model and context to the site's model and its number of examples."""


def fly(
    sites: int,
    strategy: Strategy,
    train: Train,
    start: State,
    *,
    rounds: int,
    mods: tuple[Callable[..., Message], ...] = (),
) -> tuple[State, list[Context]]:
    """Run the app; the last model, and the sites' contexts.

    Raises
    ------
    RuntimeError
        If a site did not take part in each round: the regime would not be what it is called.
    """
    app, taken = ClientApp(mods=list(mods)), [0] * sites

    @app.train()
    def answer(message: Message, context: Context) -> Message:
        site = int(context.node_config["partition-id"])
        turn = cast(int, message.content.config_records["config"]["server-round"])
        model = message.content.array_records["arrays"].to_torch_state_dict()
        state, examples = train(site, turn, model, context)
        taken[site] += 1
        content = RecordDict()
        content["arrays"] = ArrayRecord(dict(state))
        content["metrics"] = MetricRecord({"num-examples": examples})
        return Message(content, reply_to=message)

    grid = InProcessGrid(app, nodes=sites)
    with quiet():
        result = strategy.start(grid, ArrayRecord(dict(start)), num_rounds=rounds)
    if taken != [rounds] * sites or not result.arrays:
        raise RuntimeError(f"of {rounds} rounds the sites trained in {taken}")
    return result.arrays.to_torch_state_dict(), list(grid.contexts.values())


def fedavg(sites: int) -> FedAvg:
    """FedAvg over all sites in each round."""
    with quiet():
        return FedAvg(min_available_nodes=sites, min_train_nodes=sites, fraction_evaluate=0.0)


@contextmanager
def quiet() -> Iterator[None]:
    """Flower logs every round at length, and each chain that it is for development; errors show."""
    logs = [logging.getLogger(name) for name in ("flwr", "flwr_swarm.chain.server")]
    before = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for log, level in zip(logs, before, strict=True):
            log.setLevel(level)
