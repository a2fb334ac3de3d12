"""The contract on a real EVM beside its rules in Python: each call goes to both, and they agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from chain_support import MODEL, START, Swarm, digest, key_of, number_of, policy_of

from flwr_swarm._exceptions import NotAMember, TransactionRefused
from flwr_swarm.chain.codec import decode_result, encode_call
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.errors import refusal
from flwr_swarm.chain.founding import found
from flwr_swarm.chain.history import export
from flwr_swarm.chain.jsonrpc import RpcError
from flwr_swarm.chain.replay import replay
from flwr_swarm.chain.replica import apply
from flwr_swarm.chain.state import VOID_REASONS, Event, State
from flwr_swarm.chain.translate import bits, call_data
from flwr_swarm.protocol.ledger import (
    AdvanceCall,
    CertifyCall,
    CloseCall,
    LedgerCall,
    ProposeCall,
    SealCall,
    VoteCall,
)
from flwr_swarm.protocol.types import Certificate, LedgerView, Phase

OUTSIDER = 99
MODELS = (MODEL, digest("other model"))
ACCEPTED = "accepted"


class Pair:
    """One swarm, twice. `reached` counts what happened: events, in detail where it matters."""

    def __init__(self, chain: EmbeddedChain, n: int, reached: Counter[str], **policy: Any) -> None:
        self.chain = chain
        self.swarm = Swarm(chain, n, **policy)
        self.state = self.swarm.replica()
        self.reached = reached
        self.fresh_key = n
        self.ahead = 0
        self.changed = False

    # --- both ---------------------------------------------------------------------------------

    def both(self, key: int, call: LedgerCall) -> str:
        """Make a call of key `key` to both; they take it, or refuse it by the same name."""
        now = self.view.now
        before = self.state
        try:
            self.state, events = apply(before, key_of(key).address, call, now)
        except (NotAMember, TransactionRefused) as error:
            by_rules = name_of(error)
            assert self.refused_by_contract(key, call) == by_rules
            self.reached[by_rules] += 1
            return by_rules
        receipt = self.send(key, call)
        assert int(receipt["status"], 16) == 1, f"the contract refuses {call}"
        assert self.now == now
        self.ahead = 0  # the block carries the time that was waited for
        self.reached[ACCEPTED] += 1
        self.note(before, events)
        assert_nothing_is_undone(before, self.state)
        self.changed |= isinstance(call, ProposeCall | VoteCall)
        return ACCEPTED

    def refused_by_contract(self, key: int, call: LedgerCall) -> str:
        asked = {
            "from": key_of(key).address,
            "to": self.swarm.contract,
            "data": "0x" + call_data(call).hex(),
        }
        try:
            self.chain.request("eth_call", [asked])
        except RpcError as error:
            return name_of(refusal(error.as_object()))
        return ACCEPTED

    def send(self, key: int, call: LedgerCall) -> Any:
        """Send without asking first what it would cost: the rules have said that it is taken."""
        account = key_of(key)
        transaction = {
            "type": 2,
            "chainId": self.chain.chain_id,
            "nonce": int(self.chain.request("eth_getTransactionCount", [account.address]), 16),
            "to": self.swarm.contract,
            "value": 0,
            "gas": 5_000_000,
            "maxFeePerGas": 0,
            "maxPriorityFeePerGas": 0,
            "data": "0x" + call_data(call).hex(),
        }
        raw = account.sign_transaction(transaction).raw_transaction
        digest_ = self.chain.request("eth_sendRawTransaction", ["0x" + raw.hex()])
        return self.chain.request("eth_getTransactionReceipt", [digest_])

    @property
    def now(self) -> int:
        return int(self.chain.request("eth_getBlockByNumber", ["latest", False])["timestamp"], 16)

    def wait(self, seconds: int) -> None:
        self.chain.advance_clock(seconds)
        self.ahead += seconds

    @property
    def view(self) -> LedgerView:
        """What the contract would answer, by the rules; `compare` asks it."""
        return self.state.view(self.now + (self.ahead or 1))

    def compare(self) -> None:
        view = self.swarm.view
        assert view == self.view
        for name in ("led", "benched"):
            assert self.read(name) == bits(getattr(self.state, name)), name
        if not self.changed:
            return
        self.changed = False
        reader = self.swarm.reader
        assert reader.proposals() == len(self.state.proposals)
        for proposal in self.state.proposals[-2:]:
            assert reader.proposal(proposal.id) == proposal
        assert reader.endpoints() == self.state.endpoints

    def compare_history(self) -> None:
        """What was signed and announced is enough to come to the same state."""
        for proposal in self.state.proposals:
            assert self.swarm.reader.proposal(proposal.id) == proposal
        assert replay(export(self.chain, self.swarm.contract)).state == self.state

    def read(self, name: str) -> Any:
        call = {"to": self.swarm.contract, "data": "0x" + encode_call(name, {}).hex()}
        answer = self.chain.request("eth_call", [call])
        return decode_result(name, bytes.fromhex(answer[2:]))[""]

    def note(self, before: State, events: list[Event]) -> None:
        names = [name for name, _ in events]
        self.reached.update(names)
        for name, fields in events:
            if name == "RoundVoided":
                self.reached[f"void: {VOID_REASONS[fields['reason']]}"] += 1
            elif name == "Enacted":
                change = self.state.proposals[fields["id"] - 1].change
                self.reached[f"enacted: {change.kind.name}"] += 1
                waited = before.pending == fields["id"]
                self.reached[f"enacted {'after a round' if waited else 'at once'}"] += 1
            elif name == "MemberSuspended":
                self.reached[f"suspended {'by vote' if fields['byVote'] else 'for cause'}"] += 1
            elif name == "MemberAdmitted" and fields["member"] < len(before.members):
                self.reached["seat reused"] += 1
            elif name == "Certified" and self.state.retired:
                self.reached["certified after a member left"] += 1

    # --- moves --------------------------------------------------------------------------------

    def key(self, seat: int) -> int:
        member = self.state.members[seat % len(self.state.members)]
        return OUTSIDER if member.vacant else number_of(member.account)

    @property
    def merging(self) -> bool:
        return self.state.current.round.phase is Phase.MERGING

    @property
    def next_round(self) -> int:
        return self.state.current.round.number + (not self.state.running)

    @property
    def waiting(self) -> list[int]:
        """Seats that may still seal or abstain in the round that is sealing, or the coming one."""
        round_ = self.state.current.round
        if not self.state.running:
            return sorted(self.state.eligible - self.state.ahead)
        spoken = {seal.member for seal in round_.seals}.union(round_.abstained)
        return sorted(self.state.eligible - spoken)

    def seal_call(self, seat: int, **changes: Any) -> SealCall:
        running = self.state.current.round.phase is Phase.SEALING
        usual = {"parent": self.state.current.round.parent if running else MODEL}
        call = self.swarm.seal_call(self.key(seat), self.next_round, self.view)
        return replace(call, **(usual | changes))

    def seal(self, seat: int, **changes: Any) -> str:
        return self.both(self.key(seat), self.seal_call(seat, **changes))

    def carry(self, by: int, *calls: tuple[int, SealCall]) -> str:
        """`calls` are (seat whose key signs, seal)."""
        signed = [(self.key(seat), call) for seat, call in calls]
        return self.both(self.key(by), self.swarm.carry_call(*signed))

    def seal_all(self, *, carried: bool = False) -> None:
        """Everyone who may seal does, until the round is drawn or void."""
        if self.merging:
            return
        if carried and self.waiting:
            self.carry(
                self.waiting[0], *((i, self.seal_call(i, verified=True)) for i in self.waiting)
            )
            return
        number = self.next_round
        for seat in self.waiting:
            if self.next_round == number and not self.merging:
                self.seal(seat, verified=True)

    def certificate(self, **changes: Any) -> Certificate:
        return self.swarm.certificate(self.view, **changes)

    def certify_call(self, certificate: Certificate, signers: list[int]) -> CertifyCall:
        return CertifyCall(
            certificate=certificate,
            signatures=tuple(
                (seat, self.swarm.signature(self.key(seat), certificate))
                for seat in sorted(set(signers))
            ),
        )

    def certify(self, by: int = 0) -> str:
        call = self.certify_call(self.certificate(), self.swarm.officers(self.view))
        return self.both(self.key(by), call)

    def end_round(self, by: int = 0) -> None:
        """Bring the running round to its end, whatever that is."""
        by = self.someone(by)
        round_ = self.state.current.round
        if round_.phase is Phase.SEALING:
            self.wait(self.state.policy.seal_seconds + 1)
            self.both(self.key(by), CloseCall(round=round_.number))
        if self.merging:
            self.certify(by)

    def stall(self, by: int = 0) -> None:
        """Let the leader of a drawn round miss its deadline."""
        round_ = self.state.current.round
        self.wait((self.state.policy.merge_seconds << round_.view) + 1)
        call = AdvanceCall(round=round_.number, view=round_.view)
        self.both(self.key(self.someone(by)), call)

    def someone(self, which: int) -> int:
        seats = sorted(self.state.taken)
        return seats[which % len(seats)]

    def pass_(self, call: ProposeCall, first: int = 0) -> None:
        """Propose, and vote until the proposal is decided."""
        voters = sorted(self.state.taken)
        voters = voters[first % len(voters) :] + voters[: first % len(voters)]
        if self.both(self.key(voters[0]), call) != ACCEPTED:
            return
        proposal = self.state.proposals[-1]
        for seat in voters[1:]:
            now = self.state.proposals[proposal.id - 1]
            if self.state.epoch != proposal.epoch or self.state.pending or now != proposal:
                break
            self.both(self.key(seat), VoteCall(proposal=proposal.id, support=True))
            proposal = self.state.proposals[proposal.id - 1]


class Rules(Pair):
    """The rules alone, without a chain; `log` holds each step's states and events."""

    def __init__(self, n: int, reached: Counter[str], **policy: Any) -> None:
        self.swarm = _Imagined(self, n, **policy)
        self.reached = reached
        self.fresh_key = n
        self.time = START
        self.log: list[tuple[State, State, list[Event]]] = []
        self.state, self.founding = found(
            self.swarm.cards, self.swarm.policy, chain_id=77, contract=self.swarm.contract
        )

    @property
    def view(self) -> LedgerView:
        return self.state.view(self.time + 1)

    def both(self, key: int, call: LedgerCall) -> str:
        self.time += 1
        before = self.state
        try:
            self.state, events = apply(before, key_of(key).address, call, self.time)
        except (NotAMember, TransactionRefused) as error:
            return name_of(error)
        self.note(before, events)
        self.log.append((before, self.state, events))
        return ACCEPTED

    def wait(self, seconds: int) -> None:
        self.time += seconds

    def compare(self) -> None:
        pass

    def compare_history(self) -> None:
        pass


class _Imagined(Swarm):
    """A swarm's shorthand over the rules instead of a chain."""

    class chain:  # noqa: N801 - stands where a chain does
        chain_id = 77

    def __init__(self, rules: Rules, n: int, **policy: Any) -> None:
        self.rules = rules
        self.contract = key_of(98).address
        self.policy = policy_of(n, **policy)
        self.cards = tuple(self.card(i) for i in range(n))

    @property
    def view(self) -> LedgerView:
        return self.rules.view


def name_of(error: Exception) -> str:
    return error.reason if isinstance(error, TransactionRefused) else type(error).__name__


def assert_nothing_is_undone(before: State, after: State) -> None:
    """What is over stays as it is; epsilon never falls, and spent never exceeds the cap."""
    for old, new in zip(before.records, after.records, strict=False):
        if old.round.phase is Phase.CERTIFIED:
            # Whoever was late may still say so.
            assert replace(old.round, late=new.round.late) == new.round
        elif old.round.phase is Phase.VOID:
            assert new.round.phase is Phase.VOID
    for old, new in zip(before.members, after.members, strict=False):
        if old.account == new.account:
            assert new.epsilon >= old.epsilon
    for member in after.members:
        assert member.epsilon <= after.policy.epsilon_cap
    assert after.epoch >= before.epoch
    assert after.retired >= before.retired
    assert not after.retired.intersection(m.account.lower() for m in after.members)


def assert_rounds_hold(state: State) -> None:
    """Rounds have one model, certificates cover sealers only, committees have their bound."""
    for record in state.records:
        round_ = record.round
        sealers = {seal.member for seal in round_.seals}
        assert {seal.parent for seal in round_.seals} <= {round_.parent}
        assert sealers.isdisjoint(round_.abstained)
        assert sealers.issuperset({*round_.succession, *round_.committee})
        if round_.certificate is not None:
            assert sealers.issuperset(round_.certificate.included)
