"""A member's private keys at rest: encrypted, in a folder that only its owner can read."""

from .container import STANDARD_COST
from .store import Generation, Keystore

__all__ = ["STANDARD_COST", "Generation", "Keystore"]
