"""HPKE (RFC 9180) in base mode, to the level at which a third party can redo a decryption.

X25519, HKDF-SHA256, ChaCha20-Poly1305, one message. The library's own HPKE neither takes an
ephemeral key nor a shared secret; what is sealed here it opens, and the other way round.
"""

from __future__ import annotations

import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

_KEM_SUITE: Final = b"KEM" + bytes.fromhex("0020")
_SUITE: Final = b"HPKE" + bytes.fromhex("0020 0001 0003")
_VERSION: Final = b"HPKE-v1"
TAG_BYTES: Final = 16


def shared_secret(private_key: bytes, public_key: bytes) -> bytes:
    """X25519 of the two; ValueError if it is zero, as with a point of small order."""
    key = X25519PrivateKey.from_private_bytes(private_key)
    return key.exchange(X25519PublicKey.from_public_bytes(public_key))


def seal(
    plain: bytes, *, ephemeral_key: bytes, ephemeral: bytes, public_key: bytes, info: bytes
) -> bytes:
    """Ciphertext and tag, under the key pair (`ephemeral_key`, `ephemeral`) of one dealing.

    `ephemeral` and what this returns are an RFC 9180 message. The same ephemeral pair may serve
    several receivers, as the key depends on `public_key` and `info` too.
    """
    secret = shared_secret(ephemeral_key, public_key)
    key, nonce = _schedule(secret, ephemeral=ephemeral, public_key=public_key, info=info)
    return ChaCha20Poly1305(key).encrypt(nonce, plain, b"")


def open_with(
    secret: bytes, sealed: bytes, *, ephemeral: bytes, public_key: bytes, info: bytes
) -> bytes | None:
    """The plaintext, for whoever knows the X25519 shared secret; None if it does not open."""
    key, nonce = _schedule(secret, ephemeral=ephemeral, public_key=public_key, info=info)
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, b"")
    except InvalidTag:
        return None


def _schedule(
    secret: bytes, *, ephemeral: bytes, public_key: bytes, info: bytes
) -> tuple[bytes, bytes]:
    """(key, nonce) of the AEAD, after RFC 9180, sections 4.1 and 5.1."""
    pseudo_random = _extract(_KEM_SUITE, b"", b"eae_prk", secret)
    shared = _expand(_KEM_SUITE, pseudo_random, b"shared_secret", ephemeral + public_key, 32)
    context = (
        b"\0"
        + _extract(_SUITE, b"", b"psk_id_hash", b"")
        + _extract(_SUITE, b"", b"info_hash", info)
    )
    final = _extract(_SUITE, shared, b"secret", b"")
    key = _expand(_SUITE, final, b"key", context, 32)
    return key, _expand(_SUITE, final, b"base_nonce", context, 12)


def _extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), _VERSION + suite + label + material, "sha256")


def _expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand of 32 bytes at most, hence of one block."""
    text = length.to_bytes(2, "big") + _VERSION + suite + label + info
    return hmac.digest(key, text + b"\1", "sha256")[:length]
