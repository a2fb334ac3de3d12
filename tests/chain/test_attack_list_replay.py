"""Attacks by replay, by copying what waits to be mined, by odd signatures, and by odd calls."""

from __future__ import annotations

from dataclasses import replace

import pytest
from attack_support import Table, drawn, four, raw_refusal, reason, repelled, skipped, told
from chain_support import Swarm, digest, key_of
from test_certificates import other_form

from flwr_swarm.chain import artifact
from flwr_swarm.chain.address import charter_address
from flwr_swarm.chain.codec import encode_call
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.signing import sign_certificate, sign_consent, sign_seal
from flwr_swarm.chain.translate import call_data
from flwr_swarm.protocol.ledger import AbstainCall, ProposeCall, VoteCall
from flwr_swarm.protocol.types import Kind, Phase

attack = Table()
ELSEWHERE = key_of(77).address


# --- signatures made for another chain or contract --------------------------------------------


@attack("a certificate's signatures come from another chain")
def _(swarm: Swarm):
    call = drawn(swarm)
    foreign = tuple(
        (i, sign_certificate(key_of(i), 1, swarm.contract, call.certificate))
        for i, _ in call.signatures
    )
    return 0, replace(call, signatures=foreign), "BadSignature"


@attack("a carried seal was signed for another swarm")
def _(swarm: Swarm):
    call = swarm.carry_call((1, swarm.seal_call(1, 1)))
    foreign = sign_seal(key_of(1), swarm.chain.chain_id, ELSEWHERE, call.seals[0])
    assert skipped(told(swarm, 0, replace(call, signatures=(foreign,)))) == {0: reason("BadSeal")}


@attack("an applicant consented to another swarm")
def _(swarm: Swarm):
    call = swarm.admit_call(10)
    foreign = sign_consent(
        key_of(10),
        swarm.chain.chain_id,
        ELSEWHERE,
        seat=None,
        card=call.change.card,
        expires=call.change.expires,
    )
    return 0, replace(call, consent=foreign), "BadConsent"


@attack("statements on another chain's round prove a fault here")
def _(swarm: Swarm):
    call = swarm.accusation(1, 1, 1)
    foreign = sign_certificate(key_of(1), 1, swarm.contract, call.second[0])
    return 0, replace(call, second=(call.second[0], foreign)), "BadSignature"


@attack("a seal names another swarm's commitment")
def _(swarm: Swarm):
    there = four(swarm.chain)
    return 0, there.seal_call(0, 1), "WrongReveal"


# --- copying what waits to be mined -----------------------------------------------------------


@attack("a copied seal is mined first: it binds its author")
def _(swarm: Swarm):
    call = swarm.seal_call(0, 1)
    for thief in (1, 2):
        with pytest.raises(Exception, match="WrongReveal"):
            swarm.ledgers[thief].submit(call)
    swarm.ledgers[0].submit(call)
    return 1, call, "WrongReveal"


@attack("a copied batch is mined first: the members' seals are in, whoever carried them")
def _(swarm: Swarm):
    call = swarm.carry_call(*((i, swarm.seal_call(i, 1)) for i in range(3)))
    swarm.ledgers[3].submit(call)
    before = swarm.view.current
    events = told(swarm, 0, call)
    assert skipped(events) == dict.fromkeys(range(3), reason("AlreadySealed"))
    assert swarm.view.current == before


@attack("a copied certificate is mined first: it is the same certificate")
def _(swarm: Swarm):
    call = drawn(swarm)
    swarm.ledgers[3].submit(call)
    assert swarm.view.current.certificate == call.certificate
    return 0, call, "AlreadyCertified"


@attack("a copied certificate is mined first with another sum in it")
def _(swarm: Swarm):
    call = drawn(swarm)
    changed = replace(call.certificate, aggregate_hash=digest("another sum"))
    return 3, replace(call, certificate=changed), "BadSignature"


@attack("a copied application is mined first: the applicant has one seat all the same")
def _(swarm: Swarm):
    call = swarm.admit_call(10)
    swarm.ledgers[3].submit(call)  # the copy
    swarm.ledgers[0].submit(call)
    for i in (1, 2):
        swarm.ledgers[i].submit(VoteCall(proposal=2, support=True))
    assert [m.account for m in swarm.view.seated].count(key_of(10).address) == 1
    return 1, VoteCall(proposal=1, support=True), "StaleProposal"


@attack("a copied vote is mined first: it is the copier's own")
def _(swarm: Swarm):
    swarm.ledgers[0].submit(ProposeCall(change=swarm.change(Kind.REMOVE, 3)))
    call = VoteCall(proposal=1, support=False)
    swarm.ledgers[3].submit(call)
    swarm.ledgers[1].submit(call)
    assert swarm.reader.proposal(1).opponents == (1, 3)


@attack("a copied accusation is mined first: the fault counts once")
def _(swarm: Swarm):
    call = swarm.accusation(1, 1, 1)
    swarm.ledgers[3].submit(call)
    assert swarm.view.members[1].faults == 1
    return 0, call, "AlreadyAccused"


# --- malformed and malleable signatures -------------------------------------------------------


def odd_forms(signature: bytes) -> list[bytes]:
    return [
        other_form(signature),
        signature[:64] + bytes([signature[64] - 27]),
        signature[:64],
        signature + b"\x00",
        bytes(65),
        b"",
    ]


@attack("an accusation counts one signature in two forms as two")
def _(swarm: Swarm):
    call = swarm.accusation(1, 1, 1)
    statement, signature = call.first
    return 0, replace(call, second=(statement, other_form(signature))), "NotEquivocation"


@attack("an accusation holds a signature in another form")
def _(swarm: Swarm):
    call = swarm.accusation(1, 1, 1)
    for odd in odd_forms(call.second[1]):
        with pytest.raises(Exception, match="BadSignature"):
            swarm.ledgers[0].submit(replace(call, second=(call.second[0], odd)))
    return 0, replace(call, second=(call.second[0], b"\x01")), "BadSignature"


@attack("a consent holds a signature in another form")
def _(swarm: Swarm):
    call = swarm.admit_call(10)
    for odd in odd_forms(call.consent):
        with pytest.raises(Exception, match="BadConsent"):
            swarm.ledgers[0].submit(replace(call, consent=odd))
    return 0, replace(call, consent=other_form(call.consent)), "BadConsent"


@attack("carried seals hold signatures in other forms")
def _(swarm: Swarm):
    call = swarm.carry_call((1, swarm.seal_call(1, 1)))
    odd = odd_forms(call.signatures[0])
    many = replace(call, seals=call.seals * len(odd), signatures=tuple(odd))
    assert set(skipped(told(swarm, 0, many)).values()) == {reason("BadSeal")}
    assert swarm.view.current.number == 0


# --- odd calls --------------------------------------------------------------------------------


def changing_calls(swarm: Swarm) -> list[bytes]:
    """One call of every kind that changes the contract."""
    drawn_call = swarm.certify_call(swarm.certificate(round=1), [])
    return [
        *(
            call_data(call)
            for call in (
                swarm.seal_call(0, 1),
                AbstainCall(round=1),
                drawn_call,
                swarm.carry_call((1, swarm.seal_call(1, 1))),
                swarm.admit_call(10),
                VoteCall(proposal=1, support=True),
                swarm.accusation(1, 1, 1),
            )
        ),
        encode_call("close", {"round": 1}),
        encode_call("late", {"round": 1, "epsilon": 0}),
        encode_call("advance", {"round": 1, "view_": 0}),
        b"\x12\x34\x56\x78",
        b"",
    ]


@attack("a member calls the charter itself, to act without the swarm's rules")
def _(swarm: Swarm):
    charter = charter_address(swarm.contract)
    for data in changing_calls(swarm):
        assert raw_refusal(swarm, 0, data, charter) in {"NotAMember", "Reverted"}
    call = {"from": key_of(0).address, "to": charter, "data": "0x"}
    enact = "0x" + encode_call("enactPending", {}).hex()
    assert swarm.chain.request("eth_call", [call | {"data": enact}]) == "0x"


@attack("a stranger enacts a change that waits for the round's end")
def _(swarm: Swarm):
    swarm.seal(0, 1)
    swarm.enact(swarm.change(Kind.POLICY, max_misses=3))
    before = swarm.view
    account = key_of(60)
    transaction = {
        "type": 2,
        "chainId": swarm.chain.chain_id,
        "nonce": 0,
        "to": swarm.contract,
        "value": 0,
        "gas": 10**6,
        "maxFeePerGas": 0,
        "maxPriorityFeePerGas": 0,
        "data": "0x" + encode_call("enactPending", {}).hex(),
    }
    raw = account.sign_transaction(transaction).raw_transaction
    swarm.chain.request("eth_sendRawTransaction", ["0x" + raw.hex()])
    assert replace(swarm.view, now=0) == replace(before, now=0)
    assert swarm.view.pending == 1
    assert swarm.view.current.phase is Phase.SEALING


@attack("somebody sends money along, to the swarm or to its charter")
def _(swarm: Swarm):
    payer = key_of(0).address
    swarm.chain.fund(payer)
    for to in (swarm.contract, charter_address(swarm.contract)):
        for data in (*changing_calls(swarm), encode_call("look", {})):
            assert raw_refusal(swarm, 0, data, to, value="0x1") == "Reverted"


@attack("a member sends garbage in place of a call")
def _(swarm: Swarm):
    for data in changing_calls(swarm)[:7]:
        for garbage in (data[:20], data[:4] + b"\xff" * (len(data) - 4), data[:3]):
            assert raw_refusal(swarm, 0, garbage)
    before = swarm.view
    assert before.current.number == 0


def test_the_contracts_take_no_money_and_call_nobody_else() -> None:
    """No function is payable, and the code holds neither a self-destruct nor a callcode."""
    for entry in artifact.load().abi:
        assert entry.get("stateMutability") != "payable"
    for code in (artifact.load().deployed, artifact.load().charter):
        assert not {0xFF, 0xF2}.intersection(operations(code))
    assert 0xF4 not in operations(artifact.load().charter)  # the charter delegates to nobody
    assert operations(artifact.load().charter).count(0xF1) == 0


def operations(code: bytes) -> list[int]:
    """Opcodes of the code, without what they push."""
    found, at = [], 0
    while at < len(code):
        found.append(code[at])
        at += 1 + (code[at] - 0x5F if 0x60 <= code[at] <= 0x7F else 0)
    return found


@pytest.fixture(scope="module")
def founded(module_chain: EmbeddedChain) -> Swarm:
    return four(module_chain)


@pytest.mark.parametrize("story", attack)
def test_attack(founded: Swarm, chain: EmbeddedChain, story: str) -> None:
    repelled(founded.again(), attack[story])
