"""The reference engine: SEAL's products through TenSEAL, and numpy for the rest."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from .. import modular
from ..dense import unpack_residues, write_residues
from ..modular import Residues
from ..packing import pack, unpack
from ..parameters import DEGREE, MODULUS, RingParameters
from ..randomness import Coins
from ..ring import Multiplier
from ..scaling import scale_down, scale_up


class SealEngine:
    """What the other engines must equal, byte for byte."""

    name: ClassVar[str] = "seal"
    parallel: ClassVar[bool] = False

    def cipher(self, *, seed: bytes, secret: Residues, parameters: RingParameters) -> _Cipher:
        """See `Engine.cipher`."""
        return _Cipher(multiplier=Multiplier(seed=seed, factor=secret), parameters=parameters)

    def pack(self, rows: Residues, *, out: memoryview) -> None:
        """See `Engine.pack`."""
        write_residues(rows, out=out)

    def unpack(self, data: memoryview) -> Residues:
        """See `Engine.unpack`."""
        return unpack_residues(data).reshape(-1, DEGREE)

    def accumulate(self, total: Residues, term: Residues) -> None:
        """See `Engine.accumulate`."""
        modular.accumulate(total, term)

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
        exact = update * scale
        np.clip(exact, -levels, levels, out=exact)  # clipping may leave one unit in the last place
        below = np.floor(exact)
        exact -= below
        below += coins * 2.0**-32 < exact
        below += levels
        out[:] = below

    def horner(self, coefficients: Residues, point: int) -> Residues:
        """See `Engine.horner`."""
        return modular.horner(coefficients, point)


class _Cipher:
    def __init__(self, *, multiplier: Multiplier, parameters: RingParameters) -> None:
        self._multiplier = multiplier
        self._parameters = parameters

    def __enter__(self) -> Self:
        return self

    def encrypt(
        self, lanes: NDArray[np.uint32], *, first: int, coins: Coins, out: memoryview
    ) -> None:
        """See `Cipher.encrypt`."""
        count = len(coins.words) // DEGREE
        total = scale_up(pack(lanes, self._parameters, chunks=count), self._parameters)
        total += coins.errors().reshape(total.shape)
        # Message and error are in [-42, q): one q keeps the sum positive and below 3q.
        total += MODULUS
        residues = total.view(np.uint64)
        residues += self._multiplier.products(first, count)
        write_residues(modular.reduce_once(modular.reduce_once(residues)), out=out)

    def decrypt(
        self, rows: Residues, *, first: int, included: int, out: NDArray[np.uint64]
    ) -> None:
        """See `Cipher.decrypt`."""
        noisy = modular.subtract(rows, self._multiplier.products(first, len(rows)))
        messages = scale_down(noisy, included=included, parameters=self._parameters)
        unpack(messages, self._parameters, out=out)

    def __exit__(self, *raised: object) -> None:
        self._multiplier.__exit__(None, None, None)
