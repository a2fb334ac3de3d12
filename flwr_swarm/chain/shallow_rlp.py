"""RLP from a stranger: the canonical encoding alone, nested no deeper than transactions are.

The library follows lists as deep as they go, and copies each into the one around it: the time
for a few kilobytes of nested lists grows with the square of their depth.
"""

from __future__ import annotations

from typing import Any, Final

from flwr_swarm._exceptions import WireError

DEEPEST: Final = 4
"""A transaction, its access list, an entry, the entry's keys."""
_SHORT: Final = 56
_STRINGS: Final = 0x80
_LISTS: Final = 0xC0


def decode(data: bytes) -> Any:
    """Bytes, or a list of such, as `rlp.decode(data, strict=True)` gives them.

    Raises
    ------
    WireError
        The bytes are not the one encoding of anything, or of a deeper list.
    """
    found, end = _item(data, 0, len(data), DEEPEST)
    if end != len(data):
        raise WireError(f"{len(data) - end} bytes follow the end of the RLP")
    return found


def _item(data: bytes, at: int, end: int, depth: int) -> tuple[Any, int]:
    """What begins at `at` and ends not after `end`, and where it ends."""
    if at >= end:
        raise WireError("the RLP ends too early")
    first = data[at]
    if first < _STRINGS:
        return data[at : at + 1], at + 1
    start, stop = _extent(data, at, end)
    if first < _LISTS:
        if stop - start == 1 and data[start] < _STRINGS:
            raise WireError("the RLP is not canonical")
        return data[start:stop], stop
    if not depth:
        raise WireError(f"the RLP is nested deeper than {DEEPEST} lists")
    items, place = [], start
    while place < stop:
        item, place = _item(data, place, stop, depth - 1)
        items.append(item)
    return items, stop


def _extent(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Where the content of the item at `at` begins and ends."""
    size = (data[at] - _STRINGS) % (_LISTS - _STRINGS)
    start = at + 1
    if size >= _SHORT:
        width = size - _SHORT + 1
        size = int.from_bytes(data[start : start + width], "big")
        if size < _SHORT or data[start] == 0:
            raise WireError("the RLP is not canonical")
        start += width
    if start + size > end:
        raise WireError("the RLP ends too early")
    return start, start + size
