"""A keystore's password in a file or the environment; never an option's value."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .._exceptions import ConfigurationError

PASSWORD_VARIABLE: Final = "FLWR_SWARM_PASSWORD"  # noqa: S105 - a name, not a password
_LONGEST: Final = 4096


def from_file(file: Path) -> str:
    """Return the password that `file` holds in its one line.

    Raises
    ------
    ConfigurationError
        The file cannot be read, or holds more than a line.
    """
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            text = opened.read(_LONGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the password file {file} cannot be read ({type(error).__name__}); it holds the "
            "password in its one line"
        ) from None
    password = text.removesuffix("\n").removesuffix("\r")
    if not password or len(password) > _LONGEST or set(password) & set("\r\n"):
        raise ConfigurationError(
            f"the password file {file} must hold the password in one line of at most "
            f"{_LONGEST} characters"
        )
    return password
