"""Calldata is read as the EVM reads it, so that no member can make a run's evidence unreadable."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from chain_support import FOREVER, Swarm, digest, frozen_chain, key_of, undone
from hypothesis import Phase as Stage
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import EvidenceError, NotAMember, TransactionRefused, WireError
from flwr_swarm.chain.calldata import decode_call
from flwr_swarm.chain.codec import encode_call
from flwr_swarm.chain.history import export
from flwr_swarm.chain.jsonrpc import RpcError
from flwr_swarm.chain.replay import replay
from flwr_swarm.chain.replica import apply
from flwr_swarm.chain.state import State
from flwr_swarm.chain.translate import call_data, call_from
from flwr_swarm.protocol.ledger import CarryCall, LedgerCall, ProposeCall, VoteCall
from flwr_swarm.protocol.types import Kind, Phase

WORD = 32


def send(swarm: Swarm, key: int, data: bytes, gas: int = 3_000_000) -> dict[str, Any]:
    account = key_of(key)
    transaction = {
        "type": 2,
        "chainId": swarm.chain.chain_id,
        "nonce": int(swarm.chain.request("eth_getTransactionCount", [account.address]), 16),
        "to": swarm.contract,
        "value": 0,
        "gas": gas,
        "maxFeePerGas": 0,
        "maxPriorityFeePerGas": 0,
        "data": "0x" + data.hex(),
    }
    raw = account.sign_transaction(transaction).raw_transaction
    sent = swarm.chain.request("eth_sendRawTransaction", ["0x" + raw.hex()])
    receipt: dict[str, Any] = swarm.chain.request("eth_getTransactionReceipt", [sent])
    return receipt


def verified(swarm: Swarm) -> State:
    """The history replays, and ends where the chain does."""
    proved = replay(export(swarm.chain, swarm.contract))
    assert replace(proved.view, now=0) == replace(swarm.view, now=0)
    return proved.state


def word(value: int) -> bytes:
    return (value % 2**256).to_bytes(WORD, "big")


def padded(content: bytes, junk: bytes = b"\x00") -> bytes:
    return content + junk * (-len(content) % WORD)


# --- many encodings of one call --------------------------------------------------------------


def odd_certificates(data: bytes, signatures: tuple[bytes, ...]) -> dict[str, bytes]:
    """Other encodings of one call of `certify`."""
    selector, head = data[:4], data[4 : 4 + 5 * WORD]
    count = len(signatures)
    items = [word(65) + padded(s) for s in signatures]
    size = len(items[0])
    usual = data[4 + 6 * WORD :]
    backwards = b"".join(word(WORD * count + size * (count - 1 - i)) for i in range(count))
    below = b"".join(word(-WORD - size * (count - i)) for i in range(count))
    dirty = [word(65) + padded(s, b"\xee") for s in signatures]
    start = b"".join(word(WORD * count + size * i) for i in range(count))
    return {
        "bytes after the end": data + b"\x01\x02\x03",
        "a gap before the signatures": selector + head + word(6 * WORD + 96) + b"\xaa" * 96 + usual,
        "signatures in another order": selector
        + head
        + word(6 * WORD)
        + word(count)
        + backwards
        + b"".join(reversed(items)),
        "signatures before their list, by negative offsets": selector
        + head
        + word(6 * WORD + size * count)
        + b"".join(items)
        + word(count)
        + below,
        "dirt after each signature": selector
        + head
        + word(6 * WORD)
        + word(count)
        + start
        + b"".join(dirty),
        "no padding at the end": data[: len(data) - (-65 % WORD)],
    }


@pytest.fixture(scope="module")
def drawn() -> Swarm:
    swarm = Swarm(frozen_chain(), 4, relaying=True, epsilon_cap=100)
    swarm.seal_all(1)
    return swarm


@pytest.fixture(scope="module")
def state(drawn: Swarm) -> State:
    return verified(drawn)


@pytest.fixture(scope="module")
def calls(drawn: Swarm) -> list[LedgerCall]:
    return some_calls(drawn)


NAMES = list(odd_certificates(bytes(500), (bytes(65),) * 2))


@pytest.mark.parametrize("name", NAMES)
def test_a_certificate_in_an_odd_encoding_is_evidence_like_any_other(
    drawn: Swarm, name: str
) -> None:
    call = drawn.certify_call(drawn.certificate(), drawn.officers())
    data = odd_certificates(call_data(call), tuple(s for _, s in call.signatures))[name]
    assert data != call_data(call)
    with undone(drawn.chain):
        assert send(drawn, 1, data)["status"] == "0x1", "the EVM reads it"
        state = verified(drawn)
        assert state.current.round.phase is Phase.CERTIFIED
        assert state.current.round.certificate == call.certificate


def test_an_accusation_in_an_odd_encoding_is_evidence_too(drawn: Swarm) -> None:
    call = drawn.accusation(2, 2, 1)
    data = call_data(call)
    head, first, second = (
        data[: 4 + 3 * WORD],
        data[4 + 3 * WORD :][:288],
        data[4 + 3 * WORD + 288 :],
    )
    assert len(first) == len(second) == 288
    swapped = head[: 4 + WORD] + word(3 * WORD + 288 + 64) + word(3 * WORD) + second + b"\x77" * 64
    with undone(drawn.chain):
        assert send(drawn, 0, swapped + first + b"\x00")["status"] == "0x1"
        assert verified(drawn).members[2].faults == 1


def test_a_proposal_in_an_odd_encoding_is_evidence_too(drawn: Swarm) -> None:
    call = drawn.admit_call(10)
    data = call_data(call)
    odd = data[:4] + word(2 * WORD + 32) + word(int.from_bytes(data[36:68]) + 32) + bytes(32)
    with undone(drawn.chain):
        assert send(drawn, 0, odd + data[68:])["status"] == "0x1"
        state = verified(drawn)
        assert state.proposals[0].change == call.change
        assert drawn.reader.proposal(1) == state.proposals[0]


def test_a_card_where_none_belongs_and_a_name_that_is_no_text_are_evidence_too(
    drawn: Swarm,
) -> None:
    raw = b"https://\xff\xfe.example".decode("utf-8", "surrogateescape")
    junk = replace(drawn.change(Kind.POLICY, relaying=False), card=drawn.card(7, endpoint=raw))
    with undone(drawn.chain):
        drawn.certify()
        drawn.ledgers[3].submit(ProposeCall(change=junk, consent=b"junk"))
        drawn.enact(drawn.admit_call(10, card={"endpoint": raw}))
        state = verified(drawn)
        assert drawn.reader.endpoints()[4] == state.endpoints[4] == raw
        assert [drawn.reader.proposal(i) for i in (1, 2)] == list(state.proposals)


def test_a_seal_that_ran_out_of_gas_is_told_and_replays(drawn: Swarm) -> None:
    """Whoever carries seals decides on their gas; whatever comes of it can be verified."""
    with undone(drawn.chain):
        drawn.certify()
        calls = [(i, drawn.seal_call(i, 2)) for i in range(4)]
        data = call_data(drawn.carry_call(*calls))
        whole = int(send_undone(drawn, data, 3_000_000)["gasUsed"], 16)
        for percent in (99, 95, 90, 85, 80, 60, 40):
            with undone(drawn.chain):
                receipt = send(drawn, 0, data, whole * percent // 100)
                if receipt["status"] == "0x1":
                    verified(drawn)


def send_undone(swarm: Swarm, data: bytes, gas: int) -> dict[str, Any]:
    with undone(swarm.chain):
        return send(swarm, 0, data, gas)


def test_only_a_nameless_reason_excuses_a_seal_that_the_rules_accept(drawn: Swarm) -> None:
    with undone(drawn.chain):
        drawn.certify()
        stale = drawn.seal_call(0, 2, reveal=digest("guess"))
        call = drawn.carry_call((0, stale), (1, drawn.seal_call(1, 2)))
        drawn.ledgers[2].submit(call)
        history = export(drawn.chain, drawn.contract)
        replay(history)
        skipped = history["transactions"][-1]["events"]
        at = next(i for i, event in enumerate(skipped) if len(event["topics"]) == 1)
        for reason in ("deadbeef", "4e487b71"):  # a lie, and a panic: then it may be true
            data = skipped[at]["data"]
            skipped[at]["data"] = data[:66] + reason + data[74:]
            if reason == "deadbeef":
                with pytest.raises(EvidenceError, match="SealSkipped"):
                    replay(history)
            else:
                replay(history)


def test_a_transaction_that_reads_is_part_of_no_history_and_harms_none(drawn: Swarm) -> None:
    with undone(drawn.chain):
        for data in (encode_call("enactPending", {}), encode_call("look", {})):
            assert send(drawn, 60, data)["status"] == "0x1"
        assert send(drawn, 1, b"")["status"] == "0x0"  # nor does one that failed
        drawn.certify()
        history = export(drawn.chain, drawn.contract)
        assert {
            decode_call(bytes.fromhex(e["input"][2:]))[0] for e in history["transactions"][1:]
        } == {
            "seal",
            "certify",
        }
        verified(drawn)


# --- the same verdict as the EVM on any bytes -------------------------------------------------


def some_calls(swarm: Swarm) -> list[LedgerCall]:
    call = swarm.certify_call(swarm.certificate(), swarm.officers())
    return [
        call,
        call,
        swarm.accusation(2, 2, 1),
        swarm.admit_call(10),
        ProposeCall(change=replace(swarm.change(Kind.SUSPEND, 1), expires=FOREVER)),
        VoteCall(proposal=1, support=True),
        swarm.carry_call((0, swarm.seal_call(0, 1)), (1, swarm.seal_call(1, 2))),
    ]


@settings(max_examples=100, phases=[Stage.generate])
@given(data=st.data())
def test_python_takes_the_bytes_that_the_evm_takes(
    drawn: Swarm, state: State, calls: list[LedgerCall], data: st.DataObject
) -> None:
    call = data.draw(st.sampled_from(calls))
    calldata = bytearray(call_data(call))
    for _ in range(data.draw(st.integers(0, 3))):
        at = 4 + WORD * data.draw(st.integers(0, (len(calldata) - 4) // WORD))
        old = int.from_bytes(calldata[at : at + WORD])
        value = data.draw(
            st.sampled_from([old + 32, old - 32, old + 1, 0, 1, 2, 255, 2**64, 2**64 - 1, 2**255])
            | st.integers(-400, 1200)
        )
        calldata[at : at + WORD] = word(value)
    end = data.draw(st.sampled_from([0, 0, 0, -1, -31, -32, -64, 5]))
    calldata = calldata[:end] if end < 0 else calldata + bytes(end)

    with undone(drawn.chain):
        taken = evm_takes(drawn, bytes(calldata))
        assert rules_take(state, bytes(calldata)) == taken
        if taken:
            assert send(drawn, 0, bytes(calldata))["status"] == "0x1"
            verified(drawn)


def evm_takes(swarm: Swarm, data: bytes) -> bool:
    call = {"from": key_of(0).address, "to": swarm.contract, "data": "0x" + data.hex()}
    try:
        swarm.chain.request("eth_call", [call])
    except RpcError:
        return False
    return True


def rules_take(state: State, data: bytes) -> bool:
    try:
        name, fields = decode_call(data)
        if name == "certify" and fields["signers"].bit_count() != len(fields["signatures"]):
            return False
        call = call_from(name, fields)
        if call is not None:
            apply(state, key_of(0).address, call, state.current.round.merge_deadline - 59)
    except (WireError, TransactionRefused, NotAMember):
        return False
    return True


@pytest.mark.parametrize("number", range(7))
def test_the_usual_encoding_decodes_to_the_call(drawn: Swarm, number: int) -> None:
    call = some_calls(drawn)[number]
    name, fields = decode_call(call_data(call))
    assert call_from(name, fields) == call
    assert encode_call(name, fields) == call_data(call)
    assert isinstance(call, CarryCall) == (name == "sealBatch")


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x12\x34\x56\x78", b"\xff" * 100])
def test_bytes_that_name_no_function_are_no_call(drawn: Swarm, data: bytes) -> None:
    assert not evm_takes(drawn, data)
    with pytest.raises(WireError, match="no function"):
        decode_call(data)
