"""Record-level differential privacy: DP-SGD in one call, and what it has cost so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .accounting import (
    STATE_KEY,
    Charge,
    History,
    epsilon_spent,
    load_history,
    micro_epsilon,
    reconcile,
)

if TYPE_CHECKING:
    from .engine import make_private

__all__ = [
    "STATE_KEY",
    "Charge",
    "History",
    "epsilon_spent",
    "load_history",
    "make_private",
    "micro_epsilon",
    "reconcile",
]


def __getattr__(name: str) -> Any:
    # Torch and Opacus take seconds to import, and a deployed node starts a process a message.
    if name == "make_private":
        from .engine import make_private  # noqa: PLC0415

        return make_private
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
