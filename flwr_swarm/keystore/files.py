"""Files for secrets: owner only, whole or not at all, never overwritten."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .._exceptions import KeystoreError, KeystoreExists, KeystoreExposed

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
UNFINISHED: Final = ".new-"
"""Prefix of a folder whose writing did not end; nobody reads it."""
_OTHERS: Final = 0o077
_LARGEST: Final = 1 << 16


def make_private_folder(path: Path) -> None:
    """Make `path` and what is missing above it; a folder that is there must be private already.

    Raises
    ------
    KeystoreExposed
        Somebody else can read or change it.
    KeystoreError
        It is no folder, or cannot be made.
    """
    try:
        path.mkdir(mode=FOLDER_MODE, parents=True)
    except FileExistsError:
        pass
    except OSError as error:
        raise KeystoreError(
            f"the folder {path} cannot be made ({error.strerror}); choose another"
        ) from error
    check_private(path, folder=True)


def check_private(path: Path, *, folder: bool) -> None:
    """Refuse a file or folder that is not its owner's alone.

    Raises
    ------
    KeystoreExposed
        Another user owns it, or its permissions let others in.
    KeystoreError
        It is missing, or of another type; links count as another type.
    """
    try:
        found = os.lstat(path)
    except OSError as error:
        raise KeystoreError(
            f"no keys at {path} ({error.strerror}); make some with flwr-swarm member keygen"
        ) from error
    expected, fix = ("folder", "700") if folder else ("file", "600")
    if not (stat.S_ISDIR if folder else stat.S_ISREG)(found.st_mode):
        raise KeystoreError(f"{path} is not a plain {expected}; give the folder that keygen made")
    if found.st_uid != os.geteuid():
        raise KeystoreExposed(
            f"{path} belongs to user {found.st_uid}, not to {os.geteuid()}, who runs this; "
            "give it to the user who runs the member"
        )
    if found.st_mode & _OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        raise KeystoreExposed(
            f"{path} has permissions {mode:03o}, so others can get at it; chmod {fix} {path}, and "
            "rotate the keys if somebody may have copied them"
        )


def read_private(path: Path) -> bytes:
    """Read a small file that only its owner can read.

    Raises
    ------
    KeystoreExposed, KeystoreError
        As `check_private`.
    """
    check_private(path, folder=False)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise KeystoreError(f"{path} cannot be read ({error.strerror})") from error
    if len(data) > _LARGEST:
        raise KeystoreError(f"{path} is longer than {_LARGEST} bytes; it is no key file")
    return data


def write_folder(parent: Path, name: str, files: Mapping[str, bytes]) -> None:
    """Make the folder `parent/name` with `files` in it: all of it is on the disk, or nothing is.

    Raises
    ------
    KeystoreExists
        The name is taken; nothing was changed.
    KeystoreError
        The disk refused.
    """
    try:
        unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=parent))
    except OSError as error:
        raise KeystoreError(f"cannot write in {parent} ({error.strerror})") from error
    try:
        for file, data in files.items():
            write_private(unfinished / file, data)
        _sync(unfinished)
        # Renaming a folder onto one with files in it fails, so this cannot overwrite.
        unfinished.rename(parent / name)
        _sync(parent)
    except OSError as error:
        if (parent / name).exists():
            raise KeystoreExists(
                f"{parent / name} is there already, and keys are never overwritten; "
                "choose another folder"
            ) from error
        raise KeystoreError(f"cannot write {parent / name} ({error.strerror})") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_private(path: Path, data: bytes) -> None:
    """Write a new file that only its owner can read, and wait until the disk has it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, FILE_MODE), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
