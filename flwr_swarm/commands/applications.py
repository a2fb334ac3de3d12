"""An application: a site's card, signed for one seat of one swarm on one chain, as a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from .._exceptions import ConfigurationError, WireError, WrongChain
from ..chain.enode import LONGEST, Enode
from ..chain.signing import SIGNATURE_BYTES, recover_consent, sign_consent
from ..keystore.keys import MemberKeys
from ..protocol.types import EPSILON_UNIT, HASH_BYTES, ZERO_HASH, Card
from .strict import SEATS, UINT64, address, hexed, read_json, record, text, whole

FORMAT: Final = "flwr_swarm application"
VERSION: Final = 1
DAY: Final = 86_400
LONGEST_DAYS: Final = 3650
LARGEST_WEIGHT_CLASS: Final = 63
_CARD: Final = {
    "account": str,
    "encryption_key": bytes,
    "commitment": bytes,
    "tls_hash": bytes,
    "endpoint": str,
    "epsilon": int,
    "weight_class": int,
}
_FIELDS: Final = ("format", "version", "chain_id", "contract", "seat", "card", "expires", "consent")


@dataclass(frozen=True, kw_only=True)
class Application:
    """What an applicant hands to the members; all of it is public.

    Parameters
    ----------
    chain_id : int
    contract : str
        Checksummed address of the swarm, which need not exist yet.
    seat : int or None
        The seat whose keys change; None for a new one.
    card : Card
    expires : int
        Time after which the consent is void, in seconds since 1970.
    consent : bytes
        65-byte EIP-712 signature of all of the above by the card's account.
    """

    chain_id: int
    contract: str
    seat: int | None
    card: Card
    expires: int
    consent: bytes

    @classmethod
    def sign(
        cls,
        keys: MemberKeys,
        *,
        chain_id: int,
        contract: str,
        seat: int | None,
        card: Card,
        expires: int,
    ) -> Self:
        """Sign `card` with the keys that it names."""
        consent = sign_consent(
            keys.account_key, chain_id, contract, seat=seat, card=card, expires=expires
        )
        return cls(
            chain_id=chain_id,
            contract=contract,
            seat=seat,
            card=card,
            expires=expires,
            consent=consent,
        )

    def check(self, *, chain_id: int, contract: str, now: int) -> None:
        """Refuse an application that this swarm's contract would refuse, or should.

        Raises
        ------
        WrongChain
            It is for another chain or contract.
        ConfigurationError
            Its signature is not the account's, it has expired, or nobody can seal to its key.
        """
        who = self.card.account
        if (self.chain_id, self.contract.lower()) != (chain_id, contract.lower()):
            raise WrongChain(
                f"the application of {who} is for contract {self.contract} on chain "
                f"{self.chain_id}, not for {contract} on chain {chain_id}; let the site apply again"
            )
        try:
            signer = recover_consent(
                chain_id,
                self.contract,
                seat=self.seat,
                card=self.card,
                expires=self.expires,
                signature=self.consent,
            )
        except WireError:
            signer = "nobody"
        if signer != who:
            raise ConfigurationError(
                f"the application of {who} is signed by {signer}: somebody changed it, or made it "
                "up; ask the site for its own"
            )
        if self.expires < now:
            raise ConfigurationError(
                f"the application of {who} expired at {self.expires}, it is {now}; let the site "
                "apply again"
            )
        check_key(self.card)

    def to_json(self) -> dict[str, Any]:
        """Plain data, as the file holds it."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "chain_id": self.chain_id,
            "contract": self.contract,
            "seat": self.seat,
            "card": card_json(self.card),
            "expires": self.expires,
            "consent": "0x" + self.consent.hex(),
        }

    @classmethod
    def from_json(cls, data: object) -> Self:
        """An application that a stranger wrote. Anything unknown, missing or odd is refused."""
        fields = record(data, _FIELDS, "an application")
        if (fields["format"], fields["version"]) != (FORMAT, VERSION):
            raise WireError(
                f"the file is {str(fields['format'])[:40]!r} version {fields['version']!r:.9}, "
                f"expected {FORMAT!r} version {VERSION}"
            )
        seat = fields["seat"]
        return cls(
            chain_id=whole(fields["chain_id"], "chain_id"),
            contract=address(fields["contract"], "contract"),
            seat=None if seat is None else whole(seat, "seat", below=SEATS),
            card=_card(fields["card"]),
            expires=whole(fields["expires"], "expires"),
            consent=hexed(fields["consent"], SIGNATURE_BYTES, "consent"),
        )


def new_card(
    keys: MemberKeys,
    *,
    chain_id: int,
    contract: str,
    endpoint: str = "",
    tls_certificate: Path | None = None,
    epsilon: float = 0.0,
    weight_class: int = 0,
) -> Card:
    """The card of a site for one swarm.

    Parameters
    ----------
    endpoint : str
        Enode URL of its chain node, or empty.
    tls_certificate : Path or None
        Its TLS certificate, PEM or DER; the card holds the certificate's SHA-256.
    epsilon : float
        What its data has spent before.
    weight_class : int
        Binary logarithm of its number of examples, rounded down; 0 for undeclared.

    Raises
    ------
    ConfigurationError
    """
    if not (math.isfinite(epsilon) and 0 <= epsilon * EPSILON_UNIT < UINT64):
        raise ConfigurationError(
            f"epsilon must be >= 0 and finite, got {epsilon}; give what the site's data has spent"
        )
    if not 0 <= weight_class <= LARGEST_WEIGHT_CLASS:
        raise ConfigurationError(
            f"weight class must be from 0 to {LARGEST_WEIGHT_CLASS}, got {weight_class}; give the "
            "binary logarithm of the number of examples, or 0"
        )
    return Card(
        account=keys.account,
        encryption_key=keys.encryption_key,
        commitment=keys.commitment(chain_id, contract, 0),
        tls_hash=ZERO_HASH if tls_certificate is None else fingerprint(tls_certificate),
        endpoint=str(Enode.parse(endpoint)) if endpoint else "",
        epsilon=math.ceil(epsilon * EPSILON_UNIT),
        weight_class=weight_class,
    )


def valid_until(now: float, days: float) -> int:
    """The time after which a consent that is signed `now` is void.

    Raises
    ------
    ConfigurationError
        `days` is not between an hour and ten years.
    """
    if not 1 / 24 <= days <= LONGEST_DAYS:
        raise ConfigurationError(
            f"a consent is valid for an hour up to {LONGEST_DAYS} days, got {days:g} days; try 30"
        )
    return int(now + days * DAY)


def fingerprint(path: Path) -> bytes:
    """SHA-256 of a TLS certificate's DER form, as browsers and openssl show it."""
    try:
        data = path.read_bytes()
        pem = b"-----BEGIN" in data
        found = (x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate)(data)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path} is no X.509 certificate ({type(error).__name__}); give PEM or DER"
        ) from None
    return found.fingerprint(SHA256())


def check_key(card: Card) -> None:
    """Refuse an encryption key of small order: shares to it would be public, or void each round."""
    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(card.encryption_key))
    except ValueError:
        raise ConfigurationError(
            f"the encryption key of {card.account} is of small order, so nobody can seal to it; "
            "let the site make new keys"
        ) from None


def load(path: Path) -> Application:
    """Read an application's file.

    Raises
    ------
    ConfigurationError
        The file cannot be read.
    WireError
        It is no application.
    """
    return Application.from_json(read_json(path))


def card_json(card: Card) -> dict[str, Any]:
    """A card as plain data."""
    fields = {name: getattr(card, name) for name in _CARD}
    return {k: "0x" + v.hex() if isinstance(v, bytes) else v for k, v in fields.items()}


def _card(data: object) -> Card:
    fields = record(data, tuple(_CARD), "a card")
    return Card(
        account=address(fields["account"], "account"),
        encryption_key=hexed(fields["encryption_key"], HASH_BYTES, "encryption_key"),
        commitment=hexed(fields["commitment"], HASH_BYTES, "commitment"),
        tls_hash=hexed(fields["tls_hash"], HASH_BYTES, "tls_hash"),
        endpoint=text(fields["endpoint"], LONGEST, "endpoint"),
        epsilon=whole(fields["epsilon"], "epsilon"),
        weight_class=whole(fields["weight_class"], "weight_class", below=LARGEST_WEIGHT_CLASS + 1),
    )
