"""Every call is signed by the member who makes it: the contract should take no other."""

from __future__ import annotations

from typing import Any

from chain_support import Swarm, digest, frozen_chain, key_of
from eth_account import Account
from eth_account.signers.local import LocalAccount

from flwr_swarm.chain.address import contract_address
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.history import export
from flwr_swarm.chain.replay import replay
from flwr_swarm.chain.translate import call_data
from flwr_swarm.protocol.ledger import AbstainCall
from flwr_swarm.protocol.types import Card


def send(chain: EmbeddedChain, key: LocalAccount, to: str | None, data: bytes) -> dict[str, Any]:
    fields = {
        "type": 2,
        "chainId": chain.chain_id,
        "nonce": int(chain.request("eth_getTransactionCount", [key.address]), 16),
        "value": 0,
        "gas": 2_000_000,
        "maxFeePerGas": 0,
        "maxPriorityFeePerGas": 0,
        "data": "0x" + data.hex(),
    }
    raw = key.sign_transaction(fields if to is None else fields | {"to": to}).raw_transaction
    sent = chain.request("eth_sendRawTransaction", ["0x" + raw.hex()])
    receipt: dict[str, Any] = chain.request("eth_getTransactionReceipt", [sent])
    return receipt


def forwarder(to: str) -> bytes:
    """Init code of a contract that passes on to `to` whatever it is called with."""
    code = bytes.fromhex("36600060003760006000366000600073" + to[2:] + "5af15000")
    return bytes([0x60, len(code), 0x80, 0x60, 0x0B, 0x60, 0, 0x39, 0x60, 0, 0xF3]) + code


def test_a_founder_that_is_a_contract_cannot_make_evidence_unreadable() -> None:
    chain, stranger = frozen_chain(), key_of(70)
    swarm_at = contract_address(Account.from_key(digest("founder")).address)
    behind = contract_address(stranger.address)
    send(chain, stranger, None, forwarder(swarm_at))

    class Founded(Swarm):
        def card(self, i: int, **changes: Any) -> Card:
            return super().card(i, **({"account": behind} if i == 3 else {}) | changes)

    swarm = Founded(chain, 4)
    assert swarm.contract == swarm_at
    send(chain, stranger, behind, call_data(AbstainCall(round=1)))
    swarm.seal_all(1, 0, 1)
    replay(export(chain, swarm.contract))
