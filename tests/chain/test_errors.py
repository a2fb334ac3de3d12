"""How nodes put a refusal, and what it means: one place turns both into named errors."""

from __future__ import annotations

from typing import Any

import pytest
from chain_support import Swarm
from eth_account import Account

from flwr_swarm._exceptions import NotAMember, TransactionRefused
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.errors import refusal
from flwr_swarm.chain.jsonrpc import RpcError
from flwr_swarm.chain.translate import call_data
from flwr_swarm.protocol.ledger import AbstainCall


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: "Reverted " + d, lambda d: {"data": d}])
def test_revert_data_is_found_where_nodes_put_it(chain: EmbeddedChain, wrap: Any) -> None:
    swarm = Swarm(chain, 1)
    data = abstain_refused_with(chain, swarm)
    error = refusal({"code": 3, "message": "execution reverted", "data": wrap(data)})
    assert isinstance(error, NotAMember)


def abstain_refused_with(chain: EmbeddedChain, swarm: Swarm) -> str:
    data = "0x" + call_data(AbstainCall(round=1)).hex()
    with pytest.raises(RpcError) as caught:
        chain.request(
            "eth_call", [{"from": Account.create().address, "to": swarm.contract, "data": data}]
        )
    assert caught.value.data is not None
    return caught.value.data


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"code": 3, "message": "execution reverted"}, "Reverted"),
        ({"code": 3, "message": "execution reverted", "data": "0xdeadbeef"}, "Reverted"),
        ({"code": -32000, "message": "insufficient funds for gas * price + value"}, "OutOfFunds"),
        ({"code": -32000, "message": "gas limit reached"}, "Rejected"),
    ],
)
def test_other_refusals_have_their_own_names(error: dict[str, Any], reason: str) -> None:
    found = refusal(error)
    assert isinstance(found, TransactionRefused)
    assert found.reason == reason
