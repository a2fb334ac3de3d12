"""What a relay must know of its swarm before it starts a run."""

from __future__ import annotations

from ..chain.client import ReadOnlyLedger


def fewest_members(chain: str, contract: str) -> int:
    """How many members one sum needs by the policy."""
    view = ReadOnlyLedger(url=chain, contract=contract).view()
    return max(view.policy.min_included, view.policy.threshold)
