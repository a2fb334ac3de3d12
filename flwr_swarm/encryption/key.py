"""A member's key of one round: uniform, used once, then gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from flwr_swarm._exceptions import KeyReused

from .modular import Residues
from .parameters import DEGREE
from .randomness import RandomBytes, uniform


class OneTimeKey:
    """A uniform element s of R_q, in NTT form, that can be spent once.

    Two ciphertexts under one key reveal, in each chunk they share, the difference of their
    messages. So the key has one method, which works once.
    """

    __slots__ = ("_secret",)

    def __init__(self, *, secret: Residues) -> None:
        self._secret: Residues | None = secret

    @classmethod
    def generate(cls, *, random: RandomBytes) -> Self:
        """A fresh key straight from `random`."""
        return cls(secret=uniform(random, DEGREE).copy())

    @contextmanager
    def spend(self) -> Iterator[Residues]:
        """Lend the secret for one use; it is overwritten with zeros afterwards.

        Raises
        ------
        KeyReused
            The second time, whether or not the first one succeeded.
        """
        secret, self._secret = self._secret, None
        if secret is None:
            raise KeyReused("this one-time key was used before; generate one for every round")
        try:
            yield secret
        finally:
            secret.fill(0)

    def __repr__(self) -> str:
        return f"OneTimeKey({'spent' if self._secret is None else 'unused'})"

    def __reduce__(self) -> str:
        """Refuse copies and pickles: they would be a second use."""
        raise KeyReused("a one-time key cannot be copied; generate one for every round")
