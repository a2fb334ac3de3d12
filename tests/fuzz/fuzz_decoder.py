"""A decoder under test, and what must hold of it for any bytes at all."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from flwr_swarm._exceptions import SwarmError, WireError

Mutate = Callable[[Random, bytes, Sequence[bytes]], bytes]
"""(random, a valid message, all valid messages) -> other bytes of nearly that form."""


class Finding(AssertionError):
    """A decoder broke a promise; says which, and on which input."""


def _same(data: bytes, value: Any) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """One way for a stranger's bytes into the project.

    Parameters
    ----------
    name : str
    read : callable
        The decoder.
    corpus : tuple of bytes
        Valid messages, made by the project's own code.
    mutate : callable
        Knows the form.
    faithful : callable
        Whether what was accepted means these bytes and no others: as a rule, that they are the
        one encoding of what was read.
    refusals : tuple of type
        The named errors that it may end in.
    per_byte, constant : int
        Bound on memory: `per_byte * len(data) + constant`, in bytes.
    share : int
        How often it is tried, relative to the others.
    """

    name: str
    read: Callable[[bytes], Any]
    corpus: tuple[bytes, ...] = field(repr=False)
    mutate: Mutate
    faithful: Callable[[bytes, Any], bool] = _same
    refusals: tuple[type[Exception], ...] = (WireError,)
    per_byte: int = 64
    constant: int = 1 << 16
    share: int = 4

    def check(self, data: bytes) -> bool:
        """Whether `data` was accepted.

        Raises
        ------
        Finding
            It ended in no named error, took too much memory, or was accepted for something else.
        """
        allowed = self.per_byte * len(data) + self.constant
        taken, value, refused = self._measured(data)
        if taken > allowed:  # what is kept for good, or is another thread's, is not there twice
            taken = min(self._measured(data)[0] for _ in range(2))
        if taken > allowed:
            raise Finding(f"{self.name} took {taken} bytes of memory for {len(data)}")
        if refused is not None:
            if isinstance(refused, SwarmError) and len(str(refused)) > 2000 + 2 * len(data):
                raise Finding(f"{self.name} says {len(str(refused))} characters")
            return False
        if not self.faithful(data, value):
            raise Finding(f"{self.name} accepted other bytes for what it read")
        return True

    def _measured(self, data: bytes) -> tuple[int, Any, Exception | None]:
        """Peak of memory, what was read, and the error by which it was refused."""
        before = _fresh_peak()
        value, refused = None, None
        try:
            value = self.read(data)
        except self.refusals as error:
            refused = error
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            raise Finding(
                f"{self.name} ended in {type(error).__name__}: {str(error)[:200]}"
            ) from error
        return _peak() - before, value, refused

    def settle(self) -> None:
        """Read all valid messages once: what is made once and kept belongs to no input.

        Raises
        ------
        Finding
            One of them is refused.
        """
        for message in self.corpus:
            try:
                self.read(message)
            except Exception as error:
                raise Finding(f"{self.name} refuses a valid message: {error!r:.300}") from error
            if not self.check(message):
                raise Finding(f"{self.name} refuses a valid message")


def _fresh_peak() -> int:
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    tracemalloc.reset_peak()
    return tracemalloc.get_traced_memory()[0]


def _peak() -> int:
    return tracemalloc.get_traced_memory()[1]
