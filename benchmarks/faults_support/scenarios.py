"""The scenarios, in the order in which they run; a group shares one consortium and one study."""

from __future__ import annotations

from .absences import dropouts, outsiders, revoked
from .kills import kills
from .lies import byzantine, openers, relay_lies
from .scenario import Scenario

SCENARIOS: tuple[Scenario, ...] = (
    *kills(),
    *dropouts(),
    *byzantine(),
    *openers(),
    *relay_lies(),
    *outsiders(),
    *revoked(),
)
QUICK = (
    "supernode-seal",
    "leader-supernode-merge",
    "chain-merge",
    "serverapp-open",
    "nan",
    "duplicates",
)
