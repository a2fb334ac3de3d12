"""A ledger as stop rules see it."""

from __future__ import annotations

from typing import Any

from flwr_swarm.protocol.terms import Terms
from flwr_swarm.protocol.types import NO_CAP, LedgerView, Member, Phase, Policy, Round

TERMS = Terms(encryption="threshold", members=16)


def ledger(
    epsilons: list[int],
    *,
    cap: int = NO_CAP,
    least: int = 3,
    terms: bytes | None = None,
    **view: Any,
) -> LedgerView:
    """A view in which member i has spent `epsilons[i]`."""
    members = tuple(
        Member(index=i, account=f"0x{i + 1:040x}", encryption_key=bytes([i]) * 32,
               commitment=b"c" * 32, epsilon=spent)
        for i, spent in enumerate(epsilons)
    )  # fmt: skip
    policy = Policy(
        threshold=3,
        min_included=least,
        witnesses=0,
        close_at=len(epsilons),
        epsilon_cap=cap,
        terms=TERMS.hash() if terms is None else terms,
    )
    usual: dict[str, Any] = {
        "chain_id": 7,
        "contract": "0x" + "ab" * 20,
        "now": 0,
        "current": Round(number=0, phase=Phase.IDLE),
        "final": None,
    }
    return LedgerView(policy=policy, members=members, **(usual | view))
