"""What everything of a round is bound to, so that nothing of one round works in another."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from flwr_swarm._exceptions import ConfigurationError

PROTOCOL = b"flwr_swarm/v1/"


@dataclass(frozen=True, kw_only=True)
class RoundContext:
    """One round of one swarm.

    Parameters
    ----------
    chain_id : int
    contract : str
        Address, 0x and 40 hex digits; case does not matter.
    round : int
        From 1.
    anchor : bytes
        32-byte hash of the model that the round trains on. With it, what is encrypted in a round
        is bound to one parent model too.

    Raises
    ------
    ConfigurationError
        If a field is not of this form.
    """

    chain_id: int
    contract: str
    round: int
    anchor: bytes

    def __post_init__(self) -> None:
        """Refuse what would have two spellings."""
        if not 0 <= self.chain_id < 1 << 256:
            raise ConfigurationError(f"chain_id must be a 256-bit integer, got {self.chain_id}")
        if not re.fullmatch(r"0x[0-9a-fA-F]{40}", self.contract):
            raise ConfigurationError(
                f"contract must be 0x and 40 hex digits, got {self.contract!r}"
            )
        if not 0 <= self.round < 1 << 64:
            raise ConfigurationError(f"round must be a 64-bit integer, got {self.round}")
        if len(self.anchor) != 32:
            raise ConfigurationError(f"anchor must be 32 bytes, got {len(self.anchor)}")

    def _hash(self, purpose: bytes) -> bytes:
        body = (
            self.chain_id.to_bytes(32, "big")
            + bytes.fromhex(self.contract[2:])
            + self.round.to_bytes(8, "big")
            + self.anchor
        )
        return hashlib.sha256(PROTOCOL + purpose + b"\0" + body).digest()

    def digest(self) -> bytes:
        """32 bytes that name the round in envelopes and openings."""
        return self._hash(b"context")

    def common_seed(self) -> bytes:
        """32 bytes from which all members derive the round's polynomials a_k."""
        return self._hash(b"common")
