"""The secret key of CKKS from decrypted floats that were published: Li and Micciancio (2021).

CKKS's errors are part of what it decrypts. Whoever has a ciphertext (c0, c1) and the floats that
it decrypts to can encode these again, exactly, and is left with linear equations in the key s:
m = c0 + c1*s. TenSEAL publishes real parts only, which is m + m' with m'(X) = m(1/X): two
ciphertexts under one key then give as many equations as unknowns. A federation that encrypts a
model in chunks under one key and publishes the sum gives hundreds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError

from .ntt import Integers, Ring, ring, seal_prime

_GENERATOR = 3
"""SEAL numbers its slots by powers of three."""


class Coefficients(Protocol):
    """Words of a ciphertext, such as TenSEAL's: polynomial by polynomial, prime by prime."""

    def __getitem__(self, index: int, /) -> int: ...


@dataclass(frozen=True, kw_only=True, repr=False)
class Chunk:
    """One ciphertext and what it decrypts to.

    Parameters
    ----------
    ciphertext : Coefficients
        Two polynomials in SEAL's NTT form, each modulo every prime but the last.
    floats : float64 array, shape (degree/2,)
        As published: all slots, in full precision.
    """

    ciphertext: Coefficients
    floats: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CkksParameters:
    """Degree, bits of the primes, and scale; the defaults are NVFlare's."""

    degree: int = 8192
    bits: tuple[int, ...] = (60, 40, 40)
    scale: float = 2.0**40

    @property
    def residues(self) -> int:
        """Primes that a fresh ciphertext carries: the last one serves key switching only."""
        return len(self.bits) - 1

    @property
    def ring(self) -> Ring:
        """Of the ciphertext's last prime; SEAL gives the largest of a size to the rearmost."""
        last = self.residues - 1
        later = sum(bits == self.bits[last] for bits in self.bits[last + 1 :])
        return ring(self.degree, seal_prime(self.degree, self.bits[last], later))


def chunk_of(vector: Any, floats: Sequence[float]) -> Chunk:
    """A TenSEAL `CKKSVector` of one ciphertext, and the floats that were published of it."""
    ciphertexts = vector.ciphertext()
    if len(ciphertexts) != 1:
        raise ConfigurationError(
            f"the vector holds {len(ciphertexts)} ciphertexts; give chunks of degree/2 floats"
        )
    return Chunk(ciphertext=ciphertexts[0], floats=np.asarray(floats, np.float64))


def recover_ckks_key(
    first: Chunk, second: Chunk, parameters: CkksParameters | None = None
) -> NDArray[np.int8] | None:
    """The ternary key under which both chunks were encrypted, or None if none explains them.

    Parameters
    ----------
    first, second : Chunk
        Different ciphertexts under one key, sums as well as single ones.
    parameters : CkksParameters, optional
        NVFlare's by default.

    Returns
    -------
    int8 array, shape (degree,), or None
        Coefficients of the key.
    """
    settings = parameters or CkksParameters()
    held = settings.ring
    (c0, c1), (d0, d1) = (_polynomials(chunk, settings) for chunk in (first, second))
    known = [
        (held.values(_encoded(chunk, settings)) - constant - _mirrored(constant)) % held.modulus
        for chunk, constant in ((first, c0), (second, d0))
    ]
    # At each root: c1 * s + c1' * s' = known, for both chunks; Cramer's rule for s.
    determinant = _determinant(c1, d1, held)
    if not determinant.all():
        return None
    top = (known[0] * _mirrored(d1) - _mirrored(c1) * known[1]) % held.modulus
    key = held.coefficients(top * held.inverse(determinant))
    return key.astype(np.int8) if max(abs(key)) <= 1 else None


def solvable(first: Chunk, second: Chunk, parameters: CkksParameters | None = None) -> bool:
    """Whether the two give as many equations as unknowns; if not, an attacker takes other chunks.

    They do but for a determinant that vanishes at a root: with probability degree/2q at most.
    """
    settings = parameters or CkksParameters()
    (_, c1), (_, d1) = (_polynomials(chunk, settings) for chunk in (first, second))
    return bool(_determinant(c1, d1, settings.ring).all())


def open_with(key: NDArray[np.int8], chunk: Coefficients, parameters: CkksParameters) -> Integers:
    """The plaintext polynomial of any ciphertext under the key, modulo its last prime."""
    held = parameters.ring
    c0, c1 = _polynomials(Chunk(ciphertext=chunk, floats=np.zeros(0)), parameters)
    return held.coefficients(c0 + c1 * held.values(key))


def slots(polynomial: Integers, parameters: CkksParameters) -> NDArray[np.float64]:
    """What a plaintext polynomial says: the real part of each slot."""
    degree = parameters.degree
    padded = np.r_[polynomial.astype(np.float64), np.zeros(degree)]
    values = np.fft.ifft(padded) * 2 * degree
    found: NDArray[np.float64] = values[_places(degree)].real / parameters.scale
    return found


def _determinant(c1: Integers, d1: Integers, held: Ring) -> Integers:
    return (c1 * _mirrored(d1) - _mirrored(c1) * d1) % held.modulus


def _encoded(chunk: Chunk, parameters: CkksParameters) -> Integers:
    """m + m' in integers, from the real parts of m's slots."""
    degree = parameters.degree
    if chunk.floats.shape != (degree // 2,):
        raise ConfigurationError(
            f"a chunk has {degree // 2} floats, got {chunk.floats.shape}; the attack needs all"
        )
    values = np.zeros(2 * degree)
    values[_places(degree)] = values[-_places(degree)] = chunk.floats
    exact = np.fft.fft(values)[:degree].real * (2 * parameters.scale / degree)
    return np.array([int(value) for value in np.rint(exact)], dtype=object)


def _places(degree: int) -> NDArray[np.int64]:
    """The exponent of the root at which each slot stands."""
    powers = [1]
    for _ in range(degree // 2 - 1):
        powers.append(powers[-1] * _GENERATOR % (2 * degree))
    return np.array(powers)


def _polynomials(chunk: Chunk, parameters: CkksParameters) -> tuple[Integers, Integers]:
    """c0 and c1 modulo the last prime, in our order of roots."""
    held, degree = parameters.ring, parameters.degree
    starts = [(k * parameters.residues + parameters.residues - 1) * degree for k in (0, 1)]
    words = [[chunk.ciphertext[start + k] for k in range(degree)] for start in starts]
    first, second = (np.array(word, dtype=object)[held.seal_order] for word in words)
    return first, second


def _mirrored(values: Integers) -> Integers:
    """The values of p(1/X): those of p at the inverse roots."""
    return values[::-1]
