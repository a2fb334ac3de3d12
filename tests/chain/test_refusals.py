"""Every named error of the contract, provoked on a real EVM; nothing changes when it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from chain_support import Swarm, digest, key_of, policy_of, refused
from eth_account import Account

from flwr_swarm._exceptions import NotAMember, TransactionRefused
from flwr_swarm.chain.deploy import deploy
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.founding import found
from flwr_swarm.chain.jsonrpc import RpcError
from flwr_swarm.chain.translate import call_data
from flwr_swarm.protocol.ledger import (
    AbstainCall,
    AdvanceCall,
    CertifyCall,
    CloseCall,
    LedgerCall,
)
from flwr_swarm.protocol.types import ZERO_ACCOUNT, ZERO_HASH, Card

FOUNDING = {
    "ThresholdOutOfRange": [{"threshold": 0}, {"threshold": 1}, {"threshold": 4}],
    "MinIncludedOutOfRange": [{"min_included": 0}, {"min_included": 4}],
    "WitnessesOutOfRange": [{"witnesses": 4}],
    "CommitteeOutOfRange": [{"max_committee": 0}, {"max_committee": 8}],
    "QuorumOutOfRange": [{"quorum": 8}],
    "CloseAtOutOfRange": [{"close_at": 1}, {"close_at": 65}],
    "FixedLeaderOutOfRange": [{"fixed_leader": 3}, {"fixed_leader": 64}],
    "SecondsOutOfRange": [{"seal_seconds": 0}, {"merge_seconds": 0}, {"vote_seconds": 0}],
    "ViewsOutOfRange": [{"max_views": 0}, {"max_views": 9}],
    "MemberCountOutOfRange": [{"min_members": 4}],
}


def three() -> list[Card]:
    return [
        Card(account=key_of(i).address, encryption_key=digest(i), commitment=digest(i))
        for i in range(3)
    ]


def wrong_members() -> dict[str, list[Card]]:
    cards = three()
    many = [
        replace(
            cards[0],
            account=Account.from_key(digest("many", i)).address,
            encryption_key=digest("many", i),
        )
        for i in range(65)
    ]
    return {
        "MemberCountOutOfRange": many,
        "ZeroAccount": [*cards[:2], replace(cards[2], account=ZERO_ACCOUNT)],
        "AccountUsed": [*cards[:2], replace(cards[2], account=cards[0].account)],
        "ZeroHash": [*cards[:2], replace(cards[2], commitment=ZERO_HASH)],
        "KeyUsed": [*cards[:2], replace(cards[2], encryption_key=cards[0].encryption_key)],
        "EndpointTooLong": [*cards[:2], replace(cards[2], endpoint="é" * 128 + "x")],
        "BudgetExceeded": [*cards[:2], replace(cards[2], epsilon=51)],
    }


def founding_refused(chain: EmbeddedChain, name: str, cards: list[Card], **policy: int) -> None:
    rules = policy_of(3, **{"epsilon_cap": 50, **policy})
    with pytest.raises(TransactionRefused) as by_chain:
        deploy(chain, cards=cards, policy=rules, key=key_of(900))
    with pytest.raises(TransactionRefused) as by_python:
        found(cards, rules, chain_id=chain.chain_id, contract=key_of(0).address)
    assert by_chain.value.reason == by_python.value.reason == name


@pytest.mark.parametrize(
    ("name", "policy"), [(name, policy) for name, many in FOUNDING.items() for policy in many]
)
def test_a_policy_out_of_range_founds_nothing(
    chain: EmbeddedChain, name: str, policy: dict[str, int]
) -> None:
    founding_refused(chain, name, three(), **policy)


@pytest.mark.parametrize("name", sorted(wrong_members()))
def test_wrong_members_found_nothing(chain: EmbeddedChain, name: str) -> None:
    founding_refused(chain, name, wrong_members()[name])


def test_a_swarm_has_a_member_and_a_key_each(chain: EmbeddedChain) -> None:
    founding_refused(chain, "MemberCountOutOfRange", [])
    keyless = [*three()[:2], replace(three()[2], encryption_key=ZERO_HASH)]
    founding_refused(chain, "ZeroHash", keyless)


def test_64_members_found_a_swarm(chain: EmbeddedChain) -> None:
    cards = wrong_members()["MemberCountOutOfRange"][:64]
    assert deploy(chain, cards=cards, policy=policy_of(64), key=key_of(900))


# --- refusals in the life of a round ---------------------------------------------------------

Case = Callable[[Swarm], tuple[int, LedgerCall]]


def sealing(swarm: Swarm) -> None:
    swarm.seal(0, 1, epsilon=50)


def merging(swarm: Swarm) -> CertifyCall:
    view = swarm.seal_all(1, 0, 1)
    return swarm.certify_call(swarm.certificate(view), swarm.officers(view))


def seal_of(i: int, number: int = 1, **changes: object) -> Case:
    def case(swarm: Swarm) -> tuple[int, LedgerCall]:
        sealing(swarm)
        return i, swarm.seal_call(i, number, **changes)

    return case


def certificate_with(**changes: object) -> Case:
    def case(swarm: Swarm) -> tuple[int, LedgerCall]:
        view = swarm.seal_all(1, 0, 1)
        return 0, swarm.certify_call(swarm.certificate(view, **changes), swarm.officers(view))

    return case


def after_abstaining(swarm: Swarm) -> tuple[int, LedgerCall]:
    swarm.abstain(1, 1)
    return 1, swarm.seal_call(1, 1)


def epsilon_falls(swarm: Swarm) -> tuple[int, LedgerCall]:
    swarm.whole_round(1, 0, 1, epsilon=9)
    return 0, swarm.seal_call(0, 2, epsilon=8)


def already_certified(swarm: Swarm) -> tuple[int, LedgerCall]:
    call = merging(swarm)
    swarm.ledgers[0].submit(call)
    return 1, call


def not_merging(swarm: Swarm) -> tuple[int, LedgerCall]:
    call = merging(swarm)
    for view in range(2):
        swarm.chain.advance_clock(200)
        swarm.advance(1, view)
    return 0, call


def sealed_after_the_draw(swarm: Swarm) -> tuple[int, LedgerCall]:
    merging(swarm)
    return 2, swarm.seal_call(2, 1)


def outsider(swarm: Swarm) -> tuple[int, LedgerCall]:
    sealing(swarm)
    swarm.ledgers[1] = swarm.ledger(key_of(99))
    return 1, swarm.seal_call(1, 1)


def without(keep: Callable[[Swarm, CertifyCall], list[int]]) -> Case:
    def case(swarm: Swarm) -> tuple[int, LedgerCall]:
        call = merging(swarm)
        kept = keep(swarm, call)
        return 0, replace(call, signatures=tuple(s for s in call.signatures if s[0] in kept))

    return case


def stranger_signs(swarm: Swarm) -> tuple[int, LedgerCall]:
    call = merging(swarm)
    theirs = (2, swarm.signature(2, call.certificate))
    return 0, replace(call, signatures=(*call.signatures, theirs))


def forged(swarm: Swarm) -> tuple[int, LedgerCall]:
    call = merging(swarm)
    (first, _), *rest = call.signatures
    by_another = swarm.signature(2, call.certificate)
    return 0, replace(call, signatures=((first, by_another), *rest))


def miscounted(swarm: Swarm) -> tuple[int, LedgerCall]:
    call = merging(swarm)
    return 0, replace(call, signatures=(*call.signatures, call.signatures[-1]))


def member_call(i: int, call: LedgerCall, before: Callable[[Swarm], object] = sealing) -> Case:
    def case(swarm: Swarm) -> tuple[int, LedgerCall]:
        before(swarm)
        return i, call

    return case


def leader_only(swarm: Swarm, _: CertifyCall) -> list[int]:
    return [swarm.view.current.leader]


def all_but_leader(swarm: Swarm, call: CertifyCall) -> list[int]:
    return [i for i, _ in call.signatures if i != swarm.view.current.leader]


CASES: list[tuple[str, Case]] = [
    ("NotAMember", outsider),
    ("ZeroHash", seal_of(1, parent=ZERO_HASH)),
    ("ZeroHash", seal_of(1, payload_hash=ZERO_HASH)),
    ("ZeroHash", seal_of(1, shares_hash=ZERO_HASH)),
    ("ZeroHash", seal_of(1, commitment=ZERO_HASH)),
    ("ZeroHash", certificate_with(aggregate_hash=ZERO_HASH)),
    ("WrongRound", seal_of(1, 2)),
    ("WrongRound", seal_of(1, 0)),
    ("WrongRound", member_call(1, AbstainCall(round=3))),
    ("WrongRound", member_call(1, CloseCall(round=2))),
    ("WrongRound", member_call(1, AdvanceCall(round=2, view=0), merging)),
    ("SealingClosed", sealed_after_the_draw),
    ("SealingClosed", member_call(2, CloseCall(round=1), merging)),
    ("SealingOpen", member_call(1, AdvanceCall(round=1, view=0))),
    ("ParentMismatch", seal_of(1, parent=digest("crafted model"))),
    ("AlreadySealed", seal_of(0, payload_hash=digest("second"))),
    ("AlreadySealed", member_call(0, AbstainCall(round=1))),
    ("AlreadyAbstained", after_abstaining),
    ("AlreadyAbstained", member_call(1, AbstainCall(round=1), lambda s: s.abstain(1, 1))),
    ("WrongReveal", seal_of(1, reveal=digest("guess"))),
    ("EpsilonDecreased", epsilon_falls),
    ("BudgetExceeded", seal_of(1, epsilon=101)),
    ("DeadlineNotReached", member_call(0, CloseCall(round=1))),
    ("DeadlineNotReached", member_call(2, AdvanceCall(round=1, view=0), merging)),
    ("NotMerging", not_merging),
    ("AlreadyCertified", already_certified),
    ("WrongView", certificate_with(view=1)),
    ("WrongView", member_call(2, AdvanceCall(round=1, view=1), merging)),
    ("NotSealed", certificate_with(included=(0, 1, 2))),
    ("NotSealed", certificate_with(included=(0, 1, 70))),
    ("TooFewIncluded", certificate_with(included=(1,))),
    ("TooFewIncluded", certificate_with(included=())),
    ("NoOffice", stranger_signs),
    ("LeaderNotSigned", without(all_but_leader)),
    ("BelowQuorum", without(leader_only)),
    ("SignatureCount", miscounted),
    ("BadSignature", forged),
]


@pytest.fixture(scope="module")
def founded(module_chain: EmbeddedChain) -> Swarm:
    return three_members(module_chain)


def three_members(chain: EmbeddedChain) -> Swarm:
    return Swarm(chain, 3, close_at=2, epsilon_cap=100, max_views=2, relaying=True)


@pytest.mark.parametrize(
    ("name", "case"), CASES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(CASES)]
)
def test_refused_by_name(founded: Swarm, chain: EmbeddedChain, name: str, case: Case) -> None:
    swarm = founded.again()
    sender, call = case(swarm)
    refused(name, swarm.ledgers[sender], call)


def test_a_refusal_states_values_and_remedy(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 2, epsilon_cap=100)
    with pytest.raises(TransactionRefused, match="spent=101, cap=100; the member has spent"):
        swarm.seal(0, 1, epsilon=101)
    with pytest.raises(NotAMember, match=key_of(99).address):
        swarm.ledger(key_of(99)).submit(AbstainCall(round=1))


def test_a_seal_of_another_swarm_or_member_is_not_a_seal_here(chain: EmbeddedChain) -> None:
    here, there = Swarm(chain, 2), Swarm(chain, 2)
    refused("WrongReveal", here.ledgers[0], there.seal_call(0, 1))
    here.seal(0, 1)  # its reveal is public from now on
    refused("WrongReveal", here.ledgers[1], here.seal_call(1, 1, reveal=here.secret(0, 0)))


def test_the_contract_takes_no_money(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 1)
    payer = swarm.keys[0].address
    chain.fund(payer)
    calls = {"nothing": b"", "abstain": call_data(AbstainCall(round=1))}
    for data in calls.values():
        call = {"from": payer, "to": swarm.contract, "data": "0x" + data.hex()}
        with pytest.raises(RpcError, match="reverted"):
            chain.request("eth_call", [{**call, "value": "0x1"}])
    assert chain.request("eth_call", [call]) == "0x"  # the same without money
