"""A member's key of one round: uniform, used once, then gone."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from flwr_swarm._exceptions import KeyReused

from .modular import Residues
from .parameters import DEGREE
from .randomness import RandomBytes, uniform


class OneTimeKey:
    """A uniform element s of R_q, in NTT form, that can be spent once.

    Two ciphertexts under one key reveal, in each chunk they share, the difference of their
    messages. So the key has one method, which works once: in one thread of one process. A key is
    made from randomness only; who has the residues of another key cannot make a second of it.

    Parameters
    ----------
    random : callable
        The source of the key, used without expansion.
    """

    __slots__ = ("__weakref__", "_process", "_secret", "_unspent", "_wipe")

    def __init__(self, *, random: RandomBytes) -> None:
        self._secret = uniform(random, DEGREE)
        self._wipe = weakref.finalize(self, self._secret.fill, 0)
        self._process = os.getpid()
        # Taken by the one use, and never given back: of two threads one gets it.
        self._unspent = Lock()

    @contextmanager
    def spend(self) -> Iterator[Residues]:
        """Lend the secret, to be read only, for one use; it is overwritten with zeros afterwards.

        Raises
        ------
        KeyReused
            The second time, whether or not the first one succeeded, and in a forked process.
        """
        if self._process != os.getpid():
            raise KeyReused("this one-time key is another process's; generate one after the fork")
        if not self._unspent.acquire(blocking=False):
            raise KeyReused("this one-time key was used before; generate one for every round")
        lent = self._secret.view()
        lent.flags.writeable = False
        try:
            yield lent
        finally:
            self._wipe()

    def __repr__(self) -> str:
        return f"OneTimeKey({'spent' if self._unspent.locked() else 'unused'})"

    def __reduce__(self) -> str:
        """Refuse copies and pickles: they would be a second use."""
        raise KeyReused("a one-time key cannot be copied; generate one for every round")
