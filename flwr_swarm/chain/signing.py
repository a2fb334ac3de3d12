"""EIP-712 signatures: a committee's word on a certificate, a member's word on its enrolment.

Each signature is valid for one chain, one contract or one run, and one purpose.
"""

from __future__ import annotations

from typing import Any, Final

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from flwr_swarm._exceptions import WireError
from flwr_swarm.protocol.types import Certificate

from .client import account_of
from .transactions import HALF_ORDER
from .translate import bits

SIGNATURE_BYTES: Final = 65
_NAME: Final = "flwr_swarm"
_VERSION: Final = "1"
_CERTIFICATE: Final = [
    {"name": "round", "type": "uint64"},
    {"name": "view", "type": "uint8"},
    {"name": "included", "type": "uint256"},
    {"name": "aggregateHash", "type": "bytes32"},
]
_ENROLMENT: Final = [
    {"name": "runId", "type": "uint256"},
    {"name": "nodeId", "type": "uint64"},
    {"name": "account", "type": "address"},
    {"name": "encryptionKey", "type": "bytes32"},
    {"name": "seed", "type": "bytes32"},
]


def certificate_digest(chain_id: int, contract: str, certificate: Certificate) -> bytes:
    """Return the 32 bytes that a committee member signs."""
    domain = {
        "name": _NAME,
        "version": _VERSION,
        "chainId": chain_id,
        "verifyingContract": contract,
    }
    message = {
        "round": certificate.round,
        "view": certificate.view,
        "included": bits(certificate.included),
        "aggregateHash": certificate.aggregate_hash,
    }
    return _digest(domain, {"Certificate": _CERTIFICATE}, message)


def sign_certificate(
    key: bytes | LocalAccount, chain_id: int, contract: str, certificate: Certificate
) -> bytes:
    """Return the 65-byte signature r, s, v of `certificate`."""
    return sign_digest(key, certificate_digest(chain_id, contract, certificate))


def recover_certifier(
    chain_id: int, contract: str, certificate: Certificate, signature: bytes
) -> str:
    """Return the checksummed address that signed `certificate`.

    Raises
    ------
    WireError
        The signature is malformed; the contract would refuse it too.
    """
    return recover_signer(certificate_digest(chain_id, contract, certificate), signature)


def enrolment_digest(
    *, run_id: int, node_id: int, account: str, encryption_key: bytes, seed: bytes
) -> bytes:
    """Return the 32 bytes by which a member binds a Flower node to its account and key.

    `seed` is for the caller: what else the enrolment must fix, hashed.
    """
    message = {
        "runId": run_id,
        "nodeId": node_id,
        "account": account,
        "encryptionKey": encryption_key,
        "seed": seed,
    }
    domain = {"name": _NAME, "version": _VERSION}
    return _digest(domain, {"Enrolment": _ENROLMENT}, message)


def sign_enrolment(
    key: bytes | LocalAccount, *, run_id: int, node_id: int, encryption_key: bytes, seed: bytes
) -> bytes:
    """Return the 65-byte signature of an enrolment by the account of `key`."""
    account = account_of(key)
    digest = enrolment_digest(
        run_id=run_id,
        node_id=node_id,
        account=account.address,
        encryption_key=encryption_key,
        seed=seed,
    )
    return sign_digest(account, digest)


def recover_enrolment(
    signature: bytes,
    *,
    run_id: int,
    node_id: int,
    account: str,
    encryption_key: bytes,
    seed: bytes,
) -> str:
    """Return the checksummed address that signed; the caller compares it with `account`.

    Raises
    ------
    WireError
        The signature is malformed.
    """
    digest = enrolment_digest(
        run_id=run_id,
        node_id=node_id,
        account=account,
        encryption_key=encryption_key,
        seed=seed,
    )
    return recover_signer(digest, signature)


def sign_digest(key: bytes | LocalAccount, digest: bytes) -> bytes:
    """Return the 65-byte signature r, s, v of a 32-byte digest."""
    return bytes(Account.unsafe_sign_hash(digest, account_of(key).key).signature)


def recover_signer(digest: bytes, signature: bytes) -> str:
    """Return the checksummed address that signed `digest`.

    Raises
    ------
    WireError
        The signature is not 65 bytes r, s, v with s in the lower half and v 27 or 28.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise WireError(f"a signature has {SIGNATURE_BYTES} bytes, got {len(signature)}")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    v = signature[64]
    if s > HALF_ORDER or v not in {27, 28}:
        raise WireError("the signature is not the one form that the contract accepts")
    try:
        key = Signature(vrs=(v - 27, r, s)).recover_public_key_from_msg_hash(digest)
    except (BadSignature, ValidationError) as error:
        raise WireError("the signature is of no key") from error
    return str(key.to_checksum_address())


def _digest(domain: dict[str, Any], types: dict[str, Any], message: dict[str, Any]) -> bytes:
    signable = encode_typed_data(domain, types, message)
    return keccak(b"\x19" + signable.version + signable.header + signable.body)
