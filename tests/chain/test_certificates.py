"""A certificate holds for one chain, contract, round and view, and only with its quorum."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from chain_support import Swarm, digest, frozen_chain, key_of, refused
from hypothesis import given
from hypothesis import strategies as st

from flwr_swarm._exceptions import WireError
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.signing import (
    certificate_digest,
    enrolment_digest,
    recover_certifier,
    recover_enrolment,
    recover_signer,
    sign_certificate,
    sign_enrolment,
)
from flwr_swarm.protocol.election import quorum
from flwr_swarm.protocol.ledger import CertifyCall
from flwr_swarm.protocol.types import Certificate

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
CONTRACT = "0x" + "ab" * 20


def other_form(signature: bytes) -> bytes:
    """The same signature as (r, n - s) with v flipped: valid mathematics, refused everywhere."""
    s = ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


@pytest.fixture
def drawn(chain: EmbeddedChain) -> tuple[Swarm, CertifyCall]:
    swarm = Swarm(chain, 5, max_committee=4)
    view = swarm.seal_all(1)
    return swarm, swarm.certify_call(swarm.certificate(view), swarm.officers(view))


def test_exactly_a_quorum_with_the_leader_is_enough(drawn: tuple[Swarm, CertifyCall]) -> None:
    swarm, call = drawn
    current = swarm.view.current
    assert quorum(len(current.committee)) == 3
    inside = [i for i in current.committee if i != current.leader]
    enough = inside[: 2 if current.leader in current.committee else 3]
    signed = {*enough, current.leader}
    too_few = replace(
        call, signatures=tuple(s for s in call.signatures if s[0] in signed - {enough[0]})
    )
    refused("BelowQuorum", swarm.ledgers[0], too_few)
    just = replace(call, signatures=tuple(s for s in call.signatures if s[0] in signed))
    swarm.ledgers[0].submit(just)
    assert swarm.view.current.certificate == call.certificate


@pytest.mark.parametrize("size", range(1, 8))
def test_one_signature_below_the_quorum_is_refused(chain: EmbeddedChain, size: int) -> None:
    swarm = Swarm(chain, size)
    view = swarm.seal_all(1)
    assert len(view.current.committee) == size
    order = sorted(range(size), key=lambda i: i != view.current.leader)
    need = size - (size - 1) // 3
    if need > 1:
        too_few = swarm.certify_call(swarm.certificate(view), order[: need - 1])
        refused("BelowQuorum", swarm.ledgers[0], too_few)
    swarm.ledgers[0].submit(swarm.certify_call(swarm.certificate(view), order[:need]))


def test_a_leader_outside_the_committee_adds_nothing_to_its_quorum(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 3, max_committee=1)
    for number in range(1, 9):
        current = swarm.seal_all(number).current
        if current.leader not in current.committee:
            break
        swarm.certify()
    assert current.leader not in current.committee
    alone = swarm.certify_call(swarm.certificate(), [current.leader])
    refused("BelowQuorum", swarm.ledgers[0], alone)
    swarm.certify()


def test_any_member_may_carry_a_certificate(drawn: tuple[Swarm, CertifyCall]) -> None:
    swarm, call = drawn
    idle = next(i for i in range(5) if i != swarm.view.current.leader)
    swarm.ledgers[idle].submit(call)
    assert swarm.view.current.certificate is not None


def test_a_second_certificate_is_never_taken(drawn: tuple[Swarm, CertifyCall]) -> None:
    swarm, call = drawn
    swarm.ledgers[0].submit(call)
    other = swarm.certificate(aggregate_hash=digest("other sum"), included=(0, 1, 2))
    refused("AlreadyCertified", swarm.ledgers[0], swarm.certify_call(other, swarm.officers()))
    swarm.seal(0, 2)  # not even once the next round has begun
    refused("AlreadyCertified", swarm.ledgers[0], call)


@pytest.mark.parametrize(
    "change",
    [
        {"round": 2},
        {"view": 1},
        {"included": (0, 1, 2, 3)},
        {"aggregate_hash": digest("other sum")},
    ],
)
def test_signatures_of_another_statement_are_refused(
    drawn: tuple[Swarm, CertifyCall], change: dict[str, object]
) -> None:
    swarm, call = drawn
    signed = swarm.certify_call(replace(call.certificate, **change), swarm.officers())
    refused("BadSignature", swarm.ledgers[0], replace(signed, certificate=call.certificate))


def test_signatures_for_another_contract_or_chain_are_refused(
    drawn: tuple[Swarm, CertifyCall],
) -> None:
    swarm, call = drawn
    for chain_id, contract in ((swarm.chain.chain_id + 1, swarm.contract), (77, CONTRACT)):
        foreign = tuple(
            (i, sign_certificate(swarm.keys[i], chain_id, contract, call.certificate))
            for i, _ in call.signatures
        )
        refused("BadSignature", swarm.ledgers[0], replace(call, signatures=foreign))


def test_signatures_of_a_view_that_has_passed_are_refused(
    drawn: tuple[Swarm, CertifyCall],
) -> None:
    swarm, call = drawn
    swarm.chain.advance_clock(61)
    swarm.advance(1, 0)
    refused("WrongView", swarm.ledgers[0], call)
    moved = replace(call, certificate=replace(call.certificate, view=1))
    with pytest.raises(Exception, match=r"BadSignature|LeaderNotSigned"):
        swarm.ledgers[0].submit(moved)


@pytest.mark.parametrize("how", ["other form", "v=0", "v=29", "short", "long", "empty", "zeros"])
def test_a_signature_has_one_form(drawn: tuple[Swarm, CertifyCall], how: str) -> None:
    swarm, call = drawn
    (first, good), *rest = call.signatures
    bad = {
        "other form": other_form(good),
        "v=0": good[:64] + bytes([good[64] - 27]),
        "v=29": good[:64] + b"\x1d",
        "short": good[:64],
        "long": good + b"\x00",
        "empty": b"",
        "zeros": bytes(65),
    }[how]
    refused("BadSignature", swarm.ledgers[0], replace(call, signatures=((first, bad), *rest)))
    with pytest.raises(WireError):
        recover_certifier(swarm.chain.chain_id, swarm.contract, call.certificate, bad)


def test_one_member_cannot_sign_for_two(drawn: tuple[Swarm, CertifyCall]) -> None:
    swarm, call = drawn
    (first, signature), (second, _), *rest = call.signatures
    twice = ((first, signature), (second, signature), *rest)
    refused("BadSignature", swarm.ledgers[0], replace(call, signatures=twice))


def test_signatures_out_of_order_are_refused(drawn: tuple[Swarm, CertifyCall]) -> None:
    swarm, call = drawn
    refused(
        "BadSignature", swarm.ledgers[0], replace(call, signatures=tuple(reversed(call.signatures)))
    )


certificates = st.builds(
    Certificate,
    round=st.integers(1, 2**64 - 1),
    view=st.integers(0, 7),
    included=st.sets(st.integers(0, 63)).map(lambda s: tuple(sorted(s))),
    aggregate_hash=st.binary(min_size=32, max_size=32),
)


@given(certificates, certificates, st.integers(1, 2**53), st.integers(1, 2**53))
def test_digests_of_different_statements_differ(
    one: Certificate, two: Certificate, chain_a: int, chain_b: int
) -> None:
    same = (chain_a, one) == (chain_b, two)
    digests = certificate_digest(chain_a, CONTRACT, one), certificate_digest(chain_b, CONTRACT, two)
    assert (digests[0] == digests[1]) == same


@given(certificates, st.integers(0, 64), st.integers(1, 255))
def test_no_changed_byte_keeps_the_signer(certificate: Certificate, at: int, flip: int) -> None:
    key = key_of(1)
    signature = sign_certificate(key, 77, CONTRACT, certificate)
    assert recover_certifier(77, CONTRACT, certificate, signature) == key.address
    changed = bytearray(signature)
    changed[at] ^= flip
    with suppress(WireError):
        assert recover_certifier(77, CONTRACT, certificate, bytes(changed)) != key.address


def test_an_enrolment_binds_run_node_account_key_and_seed() -> None:
    key = key_of(1)
    fields = {"run_id": 2**64 - 1, "node_id": 7, "encryption_key": digest("k"), "seed": digest("s")}
    signature = sign_enrolment(key, **fields)
    whole = {**fields, "account": key.address}
    assert recover_enrolment(signature, **whole) == key.address
    changes = {
        "run_id": 1,
        "node_id": 8,
        "encryption_key": digest("x"),
        "seed": digest("x"),
        "account": key_of(2).address,
    }
    for name, value in changes.items():
        assert recover_enrolment(signature, **{**whole, name: value}) != key.address
    certificate = Certificate(round=1, view=0, included=(0,), aggregate_hash=digest("h"))
    assert recover_signer(certificate_digest(77, CONTRACT, certificate), signature) != key.address
    assert enrolment_digest(**whole) != enrolment_digest(**{**whole, "node_id": 8})


def test_no_secret_shows_in_a_repr() -> None:
    swarm = Swarm(frozen_chain(), 1)
    secret = bytes(swarm.keys[0].key).hex()
    assert secret not in repr(swarm.ledgers[0])
    assert swarm.secret(0, 0).hex() not in repr(swarm.seal_call(0, 1))
