"""`flwr-swarm contributions`: what each member did, counted from the contract's events."""

from __future__ import annotations

from typing import Final

EXAMPLE: Final = "Example: flwr-swarm contributions --db events.sqlite"
