"""One private key in one encrypted JSON file: Web3 Secret Storage, version 3, with scrypt."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json

from .._exceptions import KeystoreError, WrongPassword
from ..protocol.hashing import parse_json
from . import files

STANDARD_COST: Final = 1 << 18
"""scrypt's N, with r = 8 and p = 1: 256 MiB of memory and about a second for a try."""
SHORTEST_PASSWORD: Final = 12
_LARGEST_COST: Final = 1 << 22
_MOST_BLOCKS: Final = 16
_KEY_BYTES: Final = 32
_DEEPEST: Final = 4


def check_new(password: str, cost: int) -> None:
    """Refuse a password that is too short for a new key, and a cost that scrypt cannot have.

    Raises
    ------
    KeystoreError
    """
    if len(password) < SHORTEST_PASSWORD:
        raise KeystoreError(
            f"the password has {len(password)} characters, at least {SHORTEST_PASSWORD} are "
            "needed; a few random words are easy to keep"
        )
    if not (2 <= cost <= _LARGEST_COST and cost & (cost - 1) == 0):
        raise KeystoreError(
            f"scrypt's cost must be a power of two up to {_LARGEST_COST}, got {cost}; use "
            f"{STANDARD_COST}"
        )


def encrypted(key: bytes, password: str, cost: int) -> dict[str, Any]:
    """Return a 32-byte key as the file's fields; `address` is that of a chain account."""
    return create_keyfile_json(key, _bytes(password), kdf="scrypt", iterations=cost)


def parsed(path: Path) -> dict[str, Any]:
    """Read the fields of a key file, still encrypted.

    Raises
    ------
    KeystoreExposed, KeystoreError
    """
    data = files.read_private(path)
    try:
        fields = parse_json(data, deepest=_DEEPEST)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise KeystoreError(f"{path} is no key file; restore it from your backup")
    return fields


def decrypted(path: Path, password: str) -> bytes:
    """Read and decrypt the 32-byte key in a key file.

    Raises
    ------
    WrongPassword
        The password is another one, or the file's checksum was changed.
    KeystoreExposed, KeystoreError
    """
    fields = parsed(path)
    key, wrong = b"", False
    try:
        if _affordable(fields):
            key = decode_keyfile_json(fields, _bytes(password))
    except Exception as error:  # damaged files fail in many ways, and texts may quote what they had
        wrong = "MAC mismatch" in str(error)
    # Raised here, not above: an exception that was being handled would keep the frames of the
    # library, and with them the password, in a traceback.
    if wrong:
        raise WrongPassword(
            f"the password does not open {path}; try another, or restore the file from your backup"
        )
    if len(key) != _KEY_BYTES:
        raise KeystoreError(f"{path} is damaged; restore it from your backup")
    return bytes(key)


def _affordable(fields: dict[str, Any]) -> bool:
    """Whether a file asks for no more memory and time than this version's own files may."""
    crypto = fields["crypto"]
    parameters = crypto["kdfparams"]
    return bool(
        crypto["kdf"] == "scrypt"
        and 0 < parameters["n"] <= _LARGEST_COST
        and 0 < parameters["r"] * parameters["p"] <= _MOST_BLOCKS
    )


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogateescape")
