"""`flwr-swarm doctor`: does this installation work?"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg

from flwr_swarm import SwarmStrategy, swarm_mod
from flwr_swarm._exceptions import SwarmError
from flwr_swarm.report.verify import Verified, verify
from flwr_swarm.testing import InProcessGrid

_MEMBERS = 4
_VALUES = 1000
_TOLERANCE = 1e-3
_ROUNDS = 2
_UNIT = 0.01
_EXAMPLES = 4000


def self_test() -> Verified:
    """Run a swarm of four in this process, two encrypted rounds on a real chain, and verify it.

    Returns
    -------
    Verified
        What the evidence of the run proves.

    Raises
    ------
    SwarmError
        If the decrypted mean is not the members' mean, or the evidence does not hold.
    """
    loggers = [logging.getLogger(name) for name in ("flwr", "flwr_swarm")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory(prefix="flwr-swarm-doctor-") as folder:
            run = Path(folder) / "run"
            strategy = SwarmStrategy(FedAvg(min_available_nodes=_MEMBERS), evidence=run)
            initial = ArrayRecord({"w": Array(np.zeros(_VALUES, np.float32))})
            grid = InProcessGrid(_app(), nodes=_MEMBERS)
            result = strategy.start(grid, initial, num_rounds=_ROUNDS)
            # Member k adds k + 1 units in every round, on k + 1 times as many examples.
            weights = range(1, _MEMBERS + 1)
            expected = _ROUNDS * _UNIT * sum(k * k for k in weights) / sum(weights)
            if not len(result.arrays):
                raise SwarmError("the self-test's rounds are void; run it again, then report it")
            worst = float(np.abs(result.arrays["w"].numpy() - expected).max())
            if not worst <= _TOLERANCE:
                raise SwarmError(
                    f"the decrypted mean is off by {worst:.2g}, allowed {_TOLERANCE:g}; reinstall "
                    "the pinned versions (pip install -c constraints.txt) and report it"
                )
            return verify(run)
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _app() -> ClientApp:
    app = ClientApp(mods=[swarm_mod])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        step = int(str(context.node_config["partition-id"])) + 1
        before = message.content.array_records["arrays"]["w"].numpy()
        after = (before + np.float32(_UNIT * step)).astype(np.float32)
        content = {
            "arrays": ArrayRecord({"w": Array(after)}),
            "metrics": MetricRecord({"num-examples": _EXAMPLES * step, "loss": 0.0}),
        }
        return Message(RecordDict(dict(content)), reply_to=message)  # type: ignore[arg-type]

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        metrics = MetricRecord({"num-examples": 1, "loss": 0.0})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app
