"""What holds whatever members and outsiders do: each promise of the contract, by name."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from attack_support import drawn, four, vote
from chain_support import digest
from hypothesis import Phase as Stage
from hypothesis import given, settings
from hypothesis import strategies as st
from model_support import Rules
from test_contract_model import wander
from test_contributions import RulesOnly

from flwr_swarm._exceptions import TransactionRefused
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.state import State
from flwr_swarm.protocol.election import quorum
from flwr_swarm.protocol.types import NO_CAP, Kind, Phase

STEP = tuple[State, State]


def histories(seed: int, policy: tuple[int, ...], moves: int = 3) -> Rules:
    """A random history of the rules, which the model's test holds against the contract."""
    machine = RulesOnly()
    machine.found(*policy)
    die = random.Random(seed)  # noqa: S311
    for _ in range(moves):
        wander(machine, die)
    return machine.pair  # type: ignore[return-value]


policies = st.tuples(
    st.sampled_from([4, 5]),  # members
    st.integers(1, 3),  # at least included
    st.integers(1, 4),  # committee
    st.integers(0, 4),  # quorum
    st.sampled_from([0, 2, -2]),  # close_at - n
    st.integers(0, 2),  # witnesses
    st.booleans(),  # fixed leader
    st.integers(1, 3),  # views
    st.integers(0, 2),  # misses
    st.just(True),  # relaying
)
history = settings(max_examples=8, phases=[Stage.generate])


def steps(rules: Rules) -> list[STEP]:
    return [(before, after) for before, after, _ in rules.log]


# --- rounds -----------------------------------------------------------------------------------


@history
@given(st.integers(0, 2**32), policies)
def test_a_round_has_at_most_one_certificate(seed: int, policy: tuple[int, ...]) -> None:
    rules = histories(seed, policy)
    certified = Counter(
        fields["round"]
        for *_, events in rules.log
        for name, fields in events
        if name == "Certified"
    )
    assert not certified or set(certified.values()) == {1}
    for before, after in steps(rules):
        for old, new in zip(before.records, after.records, strict=False):
            if old.round.certificate is not None:
                assert new.round.certificate == old.round.certificate


def test_a_second_certificate_is_refused_in_the_round_and_ever_after(chain: EmbeddedChain) -> None:
    swarm = four(chain)
    swarm.ledgers[0].submit(drawn(swarm))
    first = swarm.view.current
    other = swarm.certificate(aggregate_hash=digest("other"))
    late = swarm.certify_call(other, swarm.officers())
    for step in (lambda: None, lambda: swarm.seal(0, 2), lambda: swarm.seal_all(2, 1, 2, 3)):
        step()
        with pytest.raises(TransactionRefused, match="AlreadyCertified"):
            swarm.ledgers[0].submit(late)
    assert swarm.view.final == first


@history
@given(st.integers(0, 2**32), policies)
def test_a_certificate_covers_sealers_of_one_parent(seed: int, policy: tuple[int, ...]) -> None:
    for record in histories(seed, policy).state.records:
        round_ = record.round
        assert {seal.parent for seal in round_.seals} <= {round_.parent}
        if round_.certificate is not None:
            included = set(round_.certificate.included)
            assert included <= {seal.member for seal in round_.seals}
            assert included.isdisjoint({*round_.late, *round_.abstained})


@history
@given(st.integers(0, 2**32), policies)
def test_a_committee_never_shrinks_below_its_bound(seed: int, policy: tuple[int, ...]) -> None:
    rules = histories(seed, policy)
    for before, after in steps(rules):
        for record in after.records[len(before.records) - 1 :]:
            if record.round.committee:
                bound = min(before.policy.max_committee, before.policy.min_included)
                assert bound <= len(record.round.committee) <= before.policy.max_committee


@pytest.mark.parametrize("how", ["suspended", "benched"])
def test_members_without_office_fill_a_committee_that_would_be_too_small(
    chain: EmbeddedChain, how: str
) -> None:
    swarm = four(chain, min_included=3, max_misses=0)
    if how == "suspended":
        swarm.seal_all(1, 0, 1, 2)
        for guilty in (0, 1):
            swarm.ledgers[2].submit(swarm.accusation(guilty, guilty, 1))
        swarm.seal(3, 1)
    else:
        swarm.seal(0, 1)
        chain.advance_clock(601)
        swarm.close(1)  # 1, 2 and 3 missed
        swarm.seal_all(2)
    assert len(swarm.view.current.committee) == 3


@given(size=st.integers(1, 7), asked=st.integers(0, 7), data=st.data())
def test_quorums_intersect_in_an_honest_member(size: int, asked: int, data: st.DataObject) -> None:
    faulty = (size - 1) // 3
    required = max(quorum(size), min(asked, size))
    quorums = st.sets(st.integers(0, size - 1), min_size=required)
    one, two = data.draw(quorums), data.draw(quorums)
    assert len(one & two) > faulty


@pytest.mark.parametrize("asked", range(5))
def test_the_contract_asks_for_the_larger_quorum(chain: EmbeddedChain, asked: int) -> None:
    swarm = four(chain, max_committee=4, quorum=asked)
    view = swarm.seal_all(1)
    leader = view.current.leader
    signers = [leader, *(i for i in range(4) if i != leader)]
    required = max(3, asked)
    certificate = swarm.certificate(view)
    with pytest.raises(TransactionRefused, match="BelowQuorum"):
        swarm.ledgers[0].submit(swarm.certify_call(certificate, signers[: required - 1]))
    swarm.ledgers[0].submit(swarm.certify_call(certificate, signers[:required]))


@history
@given(st.integers(0, 2**32), policies)
def test_a_failed_leader_waits_for_the_bag_to_be_refilled(
    seed: int, policy: tuple[int, ...]
) -> None:
    """Nobody fresh with an office is passed over for one who has had its turn."""
    policy = (*policy[:6], False, *policy[7:])  # with a fixed leader there is no bag
    for before, after, events in histories(seed, policy).log:
        for name, fields in events:
            if name == "Drawn":
                succession = list(fields["succession"])
                fresh = [m for m in succession if m not in before.led]
                assert succession[: len(fresh)] == fresh or not fresh
                assert not fresh or succession[0] not in before.led
            if name == "LeaderMissed":
                assert fields["leader"] in after.led


# --- votes ------------------------------------------------------------------------------------


@history
@given(st.integers(0, 2**32), policies)
def test_a_change_has_two_thirds_and_one_of_its_own_epoch(
    seed: int, policy: tuple[int, ...]
) -> None:
    for before, _, events in histories(seed, policy).log:
        n = len(before.taken)
        for name, fields in events:
            if name == "ProposalPassed":
                voters = [f for e, f in events if e == "Voted" and f["support"]]
                known = before.proposals[fields["id"] - 1 : fields["id"]]
                supporters = {*(known[0].supporters if known else ()), voters[-1]["member"]}
                assert supporters <= before.taken
                assert 3 * len(supporters) > 2 * n
                assert not known or known[0].epoch == before.epoch


def test_votes_of_one_view_never_count_in_another(chain: EmbeddedChain) -> None:
    swarm = four(chain)
    call = drawn(swarm)
    chain.advance_clock(61)
    swarm.advance(1, 0)
    second = replace(call.certificate, view=1)
    leader = swarm.view.current.leader
    officers = swarm.officers()
    mixed = tuple(
        (i, swarm.signature(i, second if i == leader else call.certificate)) for i in officers
    )
    with pytest.raises(TransactionRefused, match="BadSignature"):
        swarm.ledgers[0].submit(replace(swarm.certify_call(second, officers), signatures=mixed))
    swarm.ledgers[0].submit(swarm.certify_call(second, officers))


def test_votes_of_one_epoch_never_count_in_another(chain: EmbeddedChain) -> None:
    swarm = four(chain)
    swarm.enact(swarm.change(Kind.REMOVE, 3), 0, 1)  # two votes of the three it needs
    swarm.enact(swarm.change(Kind.POLICY, max_misses=2), 1, 2, 3)  # another epoch
    with pytest.raises(TransactionRefused, match="StaleProposal"):
        swarm.ledgers[2].submit(vote(1))
    swarm.enact(swarm.change(Kind.REMOVE, 3), 2)  # the same change again begins at one vote
    assert swarm.reader.proposal(3).supporters == (2,)
    assert len(swarm.view.seated) == 4


# --- budgets ----------------------------------------------------------------------------------


@history
@given(st.integers(0, 2**32), policies)
def test_epsilon_never_falls_and_never_exceeds_the_cap(seed: int, policy: tuple[int, ...]) -> None:
    for before, after in steps(histories(seed, policy)):
        for old, new in zip(before.members, after.members, strict=False):
            if not old.vacant and not new.vacant:
                assert new.epsilon >= old.epsilon
        assert all(m.epsilon <= after.policy.epsilon_cap < NO_CAP for m in after.members)


@pytest.mark.parametrize("spent", [40, 41])
def test_a_cap_lowered_during_a_round_is_never_exceeded(chain: EmbeddedChain, spent: int) -> None:
    swarm = four(chain)
    swarm.seal(0, 1, epsilon=40)
    swarm.enact(swarm.change(Kind.POLICY, epsilon_cap=40))  # waits for the round's end
    assert swarm.view.policy.epsilon_cap == 100
    if spent > 40:
        with pytest.raises(TransactionRefused, match="BudgetExceeded"):
            swarm.seal(1, 1, epsilon=spent)
        chain.advance_clock(601)
        with pytest.raises(TransactionRefused, match="BudgetExceeded"):
            swarm.late(1, 1, spent)
        swarm.close(1)
    else:
        for i in (1, 2, 3):
            swarm.seal(i, 1, epsilon=spent)
        swarm.certify()
    view = swarm.view
    assert view.policy.epsilon_cap == 40
    assert max(member.epsilon for member in view.members) == 40


def test_a_round_is_never_stuck_and_numbers_grow_by_one(chain: EmbeddedChain) -> None:
    swarm = four(chain, max_misses=0, max_views=2)
    numbers = []
    for end in ("certify", "close", "advance", "abstain"):
        number = swarm.view.current.number + 1
        numbers.append(number)
        if end == "abstain":
            for i in range(4):
                swarm.abstain(i, number)
        elif end == "close":
            swarm.seal(0, number)
            chain.advance_clock(601)
            swarm.close(number)
        else:
            swarm.seal_all(number)
            if end == "certify":
                swarm.certify()
            for view in range(2 if end == "advance" else 0):
                chain.advance_clock(200)
                swarm.advance(number, view)
    assert numbers == [1, 2, 3, 4]
    assert swarm.view.current.phase is Phase.VOID
