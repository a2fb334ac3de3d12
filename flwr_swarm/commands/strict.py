"""Files of plain data: written once, and read as if the writer meant harm."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from eth_utils.address import is_checksum_address, is_hex_address, to_checksum_address

from .._exceptions import ConfigurationError, WireError
from ..protocol.hashing import parse_json

UINT64: Final = 1 << 64
SEATS: Final = 64
_LARGEST_FILE: Final = 1 << 20
_DEEPEST: Final = 8


def save(path: Path, fields: Mapping[str, Any]) -> None:
    """Write a new file; one that is there stays.

    Raises
    ------
    ConfigurationError
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(fields, indent=2) + "\n")
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {path} ({error.strerror}); choose another name"
        ) from error


def check_new(path: Path) -> None:
    """Refuse what `save` could not write, before anything is made that would go into it.

    Raises
    ------
    ConfigurationError
    """
    if path.exists() or path.is_symlink():
        raise ConfigurationError(f"cannot write {path} (File exists); choose another name")
    if not path.parent.is_dir():
        raise ConfigurationError(
            f"cannot write {path} (there is no folder {path.parent}); make the folder, or choose "
            "another name"
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"cannot write {path} (you may not write in {path.parent}); choose another folder"
        )


def read_json(path: Path) -> Any:
    """Parse a small JSON file from a stranger; a key that is there twice is refused."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key is there twice")
        return found

    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
        if len(data) > _LARGEST_FILE:
            raise ValueError("too long")
        return parse_json(data, deepest=_DEEPEST, pairs=once)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path} ({error.strerror}); check its name") from None
    except ValueError:
        raise WireError(
            f"{path} is not JSON of the expected form; ask for the file again"
        ) from None


def record(data: object, names: tuple[str, ...], what: str) -> dict[str, Any]:
    """`data` as an object with exactly these fields."""
    if not isinstance(data, dict) or set(data) != set(names):
        found = sorted(data) if isinstance(data, dict) else type(data).__name__
        raise WireError(f"{what} has the fields {', '.join(names)}; found {str(found)[:200]}")
    return data


def whole(value: object, name: str, *, below: int = UINT64) -> int:
    """A whole number of a stranger's file."""
    if type(value) is not int or not 0 <= value < below:
        raise WireError(f"{name} must be a whole number from 0 to {below - 1}, got {value!r:.40}")
    return value


def hexed(value: object, size: int, name: str) -> bytes:
    """Bytes of a stranger's file: 0x and lower-case digits, the one form."""
    try:
        found = bytes.fromhex(value[2:]) if isinstance(value, str) else b""
    except ValueError:
        found = b""
    if len(found) != size or value != "0x" + found.hex():
        raise WireError(
            f"{name} must be 0x and {2 * size} lower-case hex digits, got {value!r:.40}"
        )
    return found


def address(value: object, name: str) -> str:
    """A checksummed address of a stranger's file."""
    if not isinstance(value, str) or not is_checksum_address(value):
        raise WireError(f"{name} must be a checksummed chain address, got {value!r:.60}")
    return value


def text(value: object, longest: int, name: str) -> str:
    """A text of a stranger's file, of at most `longest` bytes."""
    try:
        size = len(value.encode("utf-8")) if isinstance(value, str) else -1
    except UnicodeEncodeError:  # JSON can spell half a character
        size = -1
    if not isinstance(value, str) or not 0 <= size <= longest:
        raise WireError(f"{name} must be a text of at most {longest} bytes")
    return value


def given_address(value: str, name: str) -> str:
    """The checksummed form of an address that the user typed.

    Raises
    ------
    ConfigurationError
        It is none, or mixed letters that are no checksum.
    """
    digits = value.removeprefix("0x")
    plain = digits in {digits.lower(), digits.upper()}
    if not is_hex_address(value) or not (plain or is_checksum_address(value)):
        raise ConfigurationError(
            f"{name} must be a chain address, got {value!r:.60}; give 0x and 40 hex digits"
        )
    return str(to_checksum_address(value))
