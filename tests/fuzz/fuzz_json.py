"""Mutations of JSON that know its shape: other types, sizes, keys, depths and spellings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from fuzz_bytes import blind, edge

_ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    1.0,
    0.5,
    -0.0,
    1e308,
    float("inf"),
    float("nan"),
    2**53 + 1,
    2**64,
    10**30,
    10**400,
    "",
    "x",
    "0x",
    "0x00",
    "\ud800",
    "∀",
    "\x00",
    "a" * 5000,
    [],
    {},
    [[]],
    [0] * 70,
    {"a": 1},
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, each in inner:
        found += _places(each, (*path, key))
    return found


def _odd(random: Random, old: Any) -> Any:
    if type(old) is int and random.random() < 0.6:
        real = float(old) if abs(old) < 2**1000 else 0.5
        return random.choice((old + 1, old - 1, -old, real, str(old), edge(random), not old))
    if isinstance(old, str) and old and random.random() < 0.6:
        at = random.randrange(len(old))
        return random.choice(
            (
                old[:at],
                old + old[-1],
                old.upper(),
                old[:at] + " " + old[at:],
                old + "00",
                old[:at] + random.choice("0123456789abcdefg�") + old[at + 1 :],
            )
        )
    if isinstance(old, list) and old and random.random() < 0.6:
        return random.choice((old[::-1], old + old[-1:], old[1:], old * 2, [old], old[:1] * 100))
    if isinstance(old, float) and random.random() < 0.5:
        return random.choice((-old, old * 2, int(old) if abs(old) < 1e300 else 0, str(old)))
    if random.random() < 0.03:
        deep: Any = 0
        for _ in range(random.choice((5, 20, 70, 500))):
            deep = [deep] if random.random() < 0.5 else {"a": deep}
        return deep
    return random.choice(_ODD)


def changed(random: Random, value: Any, other: Any) -> Any:
    """`value` with one place in it odd, gone, doubled, or taken from `other`."""
    value = json.loads(json.dumps(value))
    path = random.choice(_places(value))
    if not path:
        return _odd(random, value) if random.random() < 0.2 else value
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    last = path[-1]
    match random.randrange(10):
        case 0:
            del holder[last]
        case 1 if isinstance(holder, dict):
            holder[random.choice(("x", "", str(last) + "x"))] = holder[last]
        case 1 | 2 if isinstance(holder, list):
            holder.insert(random.randrange(len(holder) + 1), holder[last])
        case 3:
            swap = random.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
            holder[last], holder[swap] = holder[swap], holder[last]
        case 4:
            places = _places(other)
            there = other
            for key in random.choice(places):
                there = there[key]
            holder[last] = there
        case _:
            holder[last] = _odd(random, holder[last])
    return value


def spelt(random: Random, value: Any) -> bytes:  # noqa: PLR0911 - one for each spelling
    """JSON of `value`: canonical as a rule, in another spelling now and then."""
    usual = json.dumps(value, sort_keys=True, separators=(",", ":"))
    match random.randrange(24):
        case 0:
            return json.dumps(value).encode()
        case 1:
            return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
        case 2:
            return usual.encode(random.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig")))
        case 3:
            return usual.replace("{", '{"x":1,"x":2,', 1).encode()
        case 4:
            return usual.encode() + random.choice((b" ", b"\n", b"\x00", b"]", b"{}"))
        case 5:
            at = random.randrange(len(usual) + 1)
            return (usual[:at] + '"' + '\\"' * random.choice((1, 100, 5000))).encode()
        case 6:
            bomb = random.choice(("[", '{"a":', '"∀",[')) * random.choice((10, 3000))
            return f'["∀",{bomb},"∀"]'.encode(random.choice(("utf-8", "utf-16-le")))
    return usual.encode()


def document(random: Random, message: bytes, others: Sequence[bytes]) -> bytes:
    """A JSON document with one to three odd places."""
    value = json.loads(message)
    for _ in range(random.choice((1, 1, 2, 3))):
        value = changed(random, value, json.loads(random.choice(others)))
    data = spelt(random, value)
    return blind(random, data, others) if random.random() < 0.1 else data
