"""A transaction of any type that chains take is evidence, whoever's node tells of it."""

from __future__ import annotations

from typing import Any

import pytest
from chain_support import Swarm, frozen_chain, key_of, number_of
from eth_account.datastructures import SignedTransaction as Signed
from hypothesis import given
from hypothesis import strategies as st

from flwr_swarm._exceptions import EvidenceError, WireError
from flwr_swarm.chain import transactions
from flwr_swarm.chain.envelopes import from_rpc, parse
from flwr_swarm.chain.history import export
from flwr_swarm.chain.replay import replay

TYPES: dict[str, dict[str, Any]] = {
    "type 0": {"gasPrice": 0, "chainId": 77},
    "type 0 without a chain": {"gasPrice": 0},
    "type 1": {"type": 1, "gasPrice": 0, "chainId": 77, "accessList": []},
    "type 2": {"type": 2, "chainId": 77, "maxFeePerGas": 0, "maxPriorityFeePerGas": 0},
}


def signed(key: int, entry: dict[str, Any], fields: dict[str, Any]) -> Signed:
    usual = {"nonce": entry["nonce"], "to": entry["to"], "value": 0, "gas": 10**6}
    return key_of(key).sign_transaction(usual | {"data": entry["input"]} | fields)


@pytest.fixture(scope="module")
def swarm() -> Swarm:
    swarm = Swarm(frozen_chain(), 2)
    swarm.whole_round(1)
    return swarm


@pytest.fixture(scope="module")
def history(swarm: Swarm) -> dict[str, Any]:
    return export(swarm.chain, swarm.contract)


def resigned(history: dict[str, Any], fields: dict[str, Any], at: int = 1) -> dict[str, Any]:
    """The same history, but for the type of one member's transaction."""
    entry = history["transactions"][at]
    again = signed(number_of(entry["from"]), entry, fields)
    other = {
        "raw": "0x" + again.raw_transaction.hex(),
        "hash": "0x" + again.hash.hex(),
    }
    entries = history["transactions"]
    return {**history, "transactions": [*entries[:at], entry | other, *entries[at + 1 :]]}


@pytest.mark.parametrize("name", TYPES)
def test_a_history_holds_transactions_of_any_type(history: dict[str, Any], name: str) -> None:
    assert replay(resigned(history, TYPES[name])) == replay(history)


def test_a_transaction_for_another_chain_is_none_of_this(history: dict[str, Any]) -> None:
    for name in ("type 0", "type 1", "type 2"):
        with pytest.raises(EvidenceError, match="signed for chain 78"):
            replay(resigned(history, TYPES[name] | {"chainId": 78}))


@pytest.mark.parametrize("name", TYPES)
def test_a_nodes_answer_of_any_type_is_rebuilt(history: dict[str, Any], name: str) -> None:
    entry = history["transactions"][1]
    again = signed(0, entry, TYPES[name])
    fields = TYPES[name]
    told = {
        "hash": "0x" + again.hash.hex(),
        "type": hex(fields.get("type", 0)),
        "chainId": "0x4d",
        "nonce": hex(entry["nonce"]),
        "gas": hex(10**6),
        "gasPrice": "0x0",
        "maxFeePerGas": "0x0",
        "maxPriorityFeePerGas": "0x0",
        "to": entry["to"],
        "value": "0x0",
        "input": entry["input"],
        "accessList": [],
        "v": hex(again.v),
        "r": hex(again.r),
        "s": hex(again.s),
    }
    found = from_rpc(told, 77)
    assert (found.raw, found.sender) == (bytes(again.raw_transaction), key_of(0).address)
    with pytest.raises(WireError, match="does not hash"):
        from_rpc(told | {"gas": "0x1"}, 77)
    with pytest.raises(WireError):
        from_rpc(told | {"type": "0x4"}, 77)


@given(st.sampled_from(sorted(TYPES)), st.integers(0, 10**4), st.integers(1, 255))
def test_no_changed_byte_keeps_hash_and_sender(name: str, at: int, flip: int) -> None:
    entry = {"nonce": 3, "to": key_of(5).address, "input": "0x" + "ab" * 40}
    raw = bytearray(signed(1, entry, TYPES[name]).raw_transaction)
    before = parse(bytes(raw), 77)
    assert before.sender == key_of(1).address
    raw[at % len(raw)] ^= flip
    try:
        after = parse(bytes(raw), 77)
    except WireError:
        return
    assert after.hash != before.hash
    assert after.sender != before.sender


def test_a_transaction_larger_than_nodes_pass_on_is_read() -> None:
    entry = {"nonce": 0, "to": key_of(5).address, "input": "0x" + "00" * transactions.MAX_BYTES}
    raw = bytes(signed(1, entry, TYPES["type 2"]).raw_transaction)
    with pytest.raises(WireError):
        transactions.parse(raw)
    assert parse(raw, 77).sender == key_of(1).address
