"""The draw of leader, succession and committee: the contract's function, in Python.

A beacon mixes what the seals of a round reveal; three domain-separated shuffles follow from it.
Leaders come from a shuffle bag: each member leads once before anyone leads twice. Equal inputs
give equal draws, on chain (`contracts/Election.sol`) and here; a property test holds the two
together.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from eth_utils.address import to_canonical_address
from eth_utils.crypto import keccak

from .types import HASH_BYTES

_FRESH: Final = 1
_REST: Final = 2
_COMMITTEE: Final = 3
_SECRET_DOMAIN: Final = b"flwr_swarm election secret v1\x00"


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What one draw decided.

    Parameters
    ----------
    beacon : bytes
        32 bytes of shared randomness.
    succession : tuple of int
        Every eligible member once, in the order in which they may lead.
    committee : tuple of int
        Distinct eligible members.
    led : frozenset of int
        Members outside the shuffle bag, before this round's first leader is taken out.
    """

    beacon: bytes
    succession: tuple[int, ...]
    committee: tuple[int, ...]
    led: frozenset[int]


def quorum(size: int) -> int:
    """Return the signatures that a committee of `size` needs: size - floor((size - 1) / 3).

    Two quorums share at least floor((size - 1) / 3) + 1 members, so at least one honest member
    while fewer than a third of the committee is faulty.
    """
    if size < 1:
        raise ValueError(f"a committee has at least one member, got {size}")
    return size - (size - 1) // 3


def commitment(chain_id: int, contract: str, account: str, secret: bytes) -> bytes:
    """Return the 32-byte commitment to `secret`, bound to chain, contract and account."""
    return keccak(_word(chain_id) + _address(contract) + _address(account) + _secret(secret))


def derive_secret(key: bytes, chain_id: int, contract: str, reveals: int) -> bytes:
    """Return the 32-byte secret number `reveals` of the account with private key `key`.

    HMAC-SHA256 of the account key, so that a crash loses nothing and nothing is stored: the
    chain's count of reveals says which secret is next.
    """
    context = _word(chain_id) + _address(contract) + _word(reveals)
    return hmac.new(key, _SECRET_DOMAIN + context, hashlib.sha256).digest()


def mix(reveals: Iterable[tuple[str, bytes]]) -> bytes:
    """XOR the hashes of (account, secret) pairs; their order does not matter."""
    total = 0
    for account, secret in reveals:
        total ^= int.from_bytes(keccak(_address(account) + _secret(secret)), "big")
    return _word(total)


def next_beacon(number: int, mixed: bytes, previous: bytes) -> bytes:
    """Return the beacon of round `number` from its mix and the beacon of the draw before."""
    return keccak(_word(number) + mixed + previous)


def draw(
    *,
    number: int,
    mixed: bytes,
    previous: bytes,
    sealers: Iterable[int],
    led: Iterable[int],
    max_committee: int,
    fixed_leader: int | None = None,
    pool: Iterable[int] | None = None,
) -> Draw:
    """Draw the offices of round `number`.

    Parameters
    ----------
    number : int
        Round number.
    mixed : bytes
        What `mix` made of the round's reveals.
    previous : bytes
        Beacon of the draw before; 32 zero bytes before the first.
    sealers : iterable of int
        Members who sealed and may lead. No reveal, no office.
    led : iterable of int
        Members outside the shuffle bag.
    max_committee : int
        Upper bound of the committee's size.
    fixed_leader : int or None
        Member who comes first whenever it sealed.
    pool : iterable of int or None
        Members who may sit on the committee, where more than may lead; they sealed too.

    Returns
    -------
    Draw
        Uniform up to 2**-250 if one reveal is uniform and independent of the others. Whoever
        reveals last chooses between two outcomes of a bag, so can change when it leads, never
        how often.
    """
    eligible = sorted(set(sealers))
    if not eligible:
        raise ValueError("a draw needs at least one sealer, got none")
    beacon = next_beacon(number, mixed, previous)
    out = frozenset(led)
    if out.issuperset(eligible):  # everyone present has led: refill for them
        out = out.difference(eligible)
    fresh = [m for m in eligible if m not in out]
    rest = [m for m in eligible if m in out]
    succession = _shuffle(fresh, beacon, _FRESH) + _shuffle(rest, beacon, _REST)
    if fixed_leader in eligible:
        succession = [fixed_leader, *(m for m in succession if m != fixed_leader)]
    seats = eligible if pool is None else sorted(set(pool))
    committee = _shuffle(seats, beacon, _COMMITTEE)[:max_committee]
    return Draw(beacon=beacon, succession=tuple(succession), committee=tuple(committee), led=out)


def _shuffle(members: Sequence[int], beacon: bytes, domain: int) -> list[int]:
    order = list(members)
    for left in range(len(order), 1, -1):
        pick = int.from_bytes(keccak(beacon + _word(domain) + _word(left)), "big") % left
        order[left - 1], order[pick] = order[pick], order[left - 1]
    return order


def _word(value: int) -> bytes:
    return value.to_bytes(HASH_BYTES, "big")


def _address(account: str) -> bytes:
    return bytes(to_canonical_address(account)).rjust(HASH_BYTES, b"\x00")


def _secret(secret: bytes) -> bytes:
    if len(secret) != HASH_BYTES:
        raise ValueError(f"an election secret has {HASH_BYTES} bytes, got {len(secret)}")
    return secret
