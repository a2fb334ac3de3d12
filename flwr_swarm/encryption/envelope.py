"""A key share to one holder: HPKE (RFC 9180), bound to round, sender and receiver.

X25519, HKDF-SHA256, ChaCha20-Poly1305, base mode. HPKE proves nothing about the sender: the
sender's seal on chain does, through the hash of all its envelopes.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from flwr_swarm._exceptions import ConfigurationError, ShareRefused, WireError

from .context import PROTOCOL, RoundContext
from .modular import Residues
from .parameters import RingParameters
from .randomness import RandomBytes, draw
from .wire import Envelope, pack_residues, read_envelope, unpack_residues, write_envelope

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def generate_encryption_key(random: RandomBytes) -> tuple[bytes, bytes]:
    """A fresh X25519 key pair, (private, public), 32 raw bytes each."""
    key = X25519PrivateKey.from_private_bytes(draw(random, 32))
    return key.private_bytes_raw(), key.public_key().public_bytes_raw()


def public_key_of(private_key: bytes) -> bytes:
    """The public half of a raw X25519 private key."""
    return _private(private_key).public_key().public_bytes_raw()


def _private(key: bytes) -> X25519PrivateKey:
    if len(key) != 32:
        raise ConfigurationError(
            f"an encryption key has 32 bytes, got {len(key)}; generate a new key pair"
        )
    return X25519PrivateKey.from_private_bytes(key)


def _info(context: RoundContext, sender: int, receiver: int, public_key: bytes) -> bytes:
    route = sender.to_bytes(2, "big") + receiver.to_bytes(2, "big")
    return PROTOCOL + b"key share\0" + context.digest() + route + public_key


def seal_share(
    share: Residues,
    *,
    context: RoundContext,
    sender: int,
    receiver: int,
    public_key: bytes,
    parameters: RingParameters,
) -> bytes:
    """The wire form of `share`, readable only by `receiver`, in this round, as from `sender`.

    Raises
    ------
    ConfigurationError
        If the receiver's public key is not a usable X25519 key.
    """
    if len(public_key) != 32:
        raise ConfigurationError(
            f"member {receiver}'s encryption key has {len(public_key)} bytes, expected 32; "
            "it must rotate its key"
        )
    info = _info(context, sender, receiver, public_key)
    try:
        key = X25519PublicKey.from_public_bytes(public_key)
        sealed = _SUITE.encrypt(pack_residues(share), key, info=info)
    except ValueError as error:  # a point of small order, which would make the secret public
        raise ConfigurationError(
            f"member {receiver}'s encryption key is not a safe X25519 key; it must rotate its key"
        ) from error
    return write_envelope(Envelope(sender=sender, receiver=receiver, sealed=sealed), parameters)


def open_share(
    data: bytes,
    *,
    context: RoundContext,
    sender: int,
    receiver: int,
    private_key: bytes,
    parameters: RingParameters,
) -> Residues:
    """The share in an envelope.

    Raises
    ------
    WireError
        If the bytes are not an envelope.
    ShareRefused
        If it is of another sender, receiver or round, sealed to another key, or altered.
    """
    envelope = read_envelope(data, parameters)
    if (envelope.sender, envelope.receiver) != (sender, receiver):
        raise ShareRefused(
            f"the envelope goes from member {envelope.sender} to member {envelope.receiver}, "
            f"expected {sender} to {receiver}"
        )
    key = _private(private_key)
    info = _info(context, sender, receiver, key.public_key().public_bytes_raw())
    try:
        plain = _SUITE.decrypt(envelope.sealed, key, info=info)
        return unpack_residues(plain)
    except (InvalidTag, ValueError, WireError):
        # `from None`: nothing of a failed decryption belongs in a traceback.
        raise ShareRefused(
            f"the key share of member {sender} to member {receiver} does not open in round "
            f"{context.round}: another round, another key, or altered on its way"
        ) from None
