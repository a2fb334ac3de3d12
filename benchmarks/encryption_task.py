"""What every contestant of the encryption benchmark is given, and how its work is timed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

CLIP: Final = 1.5
MAX_WEIGHT: Final = 300.0
ENCODE: Final = "encode"
"""From the update to what is encrypted: weigh it, and quantise it where integers are needed."""
ENCRYPT: Final = "encrypt"
"""From there to the bytes that are sent, everything that a member does in a round."""
MERGE: Final = "merge"
"""From all members' bytes to the bytes of their sum."""
OPEN: Final = "open"
"""From there to what was encrypted."""
DECODE: Final = "decode"
"""From there to the mean."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """Members' updates and weights; a few distinct ones, repeated.

    Parameters
    ----------
    members : int
    updates : tuple of (size,) float64
        Of L2 norm 1, so that none is clipped.
    """

    members: int
    updates: tuple[NDArray[np.float64], ...]

    @classmethod
    def drawn(cls, *, size: int, members: int, distinct: int, seed: int = 6) -> Task:
        """Normal updates: `distinct` of them, or one for each member if members are fewer."""
        rng = np.random.default_rng(seed)
        updates = [rng.standard_normal(size) for _ in range(min(distinct, members))]
        norms = [np.sqrt(np.sum(np.square(update))) for update in updates]
        for update, norm in zip(updates, norms, strict=True):
            np.divide(update, norm, out=update)
        return cls(members=members, updates=tuple(updates))

    @property
    def size(self) -> int:
        """Parameters of the model."""
        return self.updates[0].size

    def kind(self, member: int) -> int:
        """Members of one kind have the same update and weight."""
        return member % len(self.updates)

    def update(self, member: int) -> NDArray[np.float64]:
        """This member's difference from the global model."""
        return self.updates[self.kind(member)]

    def weight(self, member: int) -> float:
        """This member's number of examples."""
        return 100.0 + 50.0 * self.kind(member)

    @property
    def total_weight(self) -> float:
        """Sum of all members' weights."""
        return sum(self.weight(member) for member in range(self.members))

    def error(self, mean: NDArray[np.float64]) -> float:
        """Largest difference of `mean` from the true mean."""
        shares = [0.0] * len(self.updates)
        for member in range(self.members):
            shares[self.kind(member)] += self.weight(member) / self.total_weight
        rest = -mean
        for share, update in zip(shares, self.updates, strict=True):
            rest += share * update
        return float(np.max(np.abs(rest)))


@dataclass(frozen=True, kw_only=True)
class Upload:
    """What one member sends.

    Parameters
    ----------
    payload : bytes
        What is added up.
    beside : int
        Bytes that it sends beside it, to other members.
    dealt : Any
        What the contestant needs of it later.
    """

    payload: bytes
    beside: int = 0
    dealt: Any = None


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The mean that came out, the largest error it may have, and the bytes of the sum."""

    mean: NDArray[np.float64]
    allowed: float
    merged_bytes: int


class Clock:
    """Seconds of each part of the work: CPU of the whole process with all threads, and wall."""

    def __init__(self) -> None:
        self.parts: dict[str, list[tuple[float, float]]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time what is inside."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        spent = time.process_time() - cpu, time.perf_counter() - wall
        self.parts.setdefault(name, []).append(spent)


class Contestant(Protocol):
    """One way to add up members' updates.

    Parameters
    ----------
    name : str
    engine : str
        What computes it.
    profile : str
        Precision, where there is a choice.
    repeatable : bool
        Whether one member's payload can be added twice, as that of two members of one kind.
    """

    name: str
    engine: str
    profile: str
    repeatable: bool

    def begin(self, task: Task) -> None:
        """Set up keys. Not timed."""

    def client(self, member: int, clock: Clock) -> Upload:
        """All that this member does up to its upload, timed as ENCODE and ENCRYPT."""

    def finish(self, uploads: Sequence[Upload], clock: Clock) -> Opened:
        """Add up and open, timed as MERGE, OPEN and DECODE."""
