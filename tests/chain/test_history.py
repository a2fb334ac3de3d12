"""A chain's history proves a run: it replays offline, and no part of it can be changed."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from chain_support import Swarm, digest, frozen_chain, key_of
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import EvidenceError, WireError
from flwr_swarm.chain import artifact, transactions
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.history import decode, export
from flwr_swarm.chain.replay import Replay, replay
from flwr_swarm.chain.server import ChainServer
from flwr_swarm.chain.translate import call_data
from flwr_swarm.protocol.types import Phase

FREE = frozenset({"timestamp", "block_number", "index"})
"""No signature covers these; they are the chain's word."""


@pytest.fixture(scope="module")
def swarm() -> Swarm:
    """Two certified rounds, one by its second leader; a void one; one that is sealing."""
    swarm = Swarm(frozen_chain(), 4, witnesses=1, epsilon_cap=10**9)
    swarm.abstain(3, 1)
    swarm.seal_all(1, 0, 1, 2, epsilon=5)
    swarm.chain.advance_clock(61)
    swarm.advance(1, 0, i=3)
    witness = swarm.certify().current.committee[0]
    swarm.seal(witness, 2, verified=True)
    swarm.seal((witness + 1) % 4, 2, epsilon=7)
    swarm.chain.advance_clock(601)
    swarm.close(2)
    swarm.certify()
    swarm.seal(1, 3, epsilon=9)
    swarm.chain.advance_clock(601)
    swarm.close(3, i=2)
    swarm.seal(2, 4, epsilon=9)
    return swarm


@pytest.fixture(scope="module")
def history(swarm: Swarm) -> dict[str, Any]:
    return export(swarm.chain, swarm.contract)


def test_a_replay_ends_where_the_chain_does(swarm: Swarm, history: dict[str, Any]) -> None:
    proved = replay(json.loads(json.dumps(history)))
    assert replace(proved.view, now=0) == replace(swarm.view, now=0)
    assert proved.transactions == len(history["transactions"]) == 14
    phases = [record.round.phase for record in proved.rounds]
    assert phases == [Phase.CERTIFIED, Phase.CERTIFIED, Phase.VOID, Phase.SEALING]


def test_a_replay_tells_who_did_what(swarm: Swarm, history: dict[str, Any]) -> None:
    first, second, third, _ = replay(history).rounds
    assert first.failed_leaders == first.round.succession[:1]
    assert set(first.signers) == {first.round.leader, *first.round.committee}
    assert dict(first.reveals) == {i: swarm.secret(i, 0) for i in (0, 1, 2)}
    assert second.missed == tuple(sorted(set(range(4)) - {m for m, _ in second.reveals}))
    assert (third.void_reason, third.missed) == ("too few seals", (0, 2, 3))


def test_a_history_read_over_http_is_the_same(swarm: Swarm, history: dict[str, Any]) -> None:
    with ChainServer(swarm.chain) as server:
        assert export(server.url, swarm.contract) == history


def test_calls_decode_by_name(history: dict[str, Any]) -> None:
    named = [decode(entry) for entry in history["transactions"]]
    assert [name for name, _ in named][:6] == [
        "deploy",
        "abstain",
        "seal",
        "seal",
        "seal",
        "advance",
    ]
    assert named[2][1]["call_"]["epsilon"] == 5
    with pytest.raises(EvidenceError, match="no call of the contract"):
        decode({**history["transactions"][1], "input": "0x00112233"})


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [leaf for key in value for leaf in leaves(value[key], (*path, key))]
    if isinstance(value, list):
        return [leaf for i in range(len(value)) for leaf in leaves(value[i], (*path, i))]
    return [path]


def changed(history: dict[str, Any], path: tuple[Any, ...], change: Any) -> dict[str, Any]:
    copied = copy.deepcopy(history)
    place = copied
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = change(place[path[-1]])
    return copied


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_no_changed_digit_is_accepted(history: dict[str, Any], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([p for p in leaves(history) if p[-1] not in FREE]))

    def change(value: Any) -> Any:
        if not isinstance(value, str):
            other = data.draw(st.integers(0, 2**64) | st.none() | st.booleans() | st.text())
            return "x" if type(other) is type(value) and other == value else other
        at = data.draw(st.integers(0, len(value) - 1)) if value else 0
        other = data.draw(st.sampled_from("0123456789abcdefABCDEF xX"))
        return value[:at] + other + value[at + 1 :]

    forged = changed(history, path, change)
    if forged != history:
        with pytest.raises(EvidenceError):
            replay(forged)


def test_every_byte_of_a_signature_and_of_a_call_counts(history: dict[str, Any]) -> None:
    at = next(i for i, e in enumerate(history["transactions"]) if decode(e)[0] == "certify")
    raw = bytes.fromhex(history["transactions"][at]["raw"][2:])
    for position in (*range(0, len(raw) - 70, 9), *range(len(raw) - 70, len(raw))):
        flipped = raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]
        with pytest.raises(EvidenceError):
            replay(with_transaction(history, at, flipped))


def with_transaction(history: dict[str, Any], at: int, raw: bytes) -> dict[str, Any]:
    """Put other signed bytes at one place, and everything that follows from them alone."""
    entry: dict[str, Any] = {"raw": "0x" + raw.hex()}
    try:
        parsed = transactions.parse(raw)
        entry |= {
            "hash": "0x" + parsed.hash.hex(),
            "from": parsed.sender,
            "to": parsed.to,
            "nonce": parsed.nonce,
            "input": "0x" + parsed.data.hex(),
        }
    except WireError:
        pass
    return changed(history, ("transactions", at), lambda old: {**old, **entry})


def test_no_transaction_but_the_last_can_be_left_out(history: dict[str, Any]) -> None:
    for at in range(len(history["transactions"]) - 1):
        shorter = changed(
            history, ("transactions",), lambda all_, at=at: all_[:at] + all_[at + 1 :]
        )
        with pytest.raises(EvidenceError):
            replay(shorter)


def test_no_transaction_can_come_twice_or_out_of_order(history: dict[str, Any]) -> None:
    for at in range(1, len(history["transactions"])):
        swapped = copy.deepcopy(history)
        entries = swapped["transactions"]
        entries[at - 1], entries[at] = entries[at], entries[at - 1]
        with pytest.raises(EvidenceError):
            replay(swapped)
        later = {k: entries[-1][k] + 1 for k in ("block_number", "timestamp")}
        again = copy.deepcopy(history)
        again["transactions"].append({**again["transactions"][at], **later})
        with pytest.raises(EvidenceError):
            replay(again)


def signed_by(swarm: Swarm, i: int, data: bytes, nonce: int) -> bytes:
    fields = {
        "type": 2,
        "chainId": swarm.chain.chain_id,
        "nonce": nonce,
        "to": swarm.contract,
        "value": 0,
        "gas": 10**6,
        "maxFeePerGas": 0,
        "maxPriorityFeePerGas": 0,
        "data": "0x" + data.hex(),
    }
    return bytes(key_of(i).sign_transaction(fields).raw_transaction)


def test_a_member_cannot_forge_a_certificate_in_the_evidence(
    swarm: Swarm, history: dict[str, Any]
) -> None:
    at, old = next(
        (i, e) for i, e in enumerate(history["transactions"]) if decode(e)[0] == "certify"
    )
    sender = next(i for i in range(4) if key_of(i).address == old["from"])
    current = replay(history).rounds[0].round
    certificate = replace(current.certificate, aggregate_hash=digest("wrong sum"))
    alone = swarm.certify_call(certificate, [current.leader])
    mine = swarm.signature(current.leader, certificate)
    officers = sorted({current.leader, *current.committee})
    stolen = replace(alone, signatures=tuple((i, mine) for i in officers))
    for call, why in ((alone, "BelowQuorum"), (stolen, "BadSignature")):
        raw = signed_by(swarm, sender, call_data(call), old["nonce"])
        with pytest.raises(EvidenceError, match=why):
            replay(with_transaction(history, at, raw))


def test_an_outsider_cannot_speak_in_the_evidence(swarm: Swarm, history: dict[str, Any]) -> None:
    at, old = next((i, e) for i, e in enumerate(history["transactions"]) if decode(e)[0] == "seal")
    raw = signed_by(swarm, 50, bytes.fromhex(old["input"][2:]), 0)
    with pytest.raises(EvidenceError, match="not a member"):
        replay(with_transaction(history, at, raw))


def test_a_recorded_draw_that_differs_is_refused(history: dict[str, Any]) -> None:
    topic = "0x" + event_topic("Drawn").hex()
    at, drawn = next(
        (i, k)
        for i, entry in enumerate(history["transactions"])
        for k, event in enumerate(entry["events"])
        if event["topics"][0] == topic
    )
    path = ("transactions", at, "events", drawn, "data")
    forged = changed(history, path, lambda text: "0x" + digest("x").hex() + text[66:])
    with pytest.raises(EvidenceError, match=r"Drawn differs .*beacon"):
        replay(forged)


def event_topic(name: str) -> bytes:
    entry = next(e for e in artifact.load().abi if e["type"] == "event" and e["name"] == name)
    return keccak(text=f"{name}({','.join(c['type'] for c in entry['inputs'])})")


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {},
        {"version": 1},
        {"version": 2, "chain_id": 1, "contract": "0x", "transactions": [{}]},
        {"version": 1, "chain_id": 1, "contract": "0x", "transactions": []},
        {"version": 1, "chain_id": 1, "contract": "0x", "transactions": [None]},
        {"version": 1, "chain_id": 1, "contract": "0x", "transactions": [{}]},
    ],
)
def test_what_is_no_history_is_refused(wrong: Any) -> None:
    with pytest.raises(EvidenceError):
        replay(wrong)


def test_an_address_without_history_is_an_error() -> None:
    chain = frozen_chain()
    chain.fund(key_of(0).address)
    with pytest.raises(EvidenceError, match="tells nothing about"):
        export(chain, key_of(0).address)


def test_a_node_that_lies_about_a_transaction_is_caught(swarm: Swarm) -> None:
    class Lying:
        def request(self, method: str, params: list[Any], *, timeout: float) -> Any:
            answer = swarm.chain.request(method, params)
            if method == "eth_getTransactionByHash":
                return {**answer, "nonce": hex(int(answer["nonce"], 16) + 1)}
            return answer

    with pytest.raises(EvidenceError, match="does not hash"):
        export(Lying(), swarm.contract)


def test_a_replay_of_the_same_history_is_the_same(history: dict[str, Any]) -> None:
    one, two = replay(history), replay(history)
    assert isinstance(one, Replay)
    assert one == two


def test_two_swarms_on_one_chain_have_histories_of_their_own(chain: EmbeddedChain) -> None:
    first, second = Swarm(chain, 1), Swarm(chain, 1)
    first.whole_round(1)
    second.seal(0, 1)
    assert [len(replay(export(chain, s.contract)).rounds[0].signers) for s in (first, second)] == [
        1,
        0,
    ]
    swapped = {**export(chain, first.contract), "contract": second.contract}
    with pytest.raises(EvidenceError, match="deploys"):
        replay(swapped)
