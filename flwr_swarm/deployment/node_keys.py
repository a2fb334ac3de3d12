"""A SuperNode's key: what a relay recognises a member's node by. Not the member's chain account."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .._exceptions import ConfigurationError
from ..keystore.files import read_private

_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")


@dataclass(frozen=True, kw_only=True)
class NodeKey:
    """An EC key in OpenSSH's formats, as Flower reads them."""

    public: bytes
    private: bytes = field(repr=False)

    @classmethod
    def create(cls) -> Self:
        """Draw a P-384 key."""
        key = ec.generate_private_key(ec.SECP384R1())
        return cls(
            public=key.public_key().public_bytes(
                serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
            )
            + b"\n",
            private=key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.OpenSSH,
                serialization.NoEncryption(),
            ),
        )


def as_pem(public: bytes, where: str) -> bytes:
    """A public node key as Flower's interfaces take it.

    Raises
    ------
    ConfigurationError
        It is no public EC key of a NIST curve in OpenSSH's format.
    """
    try:
        key = serialization.load_ssh_public_key(public)
    except (ValueError, UnsupportedAlgorithm, NotImplementedError):  # a compressed point
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        raise ConfigurationError(
            f"{where} is no public EC key (NIST P-256, P-384 or P-521) in OpenSSH's format; "
            "ask that member for its node.pub"
        )
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def load_private(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read the private key of this site's own node.

    Raises
    ------
    KeystoreError
        The file is missing, or others can read it.
    ConfigurationError
        It is no such key.
    """
    data = read_private(path)
    try:
        key = serialization.load_ssh_private_key(data, None)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError(
            f"{path} is no private EC key in OpenSSH's format without a passphrase; make one with "
            "ssh-keygen -t ecdsa -b 384 -N '' -f node.key"
        )
    return key
