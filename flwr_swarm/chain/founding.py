"""The contract's rules of founding in Python: which members and which policy it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flwr_swarm._exceptions import TransactionRefused
from flwr_swarm.protocol.types import ZERO_HASH, Member, Policy

MAX_MEMBERS: Final = 64
MAX_COMMITTEE: Final = 7
MAX_VIEWS: Final = 8
_ZERO_ACCOUNT: Final = "0x" + "00" * 20


def check_founding(members: Sequence[Member], policy: Policy) -> None:
    """Refuse what the contract's constructor refuses, by its own error names.

    Raises
    ------
    TransactionRefused
    """
    n = len(members)
    if not 1 <= n <= MAX_MEMBERS:
        raise TransactionRefused("MemberCountOutOfRange", f"members={n}; 1 to {MAX_MEMBERS}")
    leader = policy.fixed_leader
    in_range = {
        "ThresholdOutOfRange": 1 <= policy.threshold <= n,
        "MinIncludedOutOfRange": 1 <= policy.min_included <= n,
        "WitnessesOutOfRange": 0 <= policy.witnesses <= n,
        "CommitteeOutOfRange": 1 <= policy.max_committee <= MAX_COMMITTEE,
        "CloseAtOutOfRange": policy.min_included <= policy.close_at <= n,
        "FixedLeaderOutOfRange": leader is None or 0 <= leader < n,
        "SecondsOutOfRange": min(policy.seal_seconds, policy.merge_seconds) >= 1,
        "ViewsOutOfRange": 1 <= policy.max_views <= MAX_VIEWS,
    }
    for name, holds in in_range.items():
        if not holds:
            raise TransactionRefused(name, f"{n} members, {policy}")
    seen: set[str] = set()
    for member in members:
        account = member.account.lower()
        if account == _ZERO_ACCOUNT:
            raise TransactionRefused("ZeroAccount", f"member={member.index}")
        if account in seen:
            raise TransactionRefused("DuplicateAccount", f"account={member.account}")
        if ZERO_HASH in {member.encryption_key, member.commitment}:
            raise TransactionRefused("ZeroHash", f"member={member.index}")
        seen.add(account)
