"""Mutations of the encryption's wire that know its fields, and mend the checksum behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from struct import error as too_short
from struct import pack, unpack_from

from blake3 import blake3
from encryption_support import Q, frame
from fuzz_bytes import blind, place

HEADER, CHECKSUM, POLYNOMIAL = 14, 32, 4096 * 15 // 2
ORDER = 2**252 + 27742317777372353535851937790883648493
P = 2**255 - 19
CIPHERTEXT, AGGREGATE, ENVELOPE, OPENING, PROOF, COMPLAINT = range(1, 7)
_NUMBERS = {
    CIPHERTEXT: ((0, 4),),
    AGGREGATE: ((0, 4), (4, 2)),
    ENVELOPE: ((0, 2), (2, 2)),
    OPENING: ((0, 2), (34, 2)),
    PROOF: ((0, 2), (2, 2)),
    COMPLAINT: ((0, 2), (2, 2)),
}
_BOUNDS = (0, 1, 2, 3, 254, 255, 256, 257, 8191, 8192, 8193, 16384, 16385, 2**16 - 1)
_LONG_BOUNDS = (2**28, 2**28 + 1, 2**31, 2**32 - 1)
RESIDUES = (0, 1, Q - 1, Q, Q + 1, 2**60 - 1)
POINTS = (0, 1, P - 1, P, P + 1, 2**255 - 1, 2**255, 2**255 + 1, 2**256 - 1, ORDER, ORDER - 1)
Body = bytearray


def _residues_at(kind: int, body: Body) -> tuple[int, int]:
    """Where the packed residues of a body begin and end."""
    if kind == OPENING:
        (count,) = unpack_from("<H", body, 34)
        return 36 + 2 * count, len(body)
    return {
        CIPHERTEXT: (4, len(body)),
        AGGREGATE: (6, len(body)),
        PROOF: (36, len(body) - 64),
        ENVELOPE: (36, 36),
        COMPLAINT: (36, 36),
    }[kind]


def _number(random: Random, kind: int, body: Body) -> None:
    at, width = random.choice(_NUMBERS[kind])
    old = int.from_bytes(body[at : at + width], "little")
    edges = _BOUNDS + (_LONG_BOUNDS if width == 4 else ())
    value = random.choice((old + 1, old - 1, random.choice(edges))) % (1 << 8 * width)
    body[at : at + width] = value.to_bytes(width, "little")


def _residue(random: Random, kind: int, body: Body) -> None:
    start, end = _residues_at(kind, body)
    pairs = max(0, end - start) // 15
    if not pairs:
        return _point(random, kind, body)
    at = start + 15 * place(random, pairs)
    both = int.from_bytes(body[at : at + 15], "little")
    value, low = random.choice(RESIDUES), (1 << 60) - 1
    both = both & ~low | value if random.random() < 0.5 else both & low | value << 60
    body[at : at + 15] = both.to_bytes(15, "little")
    return None


def _point(random: Random, kind: int, body: Body) -> None:
    at = {PROOF: 4, COMPLAINT: random.choice((36, 68, 100)), ENVELOPE: 4, OPENING: 2}.get(kind, 0)
    value = random.choice((*POINTS, random.getrandbits(256)))
    body[at : at + 32] = value.to_bytes(32, "little")


def _resized(random: Random, kind: int, body: Body) -> None:
    """Another count, and as much behind it as it says, or nearly so."""
    slip = random.choice((0, 0, 0, 1, -1, 15, -15))
    if kind in (CIPHERTEXT, AGGREGATE):
        lanes = random.choice((1, 8192, 16383, 16384, 16385, 24576))
        body[:4] = pack("<I", lanes)
        start = _residues_at(kind, body)[0]
        body[start:] = bytes(max(2, -(-lanes // 8192)) * POLYNOMIAL + slip)
    elif kind == PROOF:
        rows = random.choice((0, 1, 2, 3, 255, 256, 257))
        body[2:4] = pack("<H", rows)
        body[36:-64] = bytes(max(0, 30 * rows + slip))
    elif kind == OPENING:
        count = random.choice((0, 1, 2, 255, 256, 257))
        start = _residues_at(kind, body)[0]
        body[34:start] = pack(f"<{count + 1}H", count, *range(count))
    elif kind == COMPLAINT:
        body[36:] = bytes(random.choice((0, 32, 64, 95, 96, 97)))
    else:
        body += bytes(abs(slip))


def _senders(random: Random, kind: int, body: Body) -> None:
    if kind != OPENING:
        return _number(random, kind, body)
    (count,) = unpack_from("<H", body, 34)
    senders = list(unpack_from(f"<{count}H", body, 36))
    match random.randrange(5):
        case 0:
            senders.reverse()
        case 1:
            senders.append(random.choice(senders or [0]))
        case 2:
            senders.sort(key=lambda _: random.random())
        case 3:
            senders[-1:] = [random.choice((256, 65535, 0))]
        case _:
            del senders[: random.randrange(count + 1)]
    body[34 : 36 + 2 * count] = pack(f"<{len(senders) + 1}H", len(senders), *senders)
    return None


def _edge(random: Random, kind: int, body: Body) -> None:
    if random.random() < 0.5:
        body += random.randbytes(random.choice((1, 2, 15, 32)))
    else:
        del body[-random.choice((1, 2, 15, 32)) :]


def _short(random: Random, kind: int, body: Body) -> None:
    del body[random.randrange(48) :]


_KINDS: tuple[Callable[[Random, int, Body], None], ...] = (
    _number,
    _residue,
    _residue,
    _point,
    _resized,
    _senders,
    _edge,
    _short,
)


def framed(random: Random, message: bytes, others: Sequence[bytes]) -> bytes:
    """A message of the wire with other content, its checksum right again as a rule."""
    kind = message[5]
    body = bytearray(message[HEADER:-CHECKSUM])
    for _ in range(random.choice((1, 1, 1, 2))):
        try:
            random.choice(_KINDS)(random, kind, body)
        except (IndexError, ValueError, too_short):
            break
    if random.random() < 0.2:
        body = bytearray(blind(random, bytes(body), [other[HEADER:-CHECKSUM] for other in others]))
    if random.random() < 0.1:
        kind = random.choice((*range(8), 255))
    made = frame(kind, bytes(body))
    if random.random() < 0.1:  # a header of another protocol, under its own right checksum
        made = _other_header(random, made)
    return made


def _other_header(random: Random, message: bytes) -> bytes:
    at = random.randrange(HEADER)
    changed = bytearray(message[:-CHECKSUM])
    changed[at] ^= 1 << random.randrange(8)
    digest = blake3(bytes(changed), derive_key_context="flwr_swarm/v1/wire").digest()
    return bytes(changed) + digest
