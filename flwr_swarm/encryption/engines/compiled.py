"""The compiled engine: the reference's bytes, by numba, on as many cores as there are."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError

from ..modular import Residues
from ..parameters import DEGREE, RingParameters
from ..randomness import Coins, MatrixRow
from ..ring import common_key
from . import kernels
from .roots import tables
from .seal import SealEngine

_WORDS: Final = DEGREE // 16 * kernels.WORDS


class CompiledEngine:
    """numba's compilation of the ring's loops. They hold no lock of Python's while they run."""

    name: ClassVar[str] = "numba"
    parallel: ClassVar[bool] = True

    def __init__(self) -> None:
        if sys.byteorder != "little":
            raise ConfigurationError("the numba engine needs a little-endian machine; use seal")
        self._roots, self._shoup, self._inverse = tables()
        self._reference = SealEngine()

    def cipher(self, *, seed: bytes, secret: Residues, parameters: RingParameters) -> _Cipher:
        """See `Engine.cipher`."""
        key = np.empty((2, DEGREE), dtype=np.uint64)
        kernels.scaled_key(secret, self._inverse, key[0], key[1])
        return _Cipher(
            seed=seed,
            secret=secret,
            key=key,
            roots=(self._roots, self._shoup),
            parameters=parameters,
            reference=self._reference,
        )

    def pack(self, rows: Residues, *, out: memoryview) -> None:
        """See `Engine.pack`."""
        kernels.pack(rows, _words(out))

    def unpack(self, data: memoryview) -> Residues:
        """See `Engine.unpack`."""
        packed = _words(data)
        rows = np.empty((len(packed), DEGREE), dtype=np.uint64)
        return rows if kernels.unpack(packed, rows) else self._reference.unpack(data)

    def accumulate(self, total: Residues, term: Residues) -> None:
        """See `Engine.accumulate`."""
        kernels.accumulate(total, term)

    def round(
        self,
        update: NDArray[np.float64],
        *,
        scale: float,
        levels: int,
        coins: NDArray[np.uint32],
        out: NDArray[np.uint32],
    ) -> None:
        """See `Engine.round`."""
        kernels.round_up_or_down(update, scale, float(levels), coins, out)

    def horner(self, coefficients: Residues, point: int) -> Residues:
        """See `Engine.horner`."""
        rows = np.asarray(coefficients)
        value = np.empty(rows.shape[1], dtype=np.uint64)
        kernels.horner(rows, np.uint64(point), value)
        return value


class _Cipher:
    """One key's products. What the kernels cannot do is done by the reference's cipher."""

    def __init__(
        self,
        *,
        seed: bytes,
        secret: Residues,
        key: NDArray[np.uint64],
        roots: tuple[NDArray[np.uint64], NDArray[np.uint64]],
        parameters: RingParameters,
        reference: SealEngine,
    ) -> None:
        self._seed = common_key(seed)
        self._key = key
        self._roots = roots
        self._parameters = parameters
        t = parameters.plain_modulus
        shift = t.bit_length() - 1 if t & (t - 1) == 0 else -1
        self._shape = (
            parameters.lanes,
            parameters.lane_bits,
            parameters.step,
            parameters.remainder,
            shift,
            t,
        )
        self._reference = partial(reference.cipher, seed=seed, secret=secret, parameters=parameters)

    def __enter__(self) -> Self:
        return self

    def encrypt(
        self, lanes: NDArray[np.uint32], *, first: int, coins: Coins, out: memoryview
    ) -> None:
        """See `Cipher.encrypt`."""
        packed = _words(out)
        words = self._common(first, len(packed))
        if not kernels.encrypt(
            lanes, words, coins.words, coins.spare, *self._key, *self._roots, self._shape, packed
        ):
            with self._reference() as reference:
                reference.encrypt(lanes, first=first, coins=coins, out=out)

    def decrypt(
        self, rows: Residues, *, first: int, included: int, out: NDArray[np.uint32]
    ) -> None:
        """See `Cipher.decrypt`."""
        words, bound = self._common(first, len(rows)), self._parameters.noise_bound(included)
        if not kernels.decrypt(
            rows, words, *self._key, *self._roots, self._shape, np.int64(bound), out
        ):
            with self._reference() as reference:
                reference.decrypt(rows, first=first, included=included, out=out)

    def _common(self, first: int, count: int) -> NDArray[np.uint64]:
        words = np.empty((count, DEGREE), dtype=np.uint64)
        for k, row in enumerate(words):
            row[:] = MatrixRow(self._seed, first + k).words(DEGREE)
        return words

    def __exit__(self, *raised: object) -> None:
        self._key.fill(0)


def _words(data: Any) -> NDArray[np.uint64]:
    """Packed residues of whole chunks as words that lie in `data`, wherever it begins."""
    return np.ndarray((len(data) // (8 * _WORDS), _WORDS), dtype=np.uint64, buffer=data)
