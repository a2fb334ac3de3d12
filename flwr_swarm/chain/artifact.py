"""The compiled contract that ships with the package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from eth_utils.crypto import keccak

NAME: Final = "Swarm"


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """ABI and bytecode of the contract, with the SHA-256 of the sources they came from.

    The contract has a second half, its charter, which it creates when it is founded; `abi` is
    that of both.
    """

    abi: tuple[dict[str, Any], ...]
    bytecode: bytes
    deployed: bytes
    charter: bytes
    sources: dict[str, str]

    @property
    def code_hash(self) -> bytes:
        """Keccak-256 of the code that a deployed contract has. It has no immutables."""
        return keccak(self.deployed)

    @property
    def charter_hash(self) -> bytes:
        """Keccak-256 of the code that a deployed contract's charter has."""
        return keccak(self.charter)


@cache
def load() -> Artifact:
    """Return the shipped artifact."""
    text = files(__package__).joinpath("artifacts", f"{NAME}.json").read_text(encoding="utf-8")
    raw = json.loads(text)
    return Artifact(
        abi=tuple(raw["abi"]),
        bytecode=bytes.fromhex(raw["bytecode"][2:]),
        deployed=bytes.fromhex(raw["deployedBytecode"][2:]),
        charter=bytes.fromhex(raw["charterBytecode"][2:]),
        sources=raw["sources"],
    )
