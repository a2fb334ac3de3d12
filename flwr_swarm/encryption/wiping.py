"""Secrets in arrays of ours are overwritten when they are no longer needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .modular import Residues


@contextmanager
def wiped(*arrays: Residues) -> Iterator[None]:
    """Overwrite the arrays with zeros afterwards, whatever happens.

    Not reached: what numpy holds between two operations, and immutable bytes, which is what the
    system's randomness, `cryptography` and SEAL take and give. Their memory is freed, not cleared.
    """
    try:
        yield
    finally:
        for one in arrays:
            one.fill(0)
