"""A consortium's own small certificate authority, for trying; real ones bring certificates."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .._exceptions import ConfigurationError

DAYS: Final = 397
"""How long certificates are valid: what browsers accept at most."""
_BACKDATED: Final = timedelta(minutes=10)
"""Members' clocks differ."""


@dataclass(frozen=True, kw_only=True)
class Certified:
    """A certificate with its private key, both as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Authority:
    """Signs the certificates of relays; its own certificate is every site's trust root."""

    root: bytes
    key: bytes = field(repr=False)

    @classmethod
    def create(cls, name: str, *, now: datetime, days: int = DAYS) -> Self:
        """Draw a key and sign its own certificate.

        Parameters
        ----------
        name : str
            What the certificate calls the consortium.
        now : datetime
            With its time zone.
        days : int
            Days until it expires.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        usage = _usage(key_cert_sign=True, crl_sign=True)
        certificate = (
            _builder(subject, subject, key.public_key(), now, days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(root=certificate.public_bytes(serialization.Encoding.PEM), key=_pem(key))

    def certify(
        self, name: str, hosts: Sequence[str], *, now: datetime, days: int = DAYS
    ) -> Certified:
        """Draw a key for a relay and sign its certificate.

        Parameters
        ----------
        name : str
            What the certificate calls the relay.
        hosts : sequence of str
            Names and addresses by which sites reach it.

        Raises
        ------
        ConfigurationError
            There is none, or one is no host.
        """
        if not hosts:
            raise ConfigurationError("a relay's certificate needs the host by which sites reach it")
        ours = x509.load_pem_x509_certificate(self.root)
        signer = serialization.load_pem_private_key(self.key, None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)  # noqa: S101 - made by create
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_name(name), ours.subject, key.public_key(), now, days)
            .add_extension(x509.SubjectAlternativeName([_host(h) for h in hosts]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                critical=False,
            )
            .sign(signer, hashes.SHA256())
        )
        return Certified(
            certificate=certificate.public_bytes(serialization.Encoding.PEM), key=_pem(key)
        )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        return x509.DNSName(text)
    except ValueError:
        raise ConfigurationError(
            f"{text!r} is no host; give an address or a name in ASCII (punycode)"
        ) from None


def _usage(**on: bool) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: on.get(name, False) for name in names})


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
