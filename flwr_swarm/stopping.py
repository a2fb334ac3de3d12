"""When a swarm's run stops, and how long members train in a round: what a ServerApp names.

>>> from flwr_swarm.stopping import AdaptiveInterval, Budget, Plateau
>>> SwarmStrategy(FedAvg(...), stop=[Plateau(patience=5), Budget()],
...               interval=AdaptiveInterval(start=2, longest=8))
"""

from __future__ import annotations

from .protocol.interval import AdaptiveInterval
from .protocol.stopping import Budget, Finished, Plateau, Progress, Rule, Vote

__all__ = ["AdaptiveInterval", "Budget", "Finished", "Plateau", "Progress", "Rule", "Vote"]
