"""Who does the ring's arithmetic: SEAL, the reference, or compiled loops that give the same bytes.

numba is optional (`pip install 'flwr-swarm[fast]'`), and takes half a second to load. Where it is
there, a process goes over to it once SEAL has worked as long: so it never takes more than twice
the time of the better choice, however much comes. FLWR_SWARM_ENGINE=seal or numba decides
otherwise.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib.util import find_spec
from typing import ClassVar, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError

from ..modular import Residues
from ..parameters import RingParameters
from ..randomness import Coins

ENGINES: Final = ("seal", "numba")
VARIABLE: Final = "FLWR_SWARM_ENGINE"
LOADING: Final = 2048
"""Chunks that SEAL encrypts or decrypts in the CPU time that loading numba takes."""
_COMPILED: Final = f"{__name__}.compiled"


class Cipher(Protocol):
    """Products with one key, for as long as it is open."""

    def __enter__(self) -> Self:
        """Itself."""
        ...

    def encrypt(
        self, lanes: NDArray[np.uint32], *, first: int, coins: Coins, out: memoryview
    ) -> None:
        """Write the packed residues a_k*s + e_k + round(q/t * m_k) of chunks from `first` on.

        Parameters
        ----------
        lanes : (n,) uint32
            The part of the update that these chunks hold.
        first : int
        coins : Coins
            For 4096 errors a chunk.
        out : memoryview
            7,680 * 4 bytes a chunk.
        """
        ...

    def decrypt(
        self, rows: Residues, *, first: int, included: int, out: NDArray[np.uint32]
    ) -> None:
        """Write the lane sums of the chunks `rows`, the first of which is number `first`.

        Raises
        ------
        OpeningRejected
            If the noise is not that of `included` fresh ciphertexts.
        """
        ...

    def __exit__(self, *raised: object) -> None:
        """Overwrite what depends on the key."""
        ...


class Engine(Protocol):
    """The ring's arithmetic."""

    name: ClassVar[str]
    """`seal` or `numba`."""
    parallel: ClassVar[bool]
    """Whether several threads make it faster."""

    def cipher(self, *, seed: bytes, secret: Residues, parameters: RingParameters) -> Cipher:
        """Products of the round's common polynomials with `secret`, (4096,) uint64 in NTT form."""
        ...

    def pack(self, rows: Residues, *, out: memoryview) -> None:
        """Write residues (chunks, 4096) as in `dense.pack_residues`."""
        ...

    def unpack(self, data: memoryview) -> Residues:
        """The inverse of `pack`; WireError if a residue is not below q."""
        ...

    def accumulate(self, total: Residues, term: Residues) -> None:
        """`total` becomes total + term mod q."""
        ...

    def round(
        self,
        update: NDArray[np.float64],
        *,
        scale: float,
        levels: int,
        coins: NDArray[np.uint32],
        out: NDArray[np.uint32],
    ) -> None:
        """Write update * scale to `out`, cut to -levels to levels, rounded down or up, + levels.

        Up where the coin, as a fraction of 2^32, is below the part behind the point.
        """
        ...

    def horner(self, coefficients: Residues, point: int) -> Residues:
        """See `modular.horner`."""
        ...


def engine_for(chunks: int) -> Engine:
    """The engine for a part of the work on an update of so many chunks.

    Raises
    ------
    ConfigurationError
        If FLWR_SWARM_ENGINE names none, or one that is not installed.
    """
    wanted = os.environ.get(VARIABLE, "auto")
    if wanted == "auto":
        compiled = _COMPILED in sys.modules or chunks >= LOADING
        wanted = "numba" if compiled and _has_numba() else "seal"
    return named(wanted)


def engine_to_multiply(chunks: int) -> Engine:
    """The engine that encrypts or decrypts so many chunks; errors as in `engine_for`."""
    return engine_for(_METER.add(chunks))


class _Meter:
    """Chunks that were encrypted and decrypted in this process."""

    def __init__(self) -> None:
        self._total = 0

    def add(self, chunks: int) -> int:
        """The total, with these."""
        self._total += chunks
        return self._total


_METER: Final = _Meter()


@cache
def named(name: str) -> Engine:
    """The engine of this name; errors as in `engine_for`."""
    if name == "seal":
        from .seal import SealEngine  # noqa: PLC0415 (engines import what imports this)

        return SealEngine()
    if name != "numba":
        raise ConfigurationError(
            f"{VARIABLE} must be auto, {' or '.join(ENGINES)}, got {name!r}; unset it for auto"
        )
    if not _has_numba():
        raise ConfigurationError(
            f"{VARIABLE} asks for numba, which is not installed; pip install 'flwr-swarm[fast]'"
        )
    from .compiled import CompiledEngine  # noqa: PLC0415 (numba is optional, and takes a while)

    return CompiledEngine()


@cache
def _has_numba() -> bool:
    return find_spec("numba") is not None
