"""What a site must not forget, on its disk: named blobs that are replaced all at once.

Every blob is a file under its SHA-256, so that one which did not change is not written again, and
a changed byte is found. A manifest names them; replacing it is the one step that counts. Kill -9
at any moment leaves the old memory or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from .._exceptions import ConfigurationError, KeystoreError, MemoryDamaged
from .._octets import Octets
from ..chain.locks import FileLock
from ..protocol.hashing import parse_json
from . import files

MANIFEST: Final = "manifest.json"
_VERSION: Final = 1
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LOCK: Final = ".lock"
_LOCK_SECONDS: Final = 60.0

Blobs = Mapping[str, Octets]


class Disk:
    """One folder of blobs. Holds no key and no plaintext update, only its owner reads it.

    Parameters
    ----------
    folder : Path
        Made for its owner alone where it is missing.

    Raises
    ------
    KeystoreExposed
        Somebody else can get at the folder.
    KeystoreError
        It cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        files.make_private_folder(folder)
        self._folder = folder

    def __repr__(self) -> str:
        return f"Disk({self._folder.name!r})"

    def load(self) -> dict[str, bytes]:
        """The blobs that were saved last; none at first.

        Raises
        ------
        MemoryDamaged
            A file was altered, or is missing.
        """
        with self._locked():
            digests = self._manifest()
            return {name: self._blob(digest) for name, digest in digests.items()}

    def save(self, blobs: Blobs) -> None:
        """Replace all blobs. They are on the disk when this returns, or nothing changed.

        Raises
        ------
        MemoryDamaged
            The disk refused, for instance because it is full; the old blobs are still there.
        """
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in blobs.items()}
        with self._locked():
            try:
                for name, digest in digests.items():
                    if not self._path(digest).exists():
                        self._replace(digest, blobs[name])
                listing = {"version": _VERSION, "blobs": digests}
                self._replace(MANIFEST, json.dumps(listing, sort_keys=True).encode())
            except OSError as error:
                raise MemoryDamaged(
                    f"the site's memory in {self._folder} cannot be written ({error.strerror}); "
                    "free the disk: nothing is sealed, signed or released without it"
                ) from error
            self._forget({MANIFEST, _LOCK, *digests.values()})

    def _manifest(self) -> dict[str, str]:
        try:
            listing = parse_json(self._path(MANIFEST).read_bytes(), deepest=2, pairs=_once)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise self._damaged(MANIFEST) from error
        digests = listing.get("blobs") if isinstance(listing, dict) else None
        if not isinstance(digests, dict) or listing.get("version") != _VERSION:
            raise self._damaged(MANIFEST)
        if not all(isinstance(d, str) and _DIGEST.fullmatch(d) for d in digests.values()):
            raise self._damaged(MANIFEST)
        return digests

    def _blob(self, digest: str) -> bytes:
        try:
            data = self._path(digest).read_bytes()
        except OSError as error:
            raise self._damaged(digest) from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise self._damaged(digest)
        return data

    def _damaged(self, name: str) -> MemoryDamaged:
        return MemoryDamaged(
            f"{name[:16]} in {self._folder} is missing or was altered, so this site does not know "
            "what it sealed and signed; restore the folder, or remove it to take part again from "
            "the next round on (the privacy budget that was spent is then lost with it)"
        )

    def _path(self, name: str) -> Path:
        return self._folder / name

    def _replace(self, name: str, data: Octets) -> None:
        """Write `name` whole or not at all."""
        unfinished = self._path(f"{files.UNFINISHED}{name}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(unfinished, flags, files.FILE_MODE), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path(name))
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _forget(self, kept: set[str]) -> None:
        for entry in self._folder.iterdir():
            if entry.name not in kept:
                with suppress(OSError):  # it is only space
                    entry.unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self._path(_LOCK))
        try:
            taken = lock.acquire(end=time.monotonic() + _LOCK_SECONDS)
        except (OSError, ConfigurationError) as error:
            raise KeystoreError(
                f"{self._folder} cannot be locked; check its permissions"
            ) from error
        if not taken:
            raise KeystoreError(
                f"another process has held {self._folder} for {_LOCK_SECONDS:g} s; one site runs "
                "for each keystore: end the other"
            )
        try:
            yield
        finally:
            lock.release()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):  # a changed byte can make two names one
        raise ValueError("a name is there twice")
    return found
