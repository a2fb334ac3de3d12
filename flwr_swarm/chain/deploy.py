"""Found a swarm: deploy its contract."""

from __future__ import annotations

import time
from collections.abc import Sequence

from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address

from flwr_swarm.protocol.types import Card, Policy

from .address import contract_address
from .client import TIMEOUT, account_of
from .codec import encode_creation
from .provider import Node, ask, node_of
from .sender import Sender
from .translate import card_fields, policy_fields

__all__ = ["contract_address", "deploy"]


def deploy(
    url: str | Node,
    *,
    cards: Sequence[Card],
    policy: Policy,
    key: bytes | LocalAccount,
    timeout: float = TIMEOUT,
) -> str:
    """Deploy the contract with its founding members and policy, and return its address.

    Parameters
    ----------
    url : str or Node
        JSON-RPC address of a node, or an `EmbeddedChain` of this process.
    cards : sequence of Card
        Of the founding members; member i is `cards[i]`.
    policy : Policy
    key : bytes or LocalAccount
        Account that pays; it gets no power over the swarm.

    Raises
    ------
    TransactionRefused
        The contract refuses members or policy, by its error's name.
    ChainUnreachable
        No receipt within the time limit.
    """
    node = node_of(url, timeout=timeout)
    data = encode_creation(
        {
            "genesis": [card_fields(card) for card in cards],
            "policy_": policy_fields(policy),
        }
    )
    end = time.monotonic() + timeout
    chain_id = int(ask(node, "eth_chainId", [], end=end), 16)
    sender = Sender(node, account_of(key), chain_id=chain_id, timeout=timeout)
    return to_checksum_address(sender.send(to=None, data=data, end=end)["contractAddress"])
