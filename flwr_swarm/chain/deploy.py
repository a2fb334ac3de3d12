"""Found a swarm: deploy its contract."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import rlp  # type: ignore[import-untyped]
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.protocol.types import Member, Policy

from .client import TIMEOUT, account_of
from .codec import encode_creation
from .provider import Node, node_of
from .sender import Sender, ask
from .translate import genesis_fields, policy_fields

_ADDRESS_BYTES: Final = 20


def contract_address(deployer: str, nonce: int = 0) -> str:
    """Return the address of the contract that `deployer` creates with its transaction `nonce`.

    Members commit to their first secret for this address before the contract exists: a fresh
    account deploys with nonce 0.
    """
    digest = keccak(rlp.encode([to_canonical_address(deployer), nonce]))
    return to_checksum_address(digest[-_ADDRESS_BYTES:])


def deploy(
    url: str | Node,
    *,
    members: Sequence[Member],
    policy: Policy,
    key: bytes | LocalAccount,
    timeout: float = TIMEOUT,
) -> str:
    """Deploy the contract with its founding members and policy, and return its address.

    Parameters
    ----------
    url : str or Node
        JSON-RPC address of a node, or an `EmbeddedChain` of this process.
    members : sequence of Member
        In order of index, from 0. `reveals` and `epsilon` start at 0 whatever is given.
    policy : Policy
    key : bytes or LocalAccount
        Account that pays; it gets no power over the swarm.

    Raises
    ------
    ConfigurationError
        The indices are not 0, 1, 2, ...
    TransactionRefused
        The contract refuses members or policy, by its error's name.
    ChainUnreachable
        No receipt within the time limit.
    """
    if [member.index for member in members] != list(range(len(members))):
        indices = [member.index for member in members]
        raise ConfigurationError(f"member indices must be 0, 1, 2, ..., got {indices}; sort them")
    node = node_of(url, timeout=timeout)
    data = encode_creation({"genesis": genesis_fields(members), "policy_": policy_fields(policy)})
    chain_id = int(ask(node, "eth_chainId", [], end=time.monotonic() + timeout), 16)
    sender = Sender(node, account_of(key), chain_id=chain_id, timeout=timeout)
    return to_checksum_address(sender.send(to=None, data=data)["contractAddress"])
