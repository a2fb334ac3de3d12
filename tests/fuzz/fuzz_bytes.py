"""Mutations that know nothing of a form: bits, bytes, numbers and blocks."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

_LARGEST = 1 << 17
_EDGES = (0, 1, 2, 127, 128, 255, 256, 257, 2**15, 2**16 - 1, 2**28, 2**31, 2**32 - 1)
_EDGES_64 = (2**60 - 1, 2**60, 2**63 - 1, 2**63, 2**64 - 1)


def repeatable(seed: int | str) -> Random:
    """Choices that are the same for the same seed; no secret comes of them."""
    return Random(seed)  # noqa: S311


def edge(random: Random) -> int:
    """A number at which something ends."""
    return random.choice((*_EDGES, *_EDGES_64))


def place(random: Random, size: int) -> int:
    """A position; near the ends as often as anywhere else."""
    if size <= 1:
        return 0
    near = min(size, 64)
    return random.choice(
        (random.randrange(near), size - 1 - random.randrange(near), random.randrange(size))
    )


def _bit(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[place(random, len(data))] ^= 1 << random.randrange(8)


def _byte(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[place(random, len(data))] = random.choice((0, 1, 0x7F, 0x80, 0xFF, 0x22, 0x5C, 0x5B))


def _number(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    width = random.choice((2, 4, 8, 32))
    at = place(random, max(len(data) - width, 1))
    order = random.choice(("little", "big"))
    old = int.from_bytes(data[at : at + width], order)
    value = random.choice((old + 1, old - 1, edge(random), (1 << 8 * width) - 1))
    data[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, order)


def _insert(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = place(random, len(data) + 1)
    data[at:at] = random.randbytes(random.choice((1, 2, 4, 15, 32, 100)))


def _delete(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = place(random, len(data) + 1)
    del data[at : at + random.choice((1, 2, 4, 15, 32, 1000))]


def _copy(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at, size = place(random, len(data) + 1), random.choice((1, 4, 15, 32, 200))
    block = bytes(data[at : at + size]) * random.choice((1, 1, 2, 50))
    to = place(random, len(data) + 1)
    data[to : to + random.choice((0, size))] = block


def _cut(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[place(random, len(data) + 1) :]


def _splice(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    other = random.choice(others)
    at = place(random, len(data) + 1)
    data[at:] = other[random.choice((at, place(random, len(other) + 1))) :]


def _noise(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    data[:] = random.randbytes(random.choice((0, 1, 8, 46, 100, 5000)))


_KINDS = (_bit, _bit, _byte, _number, _number, _insert, _delete, _copy, _cut, _splice)


def blind(random: Random, message: bytes, others: Sequence[bytes]) -> bytes:
    """One to four changes, anywhere; now and then nothing but noise."""
    data = bytearray(message)
    if random.random() < 0.02:
        _noise(random, data, others)
    for _ in range(random.choice((1, 1, 2, 4))):
        random.choice(_KINDS)(random, data, others)
    return bytes(data[:_LARGEST])
