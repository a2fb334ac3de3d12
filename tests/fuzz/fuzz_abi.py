"""Mutations of what the chain carries: words of the ABI, and lists of RLP."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import rlp
from fuzz_bytes import blind

_WORD = 32
_RANGE = 1 << 256
_EDGES = (0, 1, 2, 5, 6, 31, 32, 64, 65, 96, 255, 256, 2**64 - 1, 2**64, 2**160, 2**255, _RANGE - 1)


def words(start: int) -> Any:
    """A mutation of words that begin after `start` bytes."""

    def mutate(random: Random, message: bytes, others: Sequence[bytes]) -> bytes:
        data = bytearray(message)
        for _ in range(random.choice((1, 1, 2, 3))):
            count = max(1, (len(data) - start) // _WORD)
            at = start + _WORD * random.randrange(count)
            old = int.from_bytes(data[at : at + _WORD], "big")
            match random.randrange(6):
                case 0:
                    data[at:at] = bytes(_WORD)
                case 1:
                    del data[at : at + _WORD]
                case 2:  # many offsets to one place
                    data[at : at + _WORD] = bytes(data[at : at + _WORD]) * random.choice((2, 40))
                case 3:
                    other = random.choice(others)
                    data[at:] = other[at:]
                case _:
                    near = random.choice((32, -32, 1, -1))
                    value = random.choice(
                        (old + near, random.choice(_EDGES), -random.randrange(400))
                    )
                    data[at : at + _WORD] = (value % _RANGE).to_bytes(_WORD, "big")
        tail = random.choice((0, 0, 0, 0, -1, -31, -32, 5, 32))
        data = data[:tail] if tail < 0 else data + bytes(tail)
        made = bytes(data)
        return blind(random, made, others) if random.random() < 0.1 else made

    return mutate


def _odd(random: Random, item: Any) -> Any:
    if isinstance(item, list):
        return random.choice(
            (b"", [], [[]], [b"\x00" * 20], item * 2, [[b"a" * 20, [b"k" * 32] * 9]])
        )
    return random.choice(
        (
            b"",
            b"\x00",
            b"\x00" + item,
            item + b"\x01",
            item[:-1],
            b"\xff" * 32,
            b"\xff" * 33,
            [],
            [item],
            bytes(20),
            item * 3,
            b"\x7f",
            b"\x80",
            b"\x1b",
            b"%",
        )
    )


def transaction(random: Random, message: bytes, others: Sequence[bytes]) -> bytes:
    """A transaction with other fields in its list, or another list."""
    kind = message[:1] if message[0] < 0x80 else b""
    items = rlp.decode(message[len(kind) :])
    for _ in range(random.choice((1, 1, 2))):
        at = random.randrange(len(items))
        match random.randrange(6):
            case 0:
                del items[at]
            case 1:
                items.insert(at, _odd(random, items[at]))
            case 2:
                other = random.choice(others)
                theirs = rlp.decode(other[1:] if other[0] < 0x80 else other)
                items[at] = theirs[min(at, len(theirs) - 1)]
            case _:
                items[at] = _odd(random, items[at])
        if not items:
            break
    if random.random() < 0.03:
        for _ in range(random.choice((3, 200))):
            items = [items]
    if random.random() < 0.1:
        kind = random.choice((b"", b"\x01", b"\x02", b"\x03", b"\x00"))
    made = kind + rlp.encode(items)
    return blind(random, made, others) if random.random() < 0.15 else made
