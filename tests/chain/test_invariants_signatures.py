"""Nobody outside acts, and a signature is good for one chain, contract, round and purpose."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from attack_support import four, raw_refusal, reason, skipped, told
from chain_support import FOREVER, Swarm, digest, key_of

from flwr_swarm._exceptions import TransactionRefused
from flwr_swarm.chain import artifact
from flwr_swarm.chain.codec import encode_call
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.signing import sign_certificate, sign_consent, sign_enrolment, sign_seal
from flwr_swarm.chain.translate import change_fields, seal_fields
from flwr_swarm.protocol.ledger import ProposeCall
from flwr_swarm.protocol.types import Certificate, Kind


def changing_functions() -> list[str]:
    return sorted(
        entry["name"]
        for entry in artifact.load().abi
        if entry["type"] == "function" and entry["stateMutability"] not in {"view", "pure"}
    )


def arguments(swarm: Swarm) -> dict[str, dict[str, object]]:
    """Calls that a member could make, or nearly."""
    seal = swarm.seal_call(0, 1)
    signature = sign_seal(key_of(0), swarm.chain.chain_id, swarm.contract, seal)
    accusation = swarm.accusation(1, 1, 1)
    statements = [
        {"round": 1, "view_": 0, "included": 3, "aggregateHash": c.aggregate_hash, "signature": s}
        for c, s in (accusation.first, accusation.second)
    ]
    application = swarm.admit_call(50)
    return {
        "seal": {"call_": seal_fields(seal)},
        "sealSigned": {"call_": seal_fields(seal), "signature": signature},
        "sealBatch": {"calls": [seal_fields(seal)], "signatures": [signature]},
        "abstain": {"round": 1},
        "late": {"round": 1, "epsilon": 0},
        "close": {"round": 1},
        "advance": {"round": 1, "view_": 0},
        "certify": {
            "round": 1,
            "view_": 0,
            "included": 3,
            "aggregateHash": digest("sum"),
            "signers": 0,
            "signatures": [],
        },
        "propose": {
            "change": change_fields(application.change),
            "consent": application.consent,
        },
        "vote": {"id": 1, "support": True},
        "accuse": {"member": 1, "first": statements[0], "second": statements[1]},
        "enactPending": {},
    }


@pytest.mark.parametrize("name", changing_functions())
def test_nobody_outside_acts(chain: EmbeddedChain, name: str) -> None:
    """Neither a stranger, nor who has left, nor the account that a member had before."""
    swarm = four(chain)
    swarm.enact(swarm.change(Kind.REMOVE, 3))
    swarm.enact(swarm.rotate_call(2, 12))
    data = encode_call(name, arguments(swarm)[name])
    for key in (50, 3, 2):
        if name == "enactPending":  # for anyone, and to no effect
            call = {"from": key_of(key).address, "to": swarm.contract, "data": "0x" + data.hex()}
            assert chain.request("eth_call", [call]) == "0x"
        else:
            assert raw_refusal(swarm, key, data) == "NotAMember"


# --- one chain, one contract, one round, one purpose ------------------------------------------


def signatures(swarm: Swarm, key: int, chain_id: int, contract: str) -> dict[str, bytes]:
    """Everything that a member or an applicant ever signs, with the contents used below."""
    where = (chain_id, contract)
    card = swarm.card(key, encryption_key=digest("new key"))
    certificate = Certificate(round=1, view=0, included=(0, 1), aggregate_hash=digest("one"))
    seal = replace(swarm.seal_call(0, 1), round=1)
    return {
        "certificate": sign_certificate(key_of(key), *where, certificate),
        "certificate of another round": sign_certificate(
            key_of(key), *where, replace(certificate, round=2)
        ),
        "seal": sign_seal(key_of(key), *where, seal),
        "seal of another round": sign_seal(key_of(key), *where, replace(seal, round=2)),
        "consent": sign_consent(key_of(key), *where, seat=None, card=card, expires=FOREVER),
        "consent to another seat": sign_consent(
            key_of(key), *where, seat=1, card=card, expires=FOREVER
        ),
        "enrolment": sign_enrolment(
            key_of(key), run_id=1, node_id=1, encryption_key=digest("k"), seed=digest("s")
        ),
    }


def accepted_uses(swarm: Swarm, key: int, signature: bytes) -> set[str]:
    """For which purposes the contract takes `signature` of key `key`."""
    found = set()
    seal = swarm.seal_call(0, 1)
    carry = replace(swarm.carry_call((0, seal)), signatures=(signature,))
    height = swarm.chain.snapshot()
    if reason("BadSeal") not in skipped(told(swarm, 1, carry)).values():
        found.add("seal")
    swarm.chain.revert(height)
    card = swarm.card(key, encryption_key=digest("new key"))
    change = replace(swarm.change(Kind.ADMIT), card=card)
    propose = ProposeCall(change=change, consent=signature)
    if not takes(swarm, propose, "BadConsent"):
        found.add("consent")
    honest = swarm.accusation(key, 1, 1)
    statement = replace(honest.first[0], included=(0, 1), aggregate_hash=digest("one"))
    other = (replace(statement, aggregate_hash=digest("other")), b"")
    other = (other[0], swarm.signature(key, other[0]))
    accuse = replace(honest, member=0, first=(statement, signature), second=other)
    if not takes(swarm, accuse, "BadSignature"):
        found.add("certificate")
    return found


def takes(swarm: Swarm, call: object, name: str) -> bool:
    """Whether the contract refuses `call` by `name`."""
    mark = swarm.chain.snapshot()
    try:
        swarm.ledgers[1].submit(call)  # type: ignore[arg-type]
    except TransactionRefused as error:
        return error.reason == name
    finally:
        swarm.chain.revert(mark)
    return False


@pytest.mark.parametrize("key", [0, 10], ids=["a member's", "an applicant's"])
def test_a_signature_is_good_for_one_purpose(chain: EmbeddedChain, key: int) -> None:
    swarm = four(chain)
    here = (chain.chain_id, swarm.contract)
    elsewhere = [(chain.chain_id + 1, swarm.contract), (chain.chain_id, key_of(9).address)]
    for purpose, signature in signatures(swarm, key, *here).items():
        wanted = {purpose} & {"seal", "consent", "certificate"}
        if key == 0:
            wanted -= {"consent"}  # refused before: the account has a seat
            used = accepted_uses(swarm, key, signature) - {"consent"}
        else:
            wanted &= {"consent"}
            used = accepted_uses(swarm, key, signature)
        assert used == wanted, purpose
    for where, purpose in itertools.product(elsewhere, ("certificate", "seal", "consent")):
        used = accepted_uses(swarm, key, signatures(swarm, key, *where)[purpose])
        assert used - ({"consent"} if key == 0 else set()) == set(), (where, purpose)
