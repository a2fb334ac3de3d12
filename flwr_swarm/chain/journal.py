"""An append-only journal: a length and a checksum around each record, on disk before it counts.

A frame is ``b"fsj1" | length (4) | CRC-32 of these 8 bytes (4) | record | BLAKE2b-128 | b"\\n"``,
numbers big-endian. Its last byte is never zero, so that a frame which a crash left unfinished,
cut short or filled up with zeros, can be told from a finished one that was altered later. The
first was never acknowledged and is cut; the second is refused.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final, Self

from flwr_swarm._exceptions import JournalCorrupt

from .locks import OWNER_ONLY

MAGIC: Final = b"fsj1"
MAX_RECORD: Final = 1 << 20
_HEAD: Final = struct.Struct(">4sII")
_DIGEST_BYTES: Final = 16
_END: Final = b"\n"
_TAIL_BYTES: Final = _DIGEST_BYTES + len(_END)
_log = logging.getLogger(__name__)


class Journal:
    """The records of one file, in order.

    Read `records` to its end before the first `append`. A journal that failed to write takes
    nothing more: what is on disk is known again only after it is opened anew.

    Parameters
    ----------
    path : Path
        Created, with its entry in the folder synced, where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
        self._end: int | None = None
        self.cut = 0
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def records(self) -> Iterator[bytes]:
        """Yield every finished record; then cut what a crash left behind them.

        Raises
        ------
        JournalCorrupt
            A finished frame was altered, or something stands where a frame must begin.
        """
        size = os.fstat(self._handle).st_size
        place = 0
        while (record := self._read(place, size)) is not None:
            yield record
            place += _HEAD.size + len(record) + _TAIL_BYTES
        if place < size:
            self.cut = size - place
            os.ftruncate(self._handle, place)
            _sync(self._handle)
            _log.warning("cut %d bytes of an unfinished record off %s", self.cut, self._path.name)
        self._end = place

    def append(self, record: bytes) -> None:
        """Write one record; it is on the disk when this returns.

        Raises
        ------
        OSError
            It may or may not be on the disk; the journal takes nothing more.
        """
        if not 0 < len(record) <= MAX_RECORD:
            raise ValueError(f"a record has 1 to {MAX_RECORD} bytes, got {len(record)}")
        if self._end is None:
            raise OSError("the journal is closed, unread, or failed before; open it again")
        place, self._end = self._end, None
        written = frame(record)
        done = 0
        while done < len(written):
            done += os.pwrite(self._handle, written[done:], place + done)
        _sync(self._handle)
        self._end = place + len(written)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
        self._handle, self._end = -1, None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, place: int, size: int) -> bytes | None:
        """Return the record at `place`; None if no finished one begins there."""
        head = os.pread(self._handle, _HEAD.size, place)
        if len(head) < _HEAD.size:
            return None if _begins_frame(head.rstrip(b"\0")) else self._refuse(place)
        magic, length, check = _HEAD.unpack(head)
        if magic != MAGIC or check != zlib.crc32(head[:8]) or not 0 < length <= MAX_RECORD:
            return None if self._zeros(place, size) else self._refuse(place)
        body = os.pread(self._handle, length + _TAIL_BYTES, place + _HEAD.size)
        if len(body) < length + _TAIL_BYTES:
            return None
        record = body[:length]
        if frame(record) != head + body:
            last = place + _HEAD.size + len(body) == size
            return None if last and body[-1] == 0 else self._refuse(place)
        return record

    def _zeros(self, place: int, size: int) -> bool:
        """Whether the rest is a head's first bytes and zeros: space that was never written."""
        if size - place > _HEAD.size + MAX_RECORD + _TAIL_BYTES:
            return False
        rest = os.pread(self._handle, size - place, place)
        written = rest.rstrip(b"\0")
        return len(written) < _HEAD.size and _begins_frame(written)

    def _refuse(self, place: int) -> bytes:
        raise JournalCorrupt(
            f"{self._path.name} is altered at byte {place}; nothing was changed: restore the file "
            "from a copy, or begin a new chain in another folder"
        )


def frame(record: bytes) -> bytes:
    """Return `record` as it stands in the file."""
    head = MAGIC + struct.pack(">I", len(record))
    head += struct.pack(">I", zlib.crc32(head))
    return head + record + blake2b(head + record, digest_size=_DIGEST_BYTES).digest() + _END


def _begins_frame(start: bytes) -> bool:
    return MAGIC.startswith(start[: len(MAGIC)])


def _sync(handle: int) -> None:
    full = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: fsync alone stops at the drive's cache
    if full is None:
        os.fsync(handle)
    else:
        fcntl.fcntl(handle, full)
