"""A small swarm on a real in-process EVM, and shorthand for its members' calls."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from flwr_swarm._exceptions import NotAMember, TransactionRefused
from flwr_swarm.chain.client import ChainLedger, ReadOnlyLedger
from flwr_swarm.chain.deploy import contract_address, deploy
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.signing import sign_certificate
from flwr_swarm.protocol.election import commitment, derive_secret
from flwr_swarm.protocol.ledger import (
    AbstainCall,
    AdvanceCall,
    CertifyCall,
    CloseCall,
    LedgerCall,
    SealCall,
)
from flwr_swarm.protocol.types import Certificate, LedgerView, Member, Policy

START = 1_700_000_000
MODEL = hashlib.sha256(b"model").digest()


def digest(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


def key_of(index: int) -> LocalAccount:
    return Account.from_key(digest("key", index))


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


def policy_of(n: int, **changes: Any) -> Policy:
    usual = Policy(
        threshold=n // 2 + 1,
        min_included=min(2, n),
        witnesses=0,
        close_at=n,
        seal_seconds=600,
        merge_seconds=60,
        terms=digest("terms"),
    )
    return replace(usual, **changes)


class Swarm:
    """`n` members with derived secrets; `ledgers[i]` signs as member i."""

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
        self.keys = [key_of(i) for i in range(n)]
        deployer = Account.from_key(digest("founder"))
        nonce = int(chain.request("eth_getTransactionCount", [deployer.address]), 16)
        self.contract = contract_address(deployer.address, nonce)
        self.policy = policy_of(n, **policy)
        self.genesis = tuple(
            Member(
                index=i,
                account=key.address,
                encryption_key=digest("encryption", i),
                commitment=self.commitment(i, 0),
            )
            for i, key in enumerate(self.keys)
        )
        address = deploy(
            self.endpoint, members=self.genesis, policy=self.policy, key=deployer, timeout=10
        )
        assert address == self.contract
        self.ledgers = [self.ledger(key) for key in self.keys]
        self.reader = ReadOnlyLedger(
            url=self.endpoint, contract=self.contract, chain_id=chain.chain_id, timeout=10
        )

    def ledger(self, key: LocalAccount) -> ChainLedger:
        return ChainLedger(
            url=self.endpoint,
            contract=self.contract,
            key=key,
            chain_id=self.chain.chain_id,
            timeout=10,
        )

    def secret(self, i: int, k: int) -> bytes:
        return derive_secret(bytes(self.keys[i].key), self.chain.chain_id, self.contract, k)

    def commitment(self, i: int, k: int) -> bytes:
        return commitment(
            self.chain.chain_id, self.contract, self.keys[i].address, self.secret(i, k)
        )

    @property
    def view(self) -> LedgerView:
        return self.reader.view()

    def seal_call(
        self, i: int, number: int, view: LedgerView | None = None, /, **changes: Any
    ) -> SealCall:
        member = (view or self.view).members[i]
        usual = SealCall(
            round=number,
            parent=MODEL,
            payload_hash=digest("payload", number, i),
            shares_hash=digest("shares", number, i),
            reveal=self.secret(i, member.reveals),
            commitment=self.commitment(i, member.reveals + 1),
            epsilon=member.epsilon,
            verified=False,
        )
        return replace(usual, **changes)

    def seal(self, i: int, number: int, **changes: Any) -> None:
        self.ledgers[i].submit(self.seal_call(i, number, **changes))

    def seal_all(self, number: int, *members: int, **changes: Any) -> LedgerView:
        view = self.view
        for i in members or range(len(self.keys)):
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
        return sign_certificate(self.keys[i], self.chain.chain_id, self.contract, certificate)

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


def refused(name: str, ledger: ChainLedger, call: LedgerCall) -> None:
    """The contract refuses `call` by `name`, and nothing changes."""
    before = ledger.view()
    if name == "NotAMember":
        with pytest.raises(NotAMember):
            ledger.submit(call)
    else:
        with pytest.raises(TransactionRefused) as caught:
            ledger.submit(call)
        assert caught.value.reason == name
    assert replace(ledger.view(), now=0) == replace(before, now=0)
