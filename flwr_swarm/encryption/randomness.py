"""Randomness: exact lengths from the system's source, and a fast stream expanded from a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from .parameters import ETA, MODULUS

RandomBytes = Callable[[int], bytes]
"""`os.urandom`, or a deterministic source in tests: count in, that many bytes out."""


def draw(random: RandomBytes, count: int) -> bytes:
    """`count` bytes from `random`, or ValueError if the source is short."""
    data = random(count)
    if len(data) != count:
        raise ValueError(f"the random source gave {len(data)} bytes where {count} were asked")
    return data


def below_modulus(words: NDArray[np.uint64], modulus: int = MODULUS) -> NDArray[np.uint64]:
    """Rejection sampling: the words, cut to the modulus' bits, that are below it, in order."""
    candidates = words & np.uint64((1 << modulus.bit_length()) - 1)
    fits = candidates < np.uint64(modulus)
    return candidates if fits.all() else candidates[fits]


def uniform(random: RandomBytes, count: int) -> NDArray[np.uint64]:
    """`count` residues, uniform mod q, straight from `random` (no expansion)."""
    residues = below_modulus(np.frombuffer(draw(random, 8 * count), dtype="<u8"))
    while residues.size < count:
        more = below_modulus(np.frombuffer(draw(random, 8 * count), dtype="<u8"))
        residues = np.concatenate([residues, more])[:count]
    return residues


def expand_public(domain: bytes, count: int, modulus: int = MODULUS) -> NDArray[np.uint64]:
    """`count` residues, uniform mod `modulus`, that everyone derives from `domain`.

    SHAKE-256 read as little-endian 64-bit words, cut to the modulus' bits, those not below the
    modulus skipped. A longer output of SHAKE-256 extends a shorter one, so that the result does
    not depend on how much was asked for at first.
    """
    shake = hashlib.shake_256(domain)
    words = count
    while True:
        stream = np.frombuffer(shake.digest(8 * words), dtype="<u8")
        residues = below_modulus(stream, modulus)
        if residues.size >= count:
            return residues[:count]
        words += count


class MatrixRow:
    """The key stream of row `row` of the matrix that `seed` stands for.

    AES-256 in counter mode under the public seed, as FrodoKEM makes its matrix (Alkim et al. 2021,
    section 2.4). Rows are 2^96 blocks apart.

    Parameters
    ----------
    seed : bytes
        32 bytes that nobody could choose freely.
    row : int
        Below 2^32.
    """

    __slots__ = ("_cipher",)

    def __init__(self, seed: bytes, row: int) -> None:
        start = modes.CTR(row.to_bytes(4, "big") + bytes(12))
        self._cipher = Cipher(algorithms.AES(seed), start).encryptor()

    def words(self, count: int) -> NDArray[np.uint64]:
        """The next `count` 64-bit words."""
        return np.frombuffer(self._cipher.update(bytes(8 * count)), dtype="<u8")


def public_matrix_row(
    seed: bytes, row: int, count: int, modulus: int = MODULUS
) -> NDArray[np.uint64]:
    """`count` residues, uniform mod `modulus`, of a `MatrixRow`, read as in `expand_public`."""
    stream = MatrixRow(seed, row)
    parts, found = [], 0
    while found < count:
        parts.append(below_modulus(stream.words(count), modulus))
        found += parts[-1].size
    return parts[0] if len(parts) == 1 else np.concatenate(parts)[:count]


@dataclass(frozen=True, kw_only=True, repr=False)
class Coins:
    """84 fair coins for each error: 64 in a word, 20 in the low bits of another."""

    words: NDArray[np.uint64]
    spare: NDArray[np.uint32]

    def errors(self) -> NDArray[np.int64]:
        """Centred binomial errors with eta = 42, in [-42, 42].

        The difference of two sums of 42 fair coins has the distribution of one sum of 84, less
        42: half of the coins are turned over.
        """
        spare = np.uint32((1 << (2 * ETA - 64)) - 1)
        heads = np.bitwise_count(self.words).astype(np.int64)
        heads += np.bitwise_count(self.spare & spare)
        heads -= ETA
        return heads


class Stream:
    """A pseudo-random stream: AES-256 in counter mode under a one-time seed."""

    __slots__ = ("_cipher",)

    def __init__(self, *, random: RandomBytes) -> None:
        mode = modes.CTR(bytes(16))
        self._cipher = Cipher(algorithms.AES(draw(random, 32)), mode).encryptor()

    def words64(self, count: int) -> NDArray[np.uint64]:
        """`count` uniform 64-bit words."""
        return np.frombuffer(self._cipher.update(bytes(8 * count)), dtype="<u8")

    def words32(self, count: int) -> NDArray[np.uint32]:
        """`count` uniform 32-bit words."""
        return np.frombuffer(self._cipher.update(bytes(4 * count)), dtype="<u4")

    def coins(self, count: int) -> Coins:
        """Coins for `count` errors."""
        return Coins(words=self.words64(count), spare=self.words32(count))
