"""A table of attacks: each a sentence, and what an attacker does against a swarm of four."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from chain_support import Swarm, key_of, refused

from flwr_swarm.chain.codec import decode_event, error_selector
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.errors import refusal
from flwr_swarm.chain.history import export
from flwr_swarm.chain.jsonrpc import RpcError
from flwr_swarm.chain.replay import replay
from flwr_swarm.protocol.ledger import CertifyCall, LedgerCall, ProposeCall, VoteCall
from flwr_swarm.protocol.types import Kind

Attack = Callable[[Swarm], tuple[int, LedgerCall, str] | None]
"""Returns who makes which last call, and by what name it is refused; or has itself asserted
that the attempt is on record and without effect."""


class Table(dict[str, Attack]):
    """Attacks by their story."""

    def __call__(self, story: str) -> Callable[[Attack], Attack]:
        def enter(attack: Attack) -> Attack:
            assert story not in self
            self[story] = attack
            return attack

        return enter


def four(chain: EmbeddedChain, **policy: Any) -> Swarm:
    usual = {"relaying": True, "max_misses": 1, "epsilon_cap": 100, "max_committee": 3}
    return Swarm(chain, 4, **(usual | policy))


def drawn(swarm: Swarm, number: int = 1) -> CertifyCall:
    view = swarm.seal_all(number)
    return swarm.certify_call(swarm.certificate(view), swarm.officers(view))


def removal(swarm: Swarm, seat: int) -> ProposeCall:
    return ProposeCall(change=swarm.change(Kind.REMOVE, seat))


def vote(number: int, support: bool = True) -> VoteCall:
    return VoteCall(proposal=number, support=support)


def repelled(swarm: Swarm, attack: Attack) -> None:
    """The attempt is refused by name and changes nothing, or the attack has checked its record."""
    last = attack(swarm)
    if last is not None:
        key, call, name = last
        refused(name, swarm.ledgers[key], call)
    proved = replay(export(swarm.chain, swarm.contract))  # the rules in Python judge alike
    assert replace(proved.view, now=0) == replace(swarm.view, now=0)


def events_since(swarm: Swarm, block: int) -> list[tuple[str, dict[str, Any]]]:
    """What the contract announced after `block`."""
    wanted = {"address": swarm.contract, "fromBlock": hex(block + 1), "toBlock": "latest"}
    return [
        decode_event(
            [bytes.fromhex(topic[2:]) for topic in log["topics"]], bytes.fromhex(log["data"][2:])
        )
        for log in swarm.chain.request("eth_getLogs", [wanted])
    ]


def told(swarm: Swarm, key: int, call: LedgerCall) -> list[tuple[str, dict[str, Any]]]:
    """Submit, and return the events."""
    block = swarm.chain.height
    swarm.ledgers[key].submit(call)
    return events_since(swarm, block)


def skipped(events: list[tuple[str, dict[str, Any]]]) -> dict[int, bytes]:
    return {f["position"]: f["reason"] for name, f in events if name == "SealSkipped"}


def reason(name: str) -> bytes:
    return error_selector(name)


def raw_refusal(swarm: Swarm, key: int, data: bytes, to: str = "", **fields: Any) -> str:
    """Name of the error with which a raw call is refused."""
    call = {"from": key_of(key).address, "to": to or swarm.contract, "data": "0x" + data.hex()}
    with pytest.raises(RpcError) as caught:
        swarm.chain.request("eth_call", [call | fields])
    error = refusal(caught.value.as_object())
    return getattr(error, "reason", type(error).__name__)
