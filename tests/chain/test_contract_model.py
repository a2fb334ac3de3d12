"""The contract on a real EVM beside its rules in Python, under random and guided calls.

`HYPOTHESIS_PROFILE=nightly` draws longer histories, and more of them.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import replace
from typing import Any

from chain_support import FOREVER, digest, frozen_chain, least_threshold
from hypothesis import HealthCheck, settings
from hypothesis import Phase as Stage
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from model_support import MODELS, OUTSIDER, Pair, assert_rounds_hold

from flwr_swarm.protocol.ledger import (
    AbstainCall,
    AdvanceCall,
    CloseCall,
    LateCall,
    ProposeCall,
    VoteCall,
)
from flwr_swarm.protocol.types import Change, Kind, Phase

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
CHAIN = frozen_chain()
REACHED: Counter[str] = Counter()
CAP = 60
MOST = 6
seats = st.integers(0, MOST)


class Contract(RuleBasedStateMachine):
    """Each rule makes calls to both; both take them, or refuse them by the same name."""

    def make(self, n: int, reached: Counter[str], **policy: Any) -> Pair:
        self.mark = CHAIN.snapshot()
        return Pair(CHAIN, n, reached, **policy)

    @initialize(
        n=st.sampled_from([4, 5, 4, 5, 3, 2, 1]),
        least=st.integers(1, 2),
        committee=st.integers(1, 4),
        quorum=st.integers(0, 4),
        early=st.sampled_from([0, 0, 2, -9]),
        witnesses=st.integers(0, 2),
        fixed=st.sampled_from([False, False, True]),
        views=st.integers(1, 3),
        misses=st.integers(0, 2),
        relaying=st.sampled_from([True, True, False]),
    )
    def found(
        self,
        n: int,
        least: int,
        committee: int,
        quorum: int,
        early: int,
        witnesses: int,
        fixed: bool,
        views: int,
        misses: int,
        relaying: bool,
    ) -> None:
        self.pair = self.make(
            n,
            REACHED,
            min_included=min(least, n),
            close_at=max(n + early, min(least, n)),
            witnesses=min(witnesses, n),
            max_committee=committee,
            quorum=min(quorum, committee),
            fixed_leader=n - 1 if fixed else None,
            max_views=views,
            max_misses=misses,
            relaying=relaying,
            epsilon_cap=CAP,
            vote_seconds=400,
        )

    # --- anything, by anybody -----------------------------------------------------------------

    @rule(i=seats, step=st.integers(0, 9), verified=st.booleans())
    def seal(self, i: int, step: int, verified: bool) -> None:
        call = self.pair.seal_call(i, verified=verified)
        self.pair.seal(i, epsilon=min(call.epsilon + step, CAP), verified=verified)

    @rule(
        i=seats,
        change=st.sampled_from(
            [
                {"epsilon": CAP + 1},
                {"epsilon": 0},
                {"parent": MODELS[1]},
                {"payload_hash": digest("payload", 1, 0)},
                {"shares_hash": bytes(32)},
                {"reveal": digest("guess")},
                {"round": 1},
                {"round": 3},
                {"commitment": bytes(32)},
            ]
        ),
        carried=st.booleans(),
    )
    def seal_wrongly(self, i: int, change: dict[str, object], carried: bool) -> None:
        if carried:
            call = self.pair.seal_call(i, **change)
            self.pair.carry(i, (i + 1, call), (i, call), (i + 2, self.pair.seal_call(i + 2)))
        else:
            self.pair.seal(i, **change)

    @rule(i=seats, ahead=st.integers(-1, 1))
    def abstain(self, i: int, ahead: int) -> None:
        call = AbstainCall(round=max(0, self.pair.next_round + ahead))
        self.pair.both(self.pair.key(i), call)

    @rule(i=seats, behind=st.integers(0, 1), step=st.integers(-1, 3))
    def late(self, i: int, behind: int, step: int) -> None:
        seat = i % len(self.pair.state.members)
        epsilon = max(0, self.pair.state.members[seat].epsilon + step)
        number = max(0, self.pair.state.current.round.number - behind // 2)
        self.pair.both(self.pair.key(i), LateCall(round=number, epsilon=epsilon))

    @rule(i=seats, late=st.booleans())
    def close(self, i: int, late: bool) -> None:
        current = self.pair.state.current.round
        if late and current.phase is Phase.SEALING:
            self.pair.wait(601)
        self.pair.both(self.pair.key(i), CloseCall(round=current.number))

    @rule(i=seats, wrong=st.integers(0, 1))
    def advance(self, i: int, wrong: int) -> None:
        current = self.pair.state.current.round
        call = AdvanceCall(round=current.number, view=current.view + wrong * (i % 2))
        self.pair.both(self.pair.key(i), call)

    @precondition(lambda self: self.pair.state.records)
    @rule(i=seats, data=st.data())
    def certify_somehow(self, i: int, data: st.DataObject) -> None:
        current = self.pair.state.current.round
        some = st.sets(st.integers(0, len(self.pair.state.members) - 1))
        certificate = self.pair.certificate(
            included=tuple(sorted(data.draw(some))),
            view=data.draw(st.sampled_from([current.view, current.view, 1])),
            round=data.draw(st.sampled_from([current.number, current.number, 1])),
        )
        call = self.pair.certify_call(certificate, sorted(data.draw(some)))
        self.pair.both(self.pair.key(i), call)

    @rule(
        i=seats,
        kind=st.sampled_from(Kind),
        seat=st.none() | seats,
        policy=st.sampled_from(
            [
                {},
                {"threshold": 1},
                {"min_included": 9},
                {"min_members": 4},
                {"fixed_leader": 4},
                {"quorum": 8},
                {"epsilon_cap": 1},
                {"vote_seconds": 0},
            ]
        ),
        fault=st.sampled_from(["", "", "expired", "unsigned", "account", "key"]),
    )
    def propose_somehow(
        self, i: int, kind: Kind, seat: int | None, policy: dict[str, int], fault: str
    ) -> None:
        pair = self.pair
        key = pair.fresh_key if kind is Kind.ADMIT or i % 2 else pair.key(seat or 0)
        card = pair.swarm.card(key)
        if fault == "account":
            key = pair.key(i)
            card = pair.swarm.card(key)
        if fault == "key":
            card = replace(card, encryption_key=pair.state.members[0].encryption_key)
        rules = replace(pair.state.policy, **policy)
        expires = 5 if fault == "expired" else FOREVER
        change = Change(kind=kind, policy=rules, seat=seat, card=card, expires=expires)
        signer = key + 1 if fault == "unsigned" else key
        consent = pair.swarm.consent(signer, card, seat, expires)
        pair.both(pair.key(i), ProposeCall(change=change, consent=consent))

    @rule(i=seats, behind=st.integers(0, 2), support=st.booleans(), wait=st.sampled_from([0, 401]))
    def vote(self, i: int, behind: int, support: bool, wait: int) -> None:
        if wait and i % 3 == 0:
            self.pair.wait(wait)
        number = max(0, len(self.pair.state.proposals) - behind)
        self.pair.both(self.pair.key(i), VoteCall(proposal=number, support=support))

    @rule(i=seats, seat=seats, honest=st.booleans(), number=st.integers(1, 2))
    def accuse(self, i: int, seat: int, honest: bool, number: int) -> None:
        seat %= len(self.pair.state.members) + 1
        signer = self.pair.key(seat) if not honest or i % 3 == 0 else self.pair.key(i + 1)
        call = self.pair.swarm.accusation(signer, seat, number)
        if i % 4 == 0:
            call = replace(call, second=call.first)
        self.pair.both(self.pair.key(i), call)

    @rule(i=seats)
    def speak_from_outside(self, i: int) -> None:
        number = self.pair.next_round
        call = [AbstainCall(round=number), CloseCall(round=number)][i % 2]
        self.pair.both(OUTSIDER, call)

    # --- guided: these lead somewhere ---------------------------------------------------------

    @rule(carried=st.booleans(), i=seats)
    def whole_round(self, carried: bool, i: int) -> None:
        self.pair.seal_all(carried=carried and self.pair.state.policy.relaying)
        self.pair.end_round(i)

    @rule(i=seats)
    def leader_fails(self, i: int) -> None:
        self.pair.seal_all()
        if self.pair.state.current.round.phase is Phase.MERGING:
            self.pair.stall(i)

    @precondition(lambda self: len(self.pair.waiting) > 1)
    @rule(absent=seats, comes_late=st.booleans())
    def member_misses(self, absent: int, comes_late: bool) -> None:
        pair = self.pair
        away = pair.waiting[absent % len(pair.waiting)]
        number = pair.next_round
        for seat in [s for s in pair.waiting if s != away]:
            if pair.next_round == number and not pair.merging:
                pair.seal(seat, verified=True)
        pair.end_round()
        if comes_late:
            call = LateCall(round=number, epsilon=pair.state.members[away].epsilon)
            pair.both(pair.key(away), call)

    @precondition(lambda self: not self.pair.state.running and len(self.pair.waiting) > 1)
    @rule(i=seats)
    def nobody_takes_the_openers_model(self, i: int) -> None:
        pair = self.pair
        number, opener = pair.next_round, pair.waiting[i % len(pair.waiting)]
        pair.seal(opener, parent=MODELS[1])
        for seat in pair.waiting:
            if pair.next_round == number and pair.state.running:
                pair.both(pair.key(seat), AbstainCall(round=number))
        if pair.state.current.round.phase is Phase.SEALING:
            pair.end_round()

    @precondition(lambda self: len(self.pair.state.taken) < MOST)
    @rule(i=seats, spent=st.integers(0, 9))
    def admit(self, i: int, spent: int) -> None:
        call = self.pair.swarm.admit_call(self.pair.fresh_key, card={"epsilon": spent})
        self.pair.fresh_key += 1
        self.pair.pass_(call, i)

    @precondition(lambda self: len(self.pair.state.taken) > 2)
    @rule(i=seats, seat=seats)
    def remove(self, i: int, seat: int) -> None:
        change = self.pair.swarm.change(Kind.REMOVE, self.pair.someone(seat), fixed_leader=None)
        self.pair.pass_(ProposeCall(change=change), i)

    @rule(i=seats, seat=seats)
    def suspend(self, i: int, seat: int) -> None:
        change = self.pair.swarm.change(Kind.SUSPEND, self.pair.someone(seat))
        self.pair.pass_(ProposeCall(change=change), i)

    @precondition(lambda self: self.pair.state.suspended)
    @rule(i=seats, seat=seats)
    def reinstate(self, i: int, seat: int) -> None:
        down = sorted(self.pair.state.suspended)
        change = self.pair.swarm.change(Kind.REINSTATE, down[seat % len(down)])
        self.pair.pass_(ProposeCall(change=change), i)

    @rule(i=seats)
    def withdraw_then_lose(self, i: int) -> None:
        pair, by = self.pair, self.pair.someone(i)
        for misses in (0, 1):
            change = pair.swarm.change(Kind.POLICY, max_misses=misses)
            pair.both(pair.key(by), ProposeCall(change=change))
        number = len(pair.state.proposals)
        for seat in sorted(pair.state.taken - {by}):
            pair.both(pair.key(seat), VoteCall(proposal=number, support=False))

    @precondition(lambda self: not self.pair.state.running)
    @rule()
    def nobody_confirms_the_model(self) -> None:
        number = self.pair.next_round
        for seat in self.pair.waiting:
            if self.pair.next_round == number and not self.pair.merging:
                self.pair.seal(seat, verified=False)

    @rule(i=seats, seat=seats, whole=st.booleans())
    def rotate(self, i: int, seat: int, whole: bool) -> None:
        pair, seat = self.pair, self.pair.someone(seat)
        key, pair.fresh_key = pair.fresh_key, pair.fresh_key + 1
        keys = {"encryption_key": digest("encryption", key)}
        call = pair.swarm.rotate_call(seat, key if whole else pair.key(seat), **keys)
        pair.pass_(call, i)

    @rule(i=seats, misses=st.integers(0, 2), cap=st.sampled_from([CAP, CAP - 5]))
    def change_policy(self, i: int, misses: int, cap: int) -> None:
        n = len(self.pair.state.taken)
        rules = {"max_misses": misses, "epsilon_cap": cap, "relaying": i % 2 == 0, "close_at": n}
        change = self.pair.swarm.change(Kind.POLICY, threshold=least_threshold(n), **rules)
        self.pair.pass_(ProposeCall(change=change), i)

    @invariant()
    def both_hold_the_same(self) -> None:
        if hasattr(self, "pair"):
            self.pair.compare()
            assert_rounds_hold(self.pair.state)

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            self.pair.compare_history()
        if hasattr(self, "mark"):
            CHAIN.revert(self.mark)


WANTED = {
    "Certified",
    "certified after a member left",
    *(f"enacted: {kind.name}" for kind in Kind),
    "enacted at once",
    "enacted after a round",
    "suspended by vote",
    "suspended for cause",
    "MemberReinstated",
    "seat reused",
    "SealRelayed",
    "SealSkipped",
    "SealedLate",
    "FaultProven",
    "OpenerBlamed",
    "LeaderMissed",
    "MembersMissed",
    "ProposalRejected",
    "ProposalWithdrawn",
    "void: too few seals",
    "void: too few witnesses",
    "void: no leader left",
    "void: a member was removed",
    "MemberIsSuspended",
    "StaleProposal",
    "ChangePending",
}


MOVES = {
    "whole_round": "carried i",
    "seal": "i step verified",
    "leader_fails": "i",
    "member_misses": "absent comes_late",
    "nobody_takes_the_openers_model": "i",
    "nobody_confirms_the_model": "",
    "abstain": "i ahead",
    "admit": "i spent",
    "remove": "i seat",
    "rotate": "i seat whole",
    "suspend": "i seat",
    "reinstate": "i seat",
    "change_policy": "i misses cap",
    "withdraw_then_lose": "i",
    "vote": "i behind support wait",
    "accuse": "i seat honest number",
    "seal_wrongly": "i change carried",
}
FLAGS = ("carried", "verified", "comes_late", "whole", "support", "honest")
NEEDS = {
    "member_misses": (lambda m: len(m.pair.waiting) > 1,),
    "nobody_takes_the_openers_model": (
        lambda m: not m.pair.state.running,
        lambda m: len(m.pair.waiting) > 1,
    ),
    "nobody_confirms_the_model": (lambda m: not m.pair.state.running,),
    "admit": (lambda m: len(m.pair.state.taken) < MOST,),
    "remove": (lambda m: len(m.pair.state.taken) > 3,),
    "reinstate": (lambda m: m.pair.state.suspended,),
}
DIE = random.Random(None if NIGHTLY else 1)  # noqa: S311
OFTEN = ["whole_round", "seal", "whole_round", "reinstate", "seal"]


def test_the_moves_lead_everywhere() -> None:
    """The machine's own moves, in orders of a seeded die, reach all that is `WANTED`."""
    REACHED.clear()
    machine = Contract()
    machine.found(4, 2, 3, 2, 0, 1, False, 2, 1, True)
    try:
        while WANTED - set(REACHED) and sum(REACHED.values()) < 5000:
            wander(machine, DIE)
        assert not WANTED - set(REACHED)
    finally:
        machine.teardown()


def wander(machine: Contract, die: random.Random) -> None:
    """Make each move once, in some order."""
    options = {
        "change": [{"reveal": digest("guess")}],
        "step": [0, 1],
        "ahead": [0],
        "behind": [0, 1],
        "wait": [0],
        "cap": [CAP, CAP - 5],
        "misses": [1, 2],
        "number": [1, 2],
    } | {flag: [True, False] for flag in FLAGS}
    for name in die.sample([*MOVES, *OFTEN], len(MOVES) + len(OFTEN)):
        values = {k: die.choice(options.get(k, range(MOST))) for k in MOVES[name].split()}
        if all(needs(machine) for needs in NEEDS.get(name, ())):
            getattr(machine, name)(**values)
            machine.both_hold_the_same()


def test_the_contract_and_its_rules_agree() -> None:
    run_state_machine_as_test(
        Contract,
        settings=settings(
            max_examples=150 if NIGHTLY else 8,
            stateful_step_count=40 if NIGHTLY else 20,
            deadline=None,
            phases=[Stage.generate, Stage.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
