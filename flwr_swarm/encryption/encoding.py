"""One member's lanes, made as they are sealed, so that they need not lie in memory all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .grid import Grid, ShareOfNoise
from .layers import Bounded, Part
from .quantise import round_to_grid
from .randomness import RandomBytes, Stream


@dataclass(frozen=True, kw_only=True, repr=False)
class Encoding:
    """A weighted update that is rounded to lanes anew, by fresh coins, each time it is read.

    Parameters
    ----------
    head : sequence of int
        The lanes before the entries.
    bounded : Bounded
        The clipped update.
    parts : sequence of Part
        Its parts, in order.
    grid : Grid
    share : float
        The member's weight over the largest weight.
    random : callable
    """

    head: Sequence[int]
    bounded: Bounded
    parts: Sequence[Part]
    grid: Grid
    share: float
    random: RandomBytes

    @property
    def size(self) -> int:
        """Lanes in all."""
        return len(self.head) + self.bounded.entries.size

    def groups(self, width: int) -> Iterator[NDArray[np.uint32]]:
        """All lanes in order, `width` at a time, the last group maybe fewer."""
        rounding = _Rounding(encoding=self, random=self.random)
        noise = ShareOfNoise(grid=self.grid, random=self.random)
        done = 0
        for start in range(0, self.size, width):
            lanes = np.empty(min(width, self.size - start), dtype=np.uint32)
            head = self.head[start : start + width]
            lanes[: len(head)] = head
            entries = lanes[len(head) :]
            rounding.fill(entries, first=done)
            noise.add_to(entries)
            done += entries.size
            yield lanes


class _Rounding:
    """Rounds entries from the first to the last, with coins of its own for each part."""

    def __init__(self, *, encoding: Encoding, random: RandomBytes) -> None:
        self._encoding = encoding
        self._random = random
        self._waiting = list(reversed(encoding.parts))
        self._coins: Stream | None = None

    def fill(self, out: NDArray[np.uint32], *, first: int) -> None:
        """Write as many entries as `out` holds, the first of which is number `first`."""
        encoding, last = self._encoding, first + out.size
        place = first
        while place < last:
            part = self._waiting[-1]
            end = min(part.place.stop, last)
            self._coins = self._coins or Stream(random=self._random)
            round_to_grid(
                encoding.bounded.entries[place:end],
                factors=encoding.bounded.factors,
                scale=encoding.share * encoding.grid.top / part.largest,
                levels=encoding.grid.top,
                coins=self._coins,
                out=out[place - first : end - first],
            )
            if end == part.place.stop:
                self._waiting.pop()
                self._coins = None
            place = end
