"""The address that a contract will have, before it exists."""

from __future__ import annotations

from typing import Final

import rlp  # type: ignore[import-untyped]
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak

_ADDRESS_BYTES: Final = 20
_FIRST: Final = 1


def contract_address(deployer: str, nonce: int = 0) -> str:
    """Return the address of the contract that `deployer` creates with its transaction `nonce`.

    Members commit to their first secret for this address before the contract exists: a fresh
    account deploys with nonce 0.
    """
    digest = keccak(rlp.encode([to_canonical_address(deployer), nonce]))
    return to_checksum_address(digest[-_ADDRESS_BYTES:])


def charter_address(contract: str) -> str:
    """Return the address of the charter of the swarm at `contract`: the first it creates."""
    return contract_address(contract, _FIRST)
