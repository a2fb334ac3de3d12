"""flwr_swarm: swarm learning for Flower. Two lines to change.

>>> from flwr_swarm import SwarmStrategy, swarm_mod
>>> strategy = SwarmStrategy(FedAvg())          # in server_app.py
>>> app = ClientApp(mods=[swarm_mod])           # in client_app.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._exceptions import SwarmError

if TYPE_CHECKING:
    from .encryption import SharedNoise
    from .flower.joining import Consortium
    from .mod import SwarmMod, swarm_mod
    from .privacy import make_private
    from .strategy import SwarmStrategy

__version__ = "0.1.0"
__all__ = [
    "Consortium",
    "SharedNoise",
    "SwarmError",
    "SwarmMod",
    "SwarmStrategy",
    "__version__",
    "make_private",
    "swarm_mod",
]

_HOMES = {
    "Consortium": "flower.joining",
    "SharedNoise": "encryption",
    "SwarmMod": "mod",
    "SwarmStrategy": "strategy",
    "make_private": "privacy",
    "swarm_mod": "mod",
}


def __getattr__(name: str) -> Any:
    """Import on first use: a site's ClientApp need not load the relay's side, nor the reverse."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
