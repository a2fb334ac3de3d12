"""A study that its members stopped: the policy's terms are then ones that no relay can name.

Two thirds of the members and one more replace the policy's terms by `stopped_terms` of them. As
every member compares a relay's terms with the policy's, all refuse to train from then on, whoever
relays; no member need be asked, and the contract needs no rule for it. Voting the old terms back
starts the study again. No JSON has a stopped hash as its terms' hash: the tags differ.
"""

from __future__ import annotations

from .._exceptions import StudyStopped
from .hashing import tagged_hash
from .terms import Terms
from .types import LedgerView


def stopped_terms(terms: bytes) -> bytes:
    """What the policy names in place of terms with this hash once the study is stopped."""
    return tagged_hash("stopped", terms)


def is_stopped(view: LedgerView, terms: Terms) -> bool:
    """Whether the members voted to stop the study that has these terms."""
    return view.policy.terms == stopped_terms(terms.hash())


def stop_words(view: LedgerView) -> str:
    """That a study was stopped, in a few words."""
    return f"the members voted to stop this study (the swarm is in epoch {view.epoch})"


def check_going_on(view: LedgerView, terms: Terms) -> None:
    """Refuse to train in a study that its members stopped.

    Raises
    ------
    StudyStopped
    """
    if is_stopped(view, terms):
        raise StudyStopped(
            f"{stop_words(view)}; nothing was trained. What was certified before is still opened. "
            "To go on, the members vote its terms back (`flwr-swarm member vote --restart`)"
        )
