"""A key share to one holder: HPKE (RFC 9180), bound to round, sender and receiver.

X25519, HKDF-SHA256, ChaCha20-Poly1305, base mode. HPKE proves nothing about the sender: the
sender's seal on chain does, through the hash of all its envelopes. An envelope names the public
key it is sealed to, so that nobody need guess which of a holder's keys it was.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from flwr_swarm._exceptions import ConfigurationError, WireError

from . import hpke
from .context import PROTOCOL, RoundContext
from .dense import pack_residues, unpack_residues
from .modular import Residues
from .parameters import DEGREE, RingParameters
from .randomness import RandomBytes, draw
from .wire import KEY_BYTES, MASKS, Envelope, write_envelope


def generate_encryption_key(random: RandomBytes) -> tuple[bytes, bytes]:
    """A fresh X25519 key pair, (private, public), 32 raw bytes each."""
    key = X25519PrivateKey.from_private_bytes(draw(random, 32))
    return key.private_bytes_raw(), key.public_key().public_bytes_raw()


def public_key_of(private_key: bytes) -> bytes:
    """The public half of a raw X25519 private key."""
    if len(private_key) != KEY_BYTES:
        raise ConfigurationError(
            f"an encryption key has 32 bytes, got {len(private_key)}; generate a new key pair"
        )
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


@dataclass(frozen=True, kw_only=True)
class Channel:
    """From one dealer to one holder in one round.

    Parameters
    ----------
    context : RoundContext
    sender, receiver : int
    public_key : bytes
        32-byte X25519 key of the receiver.
    ephemeral : bytes
        32-byte X25519 key of the dealing, HPKE's encapsulated key.
    """

    context: RoundContext
    sender: int
    receiver: int
    public_key: bytes
    ephemeral: bytes

    @property
    def info(self) -> bytes:
        """What HPKE binds the message to."""
        route = self.sender.to_bytes(2, "big") + self.receiver.to_bytes(2, "big")
        return PROTOCOL + b"key share\0" + self.context.digest() + route + self.public_key


def seal_share(
    share: Residues, channel: Channel, ephemeral_key: bytes, parameters: RingParameters
) -> bytes:
    """The wire form of a share of key and masks, readable only by the channel's receiver.

    Raises
    ------
    ConfigurationError
        If the receiver's public key is not a usable X25519 key.
    """
    if len(channel.public_key) != KEY_BYTES:
        raise ConfigurationError(
            f"member {channel.receiver}'s encryption key has {len(channel.public_key)} bytes, "
            "expected 32; it must rotate its key"
        )
    try:
        sealed = hpke.seal(
            pack_residues(share),
            ephemeral_key=ephemeral_key,
            ephemeral=channel.ephemeral,
            public_key=channel.public_key,
            info=channel.info,
        )
    except ValueError as error:  # a point of small order, which would make the secret public
        raise ConfigurationError(
            f"member {channel.receiver}'s encryption key is not a safe X25519 key; it must rotate "
            "its key"
        ) from error
    envelope = Envelope(
        sender=channel.sender, receiver=channel.receiver, key=channel.public_key, sealed=sealed
    )
    return write_envelope(envelope, parameters)


def open_share(envelope: Envelope, channel: Channel, secret: bytes) -> Residues | None:
    """The share of key and masks, for whoever knows the X25519 shared secret.

    None if the envelope does not open, or holds anything else.
    """
    plain = hpke.open_with(
        secret,
        envelope.sealed,
        ephemeral=channel.ephemeral,
        public_key=channel.public_key,
        info=channel.info,
    )
    if plain is None:
        return None
    try:
        share = unpack_residues(plain)
    except WireError:
        return None
    return share if share.size == DEGREE + MASKS else None
