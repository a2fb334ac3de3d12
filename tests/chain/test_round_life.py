"""The life of a round on a real EVM: sealed, drawn, certified; or late, and void."""

from __future__ import annotations

import pytest
from chain_support import MODEL, START, Swarm, digest, refused

from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.protocol.ledger import AdvanceCall, CloseCall
from flwr_swarm.protocol.types import NO_CAP, Phase


def test_a_founded_swarm_is_idle_and_holds_what_it_was_given(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 3, fixed_leader=2, epsilon_cap=5_000_000)
    view = swarm.view
    assert (view.chain_id, view.contract) == (chain.chain_id, swarm.contract)
    assert view.policy == swarm.policy
    assert view.members == swarm.replica().members
    assert (view.current.number, view.current.phase, view.final) == (0, Phase.IDLE, None)


def test_a_round_from_first_seal_to_certificate(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 4)
    swarm.seal(2, 1, epsilon=7)
    opened = swarm.view
    assert opened.current.phase is Phase.SEALING
    assert opened.current.parent == MODEL
    assert opened.current.seal_deadline > opened.now

    drawn = swarm.seal_all(1, 0, 1, 3)
    current = drawn.current
    assert current.phase is Phase.MERGING
    assert sorted(current.succession) == [0, 1, 2, 3]
    assert sorted(current.committee) == [0, 1, 2, 3]
    assert current.seal_of(2).payload_hash == digest("payload", 1, 2)
    assert current.seal_of(2).epsilon == drawn.members[2].epsilon == 7

    done = swarm.certify()
    assert done.current.phase is Phase.CERTIFIED
    assert done.current.certificate.included == (0, 1, 2, 3)
    assert done.current.certificate.aggregate_hash == digest("sum", 1)
    assert done.final is None

    swarm.seal(0, 2)
    assert swarm.view.final == done.current


def test_a_void_round_leaves_the_final_round_as_it_was(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 2)
    final = swarm.whole_round(1).current
    swarm.seal(0, 2)
    chain.advance_clock(601)
    swarm.close(2)
    assert swarm.view.current.phase is Phase.VOID
    swarm.seal_all(3)
    assert swarm.view.final == final


def test_sealing_closes_by_deadline_with_those_who_came(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 4)
    swarm.seal_all(1, 0, 3)
    refused("DeadlineNotReached", swarm.ledgers[0], CloseCall(round=1))
    chain.advance_clock(601)
    refused("SealingClosed", swarm.ledgers[1], swarm.seal_call(1, 1))
    swarm.close(1, i=1)
    current = swarm.view.current
    assert current.phase is Phase.MERGING
    assert sorted(current.succession) == [0, 3]


def test_the_deadline_itself_is_still_in_time_and_the_second_after_is_late() -> None:
    clock = [START]
    swarm = Swarm(EmbeddedChain(clock=lambda: clock[0]), 4)
    swarm.seal(0, 1)
    clock[0] = deadline = swarm.view.current.seal_deadline
    refused("DeadlineNotReached", swarm.ledgers[0], CloseCall(round=1))
    swarm.seal(1, 1)  # this block carries the deadline, the next one a second more
    assert swarm.view.now == deadline + 1
    refused("SealingClosed", swarm.ledgers[2], swarm.seal_call(2, 1))
    swarm.close(1)
    clock[0] = swarm.view.current.merge_deadline
    refused("DeadlineNotReached", swarm.ledgers[2], AdvanceCall(round=1, view=0))
    clock[0] += 1
    swarm.advance(1, 0)
    assert swarm.view.current.view == 1


def test_too_few_seals_at_the_deadline_void_the_round(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 4, min_included=3)
    swarm.seal_all(1, 0, 3)
    chain.advance_clock(601)
    swarm.close(1)
    assert swarm.view.current.phase is Phase.VOID
    swarm.whole_round(2)  # the swarm goes on


def test_abstentions_count_towards_closing(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 4)
    swarm.abstain(1, 1)  # before anyone opened the round
    swarm.seal_all(1, 0, 3)
    swarm.abstain(2, 1)
    current = swarm.view.current
    assert current.phase is Phase.MERGING
    assert current.abstained == (1, 2)
    assert sorted(current.committee) == [0, 3]


@pytest.mark.parametrize("sealers", [(), (0,)])
def test_when_all_have_spoken_and_too_few_sealed_the_round_is_void_at_once(
    chain: EmbeddedChain, sealers: tuple[int, ...]
) -> None:
    swarm = Swarm(chain, 3)
    for i in sealers:
        swarm.seal(i, 1)
    for i in set(range(3)) - set(sealers):
        swarm.abstain(i, 1)
    view = swarm.view
    assert (view.current.number, view.current.phase) == (1, Phase.VOID)
    swarm.whole_round(2)


def test_sealing_closes_early_at_the_agreed_count(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 4, close_at=3)
    swarm.seal_all(1, 0, 1)
    assert swarm.view.current.phase is Phase.SEALING
    swarm.seal(3, 1)
    assert swarm.view.current.phase is Phase.MERGING
    refused("SealingClosed", swarm.ledgers[2], swarm.seal_call(2, 1))


def test_a_silent_leader_is_replaced_and_the_deadline_doubles(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 4, max_views=3)
    first = swarm.seal_all(1)
    leaders = []
    for view in range(3):
        current = swarm.view.current
        assert (current.view, current.leader) == (view, first.current.succession[view])
        leaders.append(current.leader)
        refused("DeadlineNotReached", swarm.ledgers[1], AdvanceCall(round=1, view=view))
        before = swarm.view.now
        assert current.merge_deadline - before <= 60 << view
        chain.advance_clock((60 << view) + 1)
        swarm.advance(1, view, i=1)
        after = swarm.view
        if view < 2:
            assert after.current.merge_deadline - after.now == (60 << (view + 1)) - 1
    assert len(set(leaders)) == 3
    assert after.current.phase is Phase.VOID


def test_the_next_leader_can_certify_and_the_failed_one_has_had_its_turn(
    chain: EmbeddedChain,
) -> None:
    swarm = Swarm(chain, 4)
    failed = swarm.seal_all(1).current.leader
    chain.advance_clock(61)
    swarm.advance(1, 0)
    second = swarm.certify().current.leader
    assert second != failed
    later = [swarm.whole_round(number).current.leader for number in (2, 3)]
    assert sorted([failed, second, *later]) == [0, 1, 2, 3]


def test_a_succession_of_one_is_exhausted_by_one_miss(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 1)
    swarm.seal_all(1)
    chain.advance_clock(61)
    swarm.advance(1, 0)
    assert swarm.view.current.phase is Phase.VOID
    assert swarm.whole_round(2).current.phase is Phase.CERTIFIED


def test_a_certificate_is_taken_after_its_deadline_while_nobody_advanced(
    chain: EmbeddedChain,
) -> None:
    swarm = Swarm(chain, 3)
    swarm.seal_all(1)
    chain.advance_clock(10_000)
    assert swarm.certify().current.phase is Phase.CERTIFIED


def test_a_fixed_leader_leads_whenever_it_sealed(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 3, fixed_leader=1, close_at=2)
    assert [swarm.whole_round(r, 0, 1).current.leader for r in (1, 2, 3)] == [1, 1, 1]
    swarm.seal_all(4, 0, 2)
    assert swarm.view.current.leader in {0, 2}


def test_epsilon_never_falls_and_never_exceeds_the_cap(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 2, epsilon_cap=100)
    swarm.seal(0, 1, epsilon=40)
    swarm.seal(1, 1, epsilon=100)
    swarm.certify()
    refused("EpsilonDecreased", swarm.ledgers[0], swarm.seal_call(0, 2, epsilon=39))
    refused("BudgetExceeded", swarm.ledgers[0], swarm.seal_call(0, 2, epsilon=101))
    swarm.seal(0, 2, epsilon=40)
    assert [member.epsilon for member in swarm.view.members] == [40, 100]


def test_no_cap_admits_any_epsilon(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 1)
    swarm.seal(0, 1, epsilon=NO_CAP)
    assert swarm.view.members[0].epsilon == NO_CAP


def test_witnesses_must_be_of_the_last_certified_committee(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 4, witnesses=1, max_committee=1, close_at=3)
    committee = swarm.whole_round(1, 0, 1, 2).current.committee  # round 1 needs no witness
    others = [i for i in range(4) if i not in committee]
    for i in others:
        swarm.seal(i, 2, verified=True)  # not of the committee: not witnesses
    assert swarm.view.current.phase is Phase.SEALING
    swarm.seal(committee[0], 2, verified=True)
    assert swarm.view.current.phase is Phase.MERGING


def test_a_round_without_its_witnesses_is_void(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 3, witnesses=3, max_committee=2)
    committee = swarm.whole_round(1).current.committee
    swarm.seal_all(2)  # nobody verified, and nobody is left to come
    assert swarm.view.current.phase is Phase.VOID
    for i in range(3):  # two witnesses are all that a committee of two can give
        swarm.seal(i, 3, verified=i in committee)
    assert swarm.view.current.phase is Phase.MERGING


def test_without_witnesses_the_deadline_voids_the_round(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 4, witnesses=1, max_committee=1, close_at=2)
    committee = swarm.whole_round(1, 0, 1).current.committee
    others = [i for i in range(4) if i not in committee]
    swarm.seal_all(2, *others[:2])
    assert swarm.view.current.phase is Phase.SEALING  # enough seals, no witness yet
    chain.advance_clock(601)
    swarm.close(2, i=3)
    assert swarm.view.current.phase is Phase.VOID
