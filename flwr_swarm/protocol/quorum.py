"""The counts that keep a swarm safe: faults tolerated, threshold, smallest sum."""

from __future__ import annotations

from .._exceptions import ConfigurationError
from ..encryption.parameters import SMALLEST_SUM
from .types import Policy

SMALLEST_ENCRYPTED_SWARM = SMALLEST_SUM
"""With two members, each learns the other's update from the sum; no encryption can help."""


def tolerated_faults(members: int) -> int:
    """Byzantine members f that `members` of them tolerate: f = floor((n - 1) / 3)."""
    return (members - 1) // 3


def smallest_threshold(members: int) -> int:
    """Smallest t with 2t > n + f, so that no two sets of a round can both be opened.

    Two sets of t openers share at least 2t - n > f holders, hence an honest one, and an honest
    holder releases its shares for one set only.
    """
    return (members + tolerated_faults(members)) // 2 + 1


def witnesses_needed(members: int) -> int:
    """Officers of the last round who must confirm a model: one more than are faulty."""
    return tolerated_faults(members) + 1


def signatures_needed(members: int) -> int:
    """Signatures that leave enough honest witnesses behind: 2f + 1.

    Only who merged a sum can confirm the model after it, and nobody can merge it later. If f
    faulty signers then fall silent, f + 1 honest ones are left. A committee's own quorum says
    this only of its own third: of 7 members 2 are faulty, and both may sit among 5 who sealed.
    """
    return tolerated_faults(members) + witnesses_needed(members)


def check_protects(policy: Policy, members: int) -> None:
    """Refuse a policy under which encryption would not protect a member's update.

    Parameters
    ----------
    policy : Policy
        The rules as the ledger holds them.
    members : int
        Number of members n.

    Raises
    ------
    ConfigurationError
        If n < 3, if 2t <= n + f, if t > n, or if a sum may hold fewer than two updates besides
        the smallest coalition's own.
    """
    if members < SMALLEST_ENCRYPTED_SWARM:
        raise ConfigurationError(
            f"encryption needs at least {SMALLEST_ENCRYPTED_SWARM} members, got {members}; with "
            "fewer, the sum itself gives a member's update away. Add members, or try the swarm "
            'without protection with SwarmStrategy(encryption="none")'
        )
    faults = tolerated_faults(members)
    if not members >= policy.threshold > (members + faults) / 2:
        raise ConfigurationError(
            f"threshold must satisfy n >= t and 2t > n + f, got t={policy.threshold} for "
            f"n={members}, f={faults}; use t={smallest_threshold(members)} or more"
        )
    if not members >= policy.min_included >= SMALLEST_ENCRYPTED_SWARM:
        raise ConfigurationError(
            f"min_included must be between {SMALLEST_ENCRYPTED_SWARM} and the {members} members, "
            f"got {policy.min_included}; a sum over fewer hides nothing from its own members"
        )
