"""Where `benchmarks.overhead` runs its apps: Flower's simulation, or SuperLink and SuperNodes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flwr.serverapp.strategy import FedAvg

from flwr_swarm import SwarmStrategy
from flwr_swarm.commands.policies import adjusted, default_policy
from flwr_swarm.demo.runtime import runtime
from flwr_swarm.deployment.cluster import Cluster
from flwr_swarm.deployment.consortium import Local
from flwr_swarm.deployment.order import Order
from flwr_swarm.deployment.relay import Relay

MAX_WEIGHT = 1024.0
_CAPACITY = 16
_POLICY = ("seal_seconds=300", "merge_seconds=120")

Run = Callable[[Path, Path], None]
"""(app's folder, file for its log)."""


@contextmanager
def simulation(members: int, folder: Path, env: Mapping[str, str]) -> Iterator[Run]:
    """Flower's simulation runtime, private to this benchmark."""
    with runtime(nodes=members, env=env) as where:
        yield lambda app, log: where.run(app, {}, log=log)


@contextmanager
def superlink(members: int, folder: Path, env: Mapping[str, str]) -> Iterator[Run]:
    """One SuperLink over TLS and a SuperNode for each member, all on this machine.

    The contract is one study, so the swarm runs once; its chain is a process of its own.
    """
    os.environ.update(env)  # what is started here inherits it
    strategy = SwarmStrategy(FedAvg(), max_weight=MAX_WEIGHT)
    local = Local.create(
        folder / "consortium",
        members=members,
        terms=strategy.terms(_CAPACITY),
        policy=lambda terms: adjusted(default_policy(members, terms), _POLICY),
    )
    with Cluster(local, say=_say) as cluster:
        cluster.start()

        def run(app: Path, log: Path) -> None:
            with log.open("w") as sink:
                order = Order(app=app, superlink=cluster.relay, retries=0, stream=sink.write)
                with Relay(local.sites[0], order, say=_say) as relay:
                    relay.run()

        yield run


ENGINES = {"simulation": simulation, "superlink": superlink}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
