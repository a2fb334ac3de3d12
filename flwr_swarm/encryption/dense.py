"""Residues in 60 bits each, two of them in 15 bytes: the form in which they travel."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import WireError

from .modular import Residues
from .parameters import DEGREE, MODULUS

POLYNOMIAL_BYTES: Final = DEGREE // 2 * 15
_PAIR: Final = 15
"""Bytes of two residues."""
_LOW60 = np.uint64((1 << 60) - 1)
_4, _56 = np.uint64(4), np.uint64(56)


def pack_residues(residues: Residues) -> bytes:
    """Residues in 60 bits each, little-endian; their number is even."""
    data = bytearray(residues.size // 2 * _PAIR)
    write_residues(residues, out=data)
    return bytes(data)


def write_residues(residues: Residues, *, out: bytearray | memoryview) -> None:
    """As `pack_residues`, into `out`."""
    pairs = residues.reshape(-1, 2)
    first, second = _words(out)
    first[:] = pairs[:, 0]
    # Written last: of the byte that both touch it holds all, the upper half of `first` is zero.
    np.left_shift(pairs[:, 1], _4, out=second)
    second |= pairs[:, 0] >> _56


def unpack_residues(data: bytes | memoryview) -> Residues:
    """Residues of `pack_residues`; WireError if any is not below q or the length is odd."""
    if len(data) % _PAIR:
        raise WireError(f"residues take a multiple of {_PAIR} bytes, got {len(data)}")
    first, second = _words(data)
    pairs = np.empty((len(first), 2), dtype=np.uint64)
    np.bitwise_and(first, _LOW60, out=pairs[:, 0])
    np.right_shift(second, _4, out=pairs[:, 1])
    if pairs.max(initial=0) >= MODULUS:
        raise WireError("a residue is not below the modulus; ask the sender for the message again")
    return pairs.reshape(-1)


def _words(data: bytes | bytearray | memoryview) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Bytes 0 to 7 and bytes 7 to 14 of each pair, as little-endian words that lie in `data`."""
    shape = (len(data) // _PAIR,)
    if not shape[0]:  # numpy takes no offset into an empty buffer
        return np.empty(0, dtype="<u8"), np.empty(0, dtype="<u8")
    return (
        np.ndarray(shape, dtype="<u8", buffer=data, strides=(_PAIR,)),
        np.ndarray(shape, dtype="<u8", buffer=data, strides=(_PAIR,), offset=7),
    )
