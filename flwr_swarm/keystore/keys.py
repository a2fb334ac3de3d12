"""A member's two keys: one signs for the chain, one opens key shares."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from eth_account import Account

from ..chain.signing import sign_certificate, sign_enrolment
from ..encryption import generate_encryption_key
from ..encryption.envelope import public_key_of
from ..protocol.election import commitment, derive_secret
from ..protocol.messages import EnrolReply, EnrolRequest
from ..protocol.types import Certificate


@dataclass(frozen=True)
class MemberKeys:
    """Implements `protocol.member.Identity`.

    Parameters
    ----------
    account_key : bytes
        32-byte secp256k1 private key of the chain account. Election secrets derive from it.
    share_key : bytes
        32-byte X25519 private key.
    former : tuple of bytes
        Older X25519 private keys, newest first: a rotation that a certificate enacts leaves
        that round's shares sealed to one of them.
    """

    account_key: bytes = field(repr=False)
    share_key_bytes: bytes = field(repr=False)
    former: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def generate(cls, random: Callable[[int], bytes] = os.urandom) -> MemberKeys:
        """Fresh keys from the system's randomness."""
        private, _ = generate_encryption_key(random)
        return cls(account_key=bytes(Account.create(random(32)).key), share_key_bytes=private)

    @cached_property
    def account(self) -> str:
        return str(Account.from_key(self.account_key).address)

    @cached_property
    def encryption_key(self) -> bytes:
        return public_key_of(self.share_key_bytes)

    def share_keys(self) -> tuple[bytes, ...]:
        return (self.share_key_bytes, *self.former)

    def secret(self, chain_id: int, contract: str, index: int) -> bytes:
        return derive_secret(self.account_key, chain_id, contract, index)

    def commitment(self, chain_id: int, contract: str, index: int) -> bytes:
        own = self.secret(chain_id, contract, index)
        return commitment(chain_id, contract, self.account, own)

    def sign(self, chain_id: int, contract: str, certificate: Certificate) -> bytes:
        return sign_certificate(self.account_key, chain_id, contract, certificate)

    def enrol(self, request: EnrolRequest, label: str) -> EnrolReply:
        """Sign who this node is, with the commitment to its first secret."""
        first = self.commitment(request.chain_id, request.contract, 0)
        return EnrolReply(
            account=self.account,
            encryption_key=self.encryption_key,
            commitment=first,
            signature=sign_enrolment(
                self.account_key,
                run_id=request.run_id,
                node_id=request.node_id,
                encryption_key=self.encryption_key,
                seed=first,
            ),
            label=label,
        )
