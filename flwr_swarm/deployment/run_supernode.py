"""`flower-supernode` that ends when it gives up: `python -m flwr_swarm.deployment.run_supernode`.

Flower's own command then lives on without a connection, and nobody could start it again.
"""

from __future__ import annotations

import os
from typing import Final

from ..flower.compat import run_supernode

GAVE_UP: Final = 75
"""Exit code when the relay was away for longer than --max-wait-time."""
APPS: Final = "FLWR_SWARM_APPS"
"""Environment variable: hashes of the apps that may run here; unset for any."""


def main() -> None:
    """Run until Flower gives up; then leave at once, its threads notwithstanding."""
    run_supernode(frozenset(os.environ.get(APPS, "").split()))
    os._exit(GAVE_UP)


if __name__ == "__main__":
    main()
