"""Where a keystore's password comes from: a file, the environment, or a prompt; no option."""

from __future__ import annotations

import getpass
import os
import sys
import warnings
from pathlib import Path

from .._exceptions import ConfigurationError
from ..keystore.passwords import from_file
from .options import PASSWORD_VARIABLE


def existing(file: Path | None) -> str:
    """Return the password of keys that exist.

    Raises
    ------
    ConfigurationError
        There is none to be had.
    """
    given = _given(file)
    return _prompt("Password of the keys: ") if given is None else given


def new(file: Path | None) -> str:
    """Return the password for new keys; at the prompt it is typed twice.

    Raises
    ------
    ConfigurationError
        There is none to be had, or what was typed differs.
    """
    given = _given(file)
    if given is not None:
        return given
    first = _prompt("Password for the new keys: ")
    if _prompt("The same again: ") != first:
        raise ConfigurationError("the two passwords differ; nothing was written")
    return first


def _given(file: Path | None) -> str | None:
    if file is not None:
        return from_file(file)
    return os.environ.get(PASSWORD_VARIABLE) or None


def _prompt(text: str) -> str:
    if not sys.stdin.isatty():
        raise ConfigurationError(
            f"no password: give --password-file, or set ${PASSWORD_VARIABLE}, or run this in a "
            "terminal"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # it would echo
            return getpass.getpass(text)
    except (EOFError, getpass.GetPassWarning):
        raise ConfigurationError(
            f"no password: this terminal cannot hide what is typed; give --password-file, or set "
            f"${PASSWORD_VARIABLE}"
        ) from None
