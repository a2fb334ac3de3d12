"""EIP-712 signatures: on certificates, carried seals, consents to a seat, and enrolments.

Each signature is valid for one chain, one contract or one run, and one purpose.
"""

from __future__ import annotations

from typing import Any, Final

from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from flwr_swarm._exceptions import WireError
from flwr_swarm.protocol.ledger import SealCall
from flwr_swarm.protocol.types import Card, Certificate

from .client import account_of
from .transactions import HALF_ORDER
from .translate import NO_SEAT, bits, card_fields, seal_fields

SIGNATURE_BYTES: Final = 65
_NAME: Final = "flwr_swarm"
_VERSION: Final = "1"
_CERTIFICATE: Final = [
    {"name": "round", "type": "uint64"},
    {"name": "view", "type": "uint8"},
    {"name": "included", "type": "uint256"},
    {"name": "aggregateHash", "type": "bytes32"},
]
_SEAL: Final = [
    {"name": "round", "type": "uint64"},
    {"name": "parent", "type": "bytes32"},
    {"name": "payloadHash", "type": "bytes32"},
    {"name": "sharesHash", "type": "bytes32"},
    {"name": "reveal", "type": "bytes32"},
    {"name": "commitment", "type": "bytes32"},
    {"name": "epsilon", "type": "uint64"},
    {"name": "verified", "type": "bool"},
]
_CONSENT: Final = [
    {"name": "seat", "type": "uint8"},
    {"name": "account", "type": "address"},
    {"name": "encryptionKey", "type": "bytes32"},
    {"name": "commitment", "type": "bytes32"},
    {"name": "tlsHash", "type": "bytes32"},
    {"name": "endpoint", "type": "string"},
    {"name": "epsilon", "type": "uint64"},
    {"name": "weightClass", "type": "uint8"},
    {"name": "expires", "type": "uint64"},
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
    message = {
        "round": certificate.round,
        "view": certificate.view,
        "included": bits(certificate.included),
        "aggregateHash": certificate.aggregate_hash,
    }
    return _digest(_domain(chain_id, contract), {"Certificate": _CERTIFICATE}, message)


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


def sign_seal(key: bytes | LocalAccount, chain_id: int, contract: str, call: SealCall) -> bytes:
    """Return the 65-byte signature with which another member may carry this seal."""
    return sign_digest(key, _seal_digest(chain_id, contract, call))


def recover_sealer(chain_id: int, contract: str, call: SealCall, signature: bytes) -> str:
    """Return the checksummed address that signed a seal.

    Raises
    ------
    WireError
        The signature is malformed; the contract would refuse it too.
    """
    return recover_signer(_seal_digest(chain_id, contract, call), signature)


def sign_consent(
    key: bytes | LocalAccount,
    chain_id: int,
    contract: str,
    *,
    seat: int | None,
    card: Card,
    expires: int,
) -> bytes:
    """Return the 65-byte signature by which the account on `card` consents to a seat.

    Parameters
    ----------
    seat : int or None
        The seat whose keys change; None for an admission.
    expires : int
        Time after which the consent is void, in seconds since 1970.
    """
    return sign_digest(key, _consent_digest(chain_id, contract, seat, card, expires))


def recover_consent(
    chain_id: int, contract: str, *, seat: int | None, card: Card, expires: int, signature: bytes
) -> str:
    """Return the checksummed address that consented; the caller compares it with the card's.

    Raises
    ------
    WireError
        The signature is malformed.
    """
    return recover_signer(_consent_digest(chain_id, contract, seat, card, expires), signature)


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


def _seal_digest(chain_id: int, contract: str, call: SealCall) -> bytes:
    return _digest(_domain(chain_id, contract), {"Seal": _SEAL}, seal_fields(call))


def _consent_digest(
    chain_id: int, contract: str, seat: int | None, card: Card, expires: int
) -> bytes:
    message = card_fields(card) | {"seat": NO_SEAT if seat is None else seat, "expires": expires}
    # By hand: an endpoint may hold bytes that are no text, which the library cannot hash.
    message["endpoint"] = keccak(card.endpoint.encode("utf-8", "surrogateescape"))
    kinds = [field["type"].replace("string", "bytes32") for field in _CONSENT]
    values = [message[field["name"]] for field in _CONSENT]
    listed = ",".join(f"{field['type']} {field['name']}" for field in _CONSENT)
    content = keccak(keccak(text=f"Consent({listed})") + encode(kinds, values))
    header = encode_typed_data(_domain(chain_id, contract), {"Empty": []}, {}).header
    return keccak(b"\x19\x01" + header + content)


def _domain(chain_id: int, contract: str) -> dict[str, Any]:
    return {
        "name": _NAME,
        "version": _VERSION,
        "chainId": chain_id,
        "verifyingContract": contract,
    }


def _digest(domain: dict[str, Any], types: dict[str, Any], message: dict[str, Any]) -> bytes:
    signable = encode_typed_data(domain, types, message)
    return keccak(b"\x19" + signable.version + signable.header + signable.body)
