"""A small swarm on a real in-process EVM, and shorthand for its members' calls."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from flwr_swarm._exceptions import NotAMember, TransactionRefused
from flwr_swarm.chain.address import contract_address
from flwr_swarm.chain.client import ChainLedger, ReadOnlyLedger
from flwr_swarm.chain.deploy import deploy
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.founding import found
from flwr_swarm.chain.history import export
from flwr_swarm.chain.replay import replay
from flwr_swarm.chain.replica import apply
from flwr_swarm.chain.signing import sign_certificate, sign_consent, sign_seal
from flwr_swarm.chain.state import State
from flwr_swarm.protocol.election import commitment, derive_secret
from flwr_swarm.protocol.ledger import (
    AbstainCall,
    AccuseCall,
    AdvanceCall,
    CarryCall,
    CertifyCall,
    CloseCall,
    LateCall,
    LedgerCall,
    ProposeCall,
    SealCall,
    VoteCall,
)
from flwr_swarm.protocol.types import Card, Certificate, Change, Kind, LedgerView, Policy

START = 1_700_000_000
FOREVER = 2**64 - 1
MODEL = hashlib.sha256(b"model").digest()


def digest(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


@cache
def key_of(index: int) -> LocalAccount:
    return Account.from_key(digest("key", index))


@cache
def number_of(account: str) -> int:
    """Which of the first hundred keys has `account`."""
    return next(i for i in range(100) if key_of(i).address == account)


def frozen_chain(chain_id: int = 77) -> EmbeddedChain:
    """A chain whose clock stands still but for `advance_clock`."""
    return EmbeddedChain(chain_id=chain_id, clock=lambda: START)


@contextmanager
def undone(chain: EmbeddedChain) -> Iterator[EmbeddedChain]:
    mark = chain.snapshot()
    try:
        yield chain
    finally:
        chain.revert(mark)


def least_threshold(n: int) -> int:
    """The smallest t with 2 t > n + f."""
    return (n + (n - 1) // 3) // 2 + 1


def policy_of(n: int, **changes: Any) -> Policy:
    usual = Policy(
        threshold=least_threshold(n),
        min_included=min(2, n),
        witnesses=0,
        close_at=n,
        seal_seconds=600,
        merge_seconds=60,
        terms=digest("terms"),
    )
    return replace(usual, **changes)


class Made(dict[int, Any]):
    """A dictionary that makes what is not in it."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, i: int) -> Any:
        return self.setdefault(i, self._make(i))


class Swarm:
    """`n` members with derived secrets. Key i is member i's; any other key is an outsider's,
    until it is admitted. `ledgers[i]` signs with key i."""

    def __init__(
        self,
        chain: EmbeddedChain,
        n: int,
        *,
        endpoint: Any = None,
        **policy: Any,
    ) -> None:
        self.chain = chain
        self.endpoint = chain if endpoint is None else endpoint
        self.n = n
        self.keys = Made(key_of)
        deployer = Account.from_key(digest("founder"))
        nonce = int(chain.request("eth_getTransactionCount", [deployer.address]), 16)
        self.contract = contract_address(deployer.address, nonce)
        self.policy = policy_of(n, **policy)
        self.cards = tuple(self.card(i) for i in range(n))
        address = deploy(
            self.endpoint, cards=self.cards, policy=self.policy, key=deployer, timeout=60
        )
        assert address == self.contract
        self.ledgers = Made(lambda i: self.ledger(key_of(i)))
        self.reader = ReadOnlyLedger(
            url=self.endpoint, contract=self.contract, chain_id=chain.chain_id, timeout=60
        )

    def card(self, i: int, **changes: Any) -> Card:
        """What key `i` would say of itself; key i is member i among the founders."""
        usual = Card(
            account=key_of(i).address,
            encryption_key=digest("encryption", i),
            commitment=self.commitment(i, 0),
            endpoint=f"https://site-{i}.example",
            weight_class=i % 20,
        )
        return replace(usual, **changes)

    def again(self) -> Swarm:
        """The same swarm with ledgers of its own, for another test."""
        other = copy.copy(self)
        other.ledgers = Made(lambda i: self.ledger(key_of(i)))
        return other

    def replica(self) -> State:
        """The state in Python that the contract was founded with."""
        state, _ = found(
            self.cards, self.policy, chain_id=self.chain.chain_id, contract=self.contract
        )
        return state

    def ledger(self, key: LocalAccount) -> ChainLedger:
        return ChainLedger(
            url=self.endpoint,
            contract=self.contract,
            key=key,
            chain_id=self.chain.chain_id,
            timeout=60,
        )

    def secret(self, i: int, k: int) -> bytes:
        return derive_secret(bytes(key_of(i).key), self.chain.chain_id, self.contract, k)

    def commitment(self, i: int, k: int) -> bytes:
        secret = self.secret(i, k)
        return commitment(self.chain.chain_id, self.contract, key_of(i).address, secret)

    @property
    def view(self) -> LedgerView:
        return self.reader.view()

    def seal_call(
        self, i: int, number: int, view: LedgerView | None = None, /, **changes: Any
    ) -> SealCall:
        known = (view or self.view).member_at(key_of(i).address)
        reveals, epsilon = (known.reveals, known.epsilon) if known else (0, 0)
        usual = SealCall(
            round=number,
            parent=MODEL,
            payload_hash=digest("payload", number, i),
            shares_hash=digest("shares", number, i),
            reveal=self.secret(i, reveals),
            commitment=self.commitment(i, reveals + 1),
            epsilon=epsilon,
            verified=False,
        )
        return replace(usual, **changes)

    def seal(self, i: int, number: int, **changes: Any) -> None:
        self.ledgers[i].submit(self.seal_call(i, number, **changes))

    def seal_all(self, number: int, *members: int, **changes: Any) -> LedgerView:
        view = self.view
        for i in members or range(self.n):
            self.ledgers[i].submit(self.seal_call(i, number, view, **changes))
        return self.view

    def abstain(self, i: int, number: int) -> None:
        self.ledgers[i].submit(AbstainCall(round=number))

    def close(self, number: int, i: int = 0) -> None:
        self.ledgers[i].submit(CloseCall(round=number))

    def advance(self, number: int, view: int, i: int = 0) -> None:
        self.ledgers[i].submit(AdvanceCall(round=number, view=view))

    def certificate(self, view: LedgerView | None = None, /, **changes: Any) -> Certificate:
        current = (view or self.view).current
        usual = Certificate(
            round=current.number,
            view=current.view,
            included=tuple(seal.member for seal in current.seals),
            aggregate_hash=digest("sum", current.number),
        )
        return replace(usual, **changes)

    def officers(self, view: LedgerView | None = None) -> list[int]:
        current = (view or self.view).current
        return sorted({current.leader, *current.committee} - {None})

    def signature(self, i: int, certificate: Certificate) -> bytes:
        return sign_certificate(key_of(i), self.chain.chain_id, self.contract, certificate)

    def certify_call(self, certificate: Certificate, signers: list[int]) -> CertifyCall:
        pairs = tuple((i, self.signature(i, certificate)) for i in sorted(signers))
        return CertifyCall(certificate=certificate, signatures=pairs)

    def certify(self, i: int = 0) -> LedgerView:
        view = self.view
        call = self.certify_call(self.certificate(view), self.officers(view))
        self.ledgers[i].submit(call)
        return self.view

    def whole_round(self, number: int, *members: int, **changes: Any) -> LedgerView:
        self.seal_all(number, *members, **changes)
        return self.certify()

    # --- seals carried and late, governance, accusations --------------------------------------

    def carry_call(self, *calls: tuple[int, SealCall]) -> CarryCall:
        """`calls` are (key, seal); each key signs its seal."""
        return CarryCall(
            seals=tuple(call for _, call in calls),
            signatures=tuple(
                sign_seal(key_of(i), self.chain.chain_id, self.contract, call) for i, call in calls
            ),
        )

    def late(self, i: int, number: int, epsilon: int) -> None:
        self.ledgers[i].submit(LateCall(round=number, epsilon=epsilon))

    def consent(self, i: int, card: Card, seat: int | None, expires: int = FOREVER) -> bytes:
        return sign_consent(
            key_of(i), self.chain.chain_id, self.contract, seat=seat, card=card, expires=expires
        )

    def change(self, kind: Kind, seat: int | None = None, /, **policy: Any) -> Change:
        """A change whose policy follows the number of members."""
        view = self.view
        n = len(view.seated) + {Kind.ADMIT: 1, Kind.REMOVE: -1}.get(kind, 0)
        usual = replace(
            view.policy,
            threshold=least_threshold(n) if n else 1,
            min_included=min(view.policy.min_included, max(n, 1)),
            witnesses=min(view.policy.witnesses, n),
        )
        return Change(kind=kind, seat=seat, policy=replace(usual, **policy), expires=FOREVER)

    def admit_call(self, i: int, /, *, card: dict[str, Any] | None = None, **policy: Any) -> Any:
        """Propose that key `i` joins, with its consent."""
        on_card = self.card(i, **(card or {}))
        change = replace(self.change(Kind.ADMIT, **policy), card=on_card)
        return ProposeCall(change=change, consent=self.consent(i, on_card, None))

    def rotate_call(self, seat: int, i: int, /, **card: Any) -> ProposeCall:
        """Propose that `seat` goes on with key `i`."""
        on_card = self.card(i, **card)
        change = replace(self.change(Kind.ROTATE, seat), card=on_card)
        return ProposeCall(change=change, consent=self.consent(i, on_card, seat))

    def enact(self, call: ProposeCall | Change, *voters: int) -> LedgerView:
        """Propose and vote; by default the first floor(2n/3) + 1 of those seated do."""
        first, *others = voters or self.majority()
        propose = call if isinstance(call, ProposeCall) else ProposeCall(change=call)
        self.ledgers[first].submit(propose)
        number = self.reader.proposals()
        for i in others:
            self.ledgers[i].submit(VoteCall(proposal=number, support=True))
        return self.view

    def majority(self) -> list[int]:
        """Keys enough for a change, in the order of their seats."""
        seated = self.view.seated
        return [number_of(m.account) for m in seated[: 2 * len(seated) // 3 + 1]]

    def accusation(self, i: int, seat: int, number: int, view: int = 0, /) -> AccuseCall:
        """Two statements that key `i` signs about one round and view."""
        statements = [
            Certificate(round=number, view=view, included=(0, 1), aggregate_hash=digest(side))
            for side in ("one", "other")
        ]
        first, second = ((s, self.signature(i, s)) for s in statements)
        return AccuseCall(member=seat, first=first, second=second)


def refused(name: str, ledger: ChainLedger, call: LedgerCall) -> None:
    """The contract refuses `call` by `name`, and nothing changes: no block is mined.

    On a chain of this process the rules in Python must refuse it by the same name.
    """
    node = ledger._node
    height = node.request("eth_blockNumber", [])
    with pytest.raises((NotAMember, TransactionRefused)) as caught:
        ledger.submit(call)
    assert getattr(caught.value, "reason", "NotAMember") == name
    assert node.request("eth_blockNumber", []) == height
    if isinstance(node, EmbeddedChain):
        state = replay(export(node, ledger.contract)).state
        now = max(node._newest_time() + 1, int(node._clock()) + node._offset)
        with pytest.raises((NotAMember, TransactionRefused)) as by_rules:
            apply(state, ledger.account, call, now)
        assert getattr(by_rules.value, "reason", "NotAMember") == name
