"""The contract's events add up to what its state shows of every member, past and present."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from typing import Any

from chain_support import Swarm, frozen_chain
from hypothesis import Phase as Stage
from hypothesis import given, settings
from hypothesis import strategies as st
from model_support import Pair, Rules
from test_contract_model import Contract, wander

from flwr_swarm.chain.codec import decode_event
from flwr_swarm.chain.contributions import contributions
from flwr_swarm.chain.history import export
from flwr_swarm.chain.state import IDLE, Record, State
from flwr_swarm.protocol.types import Kind, Phase

Who = tuple[int, int]
"""A seat, and how many had it before."""


class RulesOnly(Contract):
    def make(self, n: int, reached: Counter[str], **policy: Any) -> Pair:
        return Rules(n, reached, **policy)


class Watch:
    """Counts from differences of states, not from events."""

    def __init__(self, founded: State) -> None:
        self.before = Counter[int]()
        self.counts: dict[Who, Counter[str]] = defaultdict(Counter)
        self.last: dict[Who, tuple[Any, ...]] = {}
        self.see_members(founded)

    def who(self, seat: int) -> Who:
        return seat, self.before[seat]

    def add(self, what: str, seats: Any, by: int = 1) -> None:
        for seat in seats:
            self.counts[self.who(seat)][what] += by

    def see_members(self, state: State) -> None:
        for m in state.members:
            if not m.vacant:
                status = "suspended" if m.suspended else "seated"
                self.last[self.who(m.index)] = (
                    m.account,
                    m.weight_class,
                    m.epsilon,
                    m.faults,
                    status,
                )

    def step(self, old: State, new: State) -> None:
        now = new.current
        number = now.round.number
        was = old.records[number - 1] if 0 < number <= len(old.records) else IDLE
        self.add(
            "sealed", {s.member for s in now.round.seals} - {s.member for s in was.round.seals}
        )
        self.add("witnessed", witnesses(new, now) - witnesses(new, was))
        self.add("late", {*now.round.late} - {*was.round.late})
        self.add("abstained", {*now.round.abstained} - {*was.round.abstained} - old.ahead)
        self.add("abstained", new.ahead - old.ahead)
        self.add("missed", {*now.missed} - {*was.missed})
        self.add("stalled", now.failed_leaders[len(was.failed_leaders) :])
        if now.round.certificate and not was.round.certificate:
            self.add("included", now.round.certificate.included)
            self.add("signed", now.signers)
            self.add("led", [now.round.leader])
        if now.round.phase is Phase.VOID and was.round.phase is not Phase.VOID and was is not IDLE:
            grown = new.members[now.round.opener].stalls > old.members[now.round.opener].stalls
            if grown and now.failed_leaders == was.failed_leaders:
                self.add("blamed", [now.round.opener])
        for seat in old.taken - new.taken:
            account, weight, epsilon, faults, _ = self.last[self.who(seat)]
            self.last[self.who(seat)] = (account, weight, epsilon, faults, "removed")
            self.before[seat] += 1
        self.see_members(new)


def witnesses(state: State, record: Record) -> set[int]:
    committee = state.records[record.base - 1].round.committee if record.base else ()
    return {
        seal.member
        for seal in record.round.seals
        if seal.verified
        and seal.member in committee
        and state.members[seal.member].since <= record.base
    }


COUNTED = (
    *("sealed", "included", "late", "abstained", "missed"),
    *("led", "stalled", "blamed", "signed", "witnessed"),
)


@settings(max_examples=6, phases=[Stage.generate])
@given(seed=st.integers(0, 2**32), misses=st.integers(0, 2), views=st.integers(1, 3))
def test_contributions_are_what_the_states_show(seed: int, misses: int, views: int) -> None:
    machine = RulesOnly()
    machine.found(4, 2, 3, 2, 0, 1, False, views, misses, True)
    rules = machine.pair
    die = random.Random(seed)  # noqa: S311
    watch = Watch(rules.state)
    for _ in range(3):
        wander(machine, die)
    for before, after, _ in rules.log:
        watch.step(before, after)
    events = [*rules.founding, *(event for *_, events in rules.log for event in events)]
    found = contributions(events, rules.state.members)
    seen = Counter[int]()
    for one in found:
        who = (one.seat, seen[one.seat])
        seen[one.seat] += 1
        counted = {name: watch.counts[who][name] for name in COUNTED}
        assert {name: getattr(one, name) for name in COUNTED} == counted
        account, weight, epsilon, faults, status = watch.last[who]
        assert (one.epsilon, one.faults, one.status) == (epsilon, faults, status)
        assert one.account == account
        if one.status != "removed" or one.weight_class:  # events do not tell a founder's
            assert one.weight_class == weight
    assert set(watch.last) == {(c.seat, k) for c in found for k in range(seen[c.seat])}
    certificates = sum(r.round.phase is Phase.CERTIFIED for r in rules.state.records)
    assert sum(one.led for one in found) == certificates


def test_what_a_chain_tells_adds_up() -> None:
    swarm = Swarm(frozen_chain(), 4, min_included=2)
    swarm.abstain(3, 1)
    swarm.seal_all(1, 0, 1, 2, epsilon=5)
    swarm.certify()
    swarm.enact(swarm.change(Kind.REMOVE, 3), 0, 1, 2)
    swarm.enact(swarm.admit_call(10, card={"epsilon": 7, "weight_class": 11}))
    entries = export(swarm.chain, swarm.contract)["transactions"]
    events = [
        decode_event(
            [bytes.fromhex(topic[2:]) for topic in event["topics"]],
            bytes.fromhex(event["data"][2:]),
        )
        for entry in entries
        for event in entry["events"]
    ]
    found = contributions(events, swarm.view.members)
    assert [(c.seat, c.status, c.sealed, c.abstained, c.epsilon) for c in found] == [
        (0, "seated", 1, 0, 5),
        (1, "seated", 1, 0, 5),
        (2, "seated", 1, 0, 5),
        (3, "removed", 0, 1, 0),
        (3, "seated", 0, 0, 7),
    ]
    assert (found[4].account, found[4].weight_class) == (swarm.keys[10].address, 11)
    assert [c.account for c in contributions(events)][:2] == ["", ""]  # founders, by events alone
