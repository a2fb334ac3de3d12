"""The contract on a real EVM beside its rules in Python, under random calls of its members."""

from __future__ import annotations

from dataclasses import replace

from chain_support import MODEL, Swarm, digest, frozen_chain, key_of
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from flwr_swarm._exceptions import NotAMember, TransactionRefused
from flwr_swarm.chain.history import export
from flwr_swarm.chain.replay import replay
from flwr_swarm.chain.replica import apply
from flwr_swarm.chain.state import State
from flwr_swarm.protocol.ledger import (
    AbstainCall,
    AdvanceCall,
    CloseCall,
    LedgerCall,
)
from flwr_swarm.protocol.types import Phase

CHAIN = frozen_chain()
members = st.integers(0, 3)
CAP = 30


class Contract(RuleBasedStateMachine):
    """Each rule makes a call to both; both take it, or refuse it by the same name."""

    @initialize(
        n=st.integers(1, 4),
        data=st.data(),
    )
    def found(self, n: int, data: st.DataObject) -> None:
        self.mark = CHAIN.snapshot()
        least = data.draw(st.integers(1, min(n, 2)))
        self.swarm = Swarm(
            CHAIN,
            n,
            min_included=least,
            close_at=data.draw(st.integers(least, n)),
            witnesses=data.draw(st.integers(0, 1)),
            max_committee=data.draw(st.integers(1, 3)),
            fixed_leader=data.draw(st.none() | st.integers(0, n - 1)),
            max_views=data.draw(st.integers(1, 3)),
            epsilon_cap=CAP,
        )
        self.n = n
        self.swarm.ledgers.append(self.swarm.ledger(key_of(50)))  # an outsider, number n
        self.swarm.keys.append(key_of(50))
        self.state = State(
            chain_id=CHAIN.chain_id,
            contract=self.swarm.contract,
            policy=self.swarm.policy,
            members=self.swarm.genesis,
        )
        self.view = self.swarm.view

    def both(self, i: int, call: LedgerCall) -> None:
        i %= self.n + 1
        now = self.view.now
        outcomes = []
        state = self.state
        for act in (
            lambda: self.swarm.ledgers[i].submit(call),
            lambda: apply(self.state, self.swarm.keys[i].address, call, now)[0],
        ):
            try:
                state = act() or state
                outcomes.append("accepted")
            except NotAMember:
                outcomes.append("NotAMember")
            except TransactionRefused as error:
                outcomes.append(error.reason)
        assert outcomes[0] == outcomes[1]
        before, self.state = self.state, state
        self.view = self.swarm.view
        for old, new in zip(before.members, self.view.members, strict=True):
            assert old.epsilon <= new.epsilon <= CAP
        for record in before.records[:-1]:
            assert record in self.state.records, "a round that is over changed"

    def next_round(self) -> int:
        current = self.view.current
        over = current.phase in {Phase.IDLE, Phase.CERTIFIED, Phase.VOID}
        return current.number + over

    @rule(i=members, step=st.integers(0, 9), verified=st.booleans())
    def seal(self, i: int, step: int, verified: bool) -> None:
        i %= self.n
        epsilon = min(self.view.members[i].epsilon + step, CAP)
        call = self.swarm.seal_call(
            i, self.next_round(), self.view, epsilon=epsilon, verified=verified
        )
        self.both(i, call)

    @rule(
        i=st.integers(0, 4),
        change=st.sampled_from(
            [
                {"epsilon": CAP + 1},
                {"epsilon": 0},
                {"parent": digest("other model")},
                {"payload_hash": digest("payload", 1, 0)},
                {"reveal": digest("guess")},
                {"round": 1},
                {"round": 3},
                {"commitment": bytes(32)},
            ]
        ),
    )
    def seal_wrongly(self, i: int, change: dict[str, object]) -> None:
        call = self.swarm.seal_call(i % self.n, self.next_round(), self.view)
        self.both(i, replace(call, **change))

    @rule(i=members, ahead=st.integers(-1, 1))
    def abstain(self, i: int, ahead: int) -> None:
        self.both(i, AbstainCall(round=max(0, self.next_round() + ahead)))

    @rule(i=members, late=st.booleans())
    def close(self, i: int, late: bool) -> None:
        if late and self.view.current.phase is Phase.SEALING:
            self.wait(601)
        self.both(i, CloseCall(round=self.view.current.number))

    @rule(i=members, late=st.booleans(), wrong=st.integers(0, 1))
    def advance(self, i: int, late: bool, wrong: int) -> None:
        if late and self.view.current.phase is Phase.MERGING:
            self.wait(481)
        current = self.view.current
        self.both(i, AdvanceCall(round=current.number, view=current.view + wrong * (i % 2)))

    @precondition(lambda self: self.view.current.phase is Phase.MERGING)
    @rule(i=members)
    def certify(self, i: int) -> None:
        view = self.view
        self.both(
            i, self.swarm.certify_call(self.swarm.certificate(view), self.swarm.officers(view))
        )

    @precondition(lambda self: self.view.current.number > 0)
    @rule(i=members, data=st.data())
    def certify_somehow(self, i: int, data: st.DataObject) -> None:
        current = self.view.current
        certificate = self.swarm.certificate(
            self.view,
            included=tuple(sorted(data.draw(st.sets(st.integers(0, self.n - 1))))),
            view=data.draw(st.sampled_from([current.view, current.view, 1])),
            round=data.draw(st.sampled_from([current.number, current.number, 1])),
        )
        signers = sorted(data.draw(st.sets(st.integers(0, self.n - 1))))
        self.both(i, self.swarm.certify_call(certificate, signers))

    def wait(self, seconds: int) -> None:
        CHAIN.advance_clock(seconds)
        self.view = self.swarm.view

    @invariant()
    def both_hold_the_same(self) -> None:
        if hasattr(self, "view"):
            assert self.view == self.state.view(self.view.now)

    @invariant()
    def a_certificate_covers_sealers_of_one_model(self) -> None:
        if not hasattr(self, "view"):
            return
        for record in self.state.records:
            round_ = record.round
            assert {seal.parent for seal in round_.seals} <= {MODEL, digest("other model")}
            assert len({seal.parent for seal in round_.seals}) <= 1
            if round_.certificate is not None:
                sealers = {seal.member for seal in round_.seals}
                assert sealers.issuperset(round_.certificate.included)
                assert len(round_.certificate.included) >= self.swarm.policy.min_included

    def teardown(self) -> None:
        if hasattr(self, "mark"):
            proved = replay(export(CHAIN, self.swarm.contract))
            assert proved.state == self.state
            CHAIN.revert(self.mark)


Contract.TestCase.settings = settings(max_examples=8, stateful_step_count=20, deadline=None)
TestContract = Contract.TestCase
