"""Encrypting lanes under one key and decrypting a sum under the sum of keys, group by group."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .encoding import Encoding
from .engines import Engine, engine_to_multiply
from .modular import Residues
from .packing import without_filling
from .parameters import DEGREE, RingParameters
from .randomness import Stream
from .ring import GROUP
from .wire import Ciphertext, draft_ciphertext

_MOST_THREADS: Final = 8
_NOTHING: Final = np.empty(0, dtype=np.uint32)


def encrypt(
    lanes: NDArray[np.uint32] | Encoding,
    *,
    secret: Residues,
    seed: bytes,
    stream: Stream,
    parameters: RingParameters,
    engine: Engine | None = None,
) -> bytes:
    """The wire form of c_k = a_k*s + e_k + round(q/t * m_k) for all chunks k of `lanes`.

    Parameters
    ----------
    lanes : (n,) uint32, or Encoding
        Each below 2^lane_bits.
    secret : (4096,) uint64
        The one-time key s in NTT form.
    seed : bytes
        The round's common seed, from which the a_k follow.
    stream : Stream
        Source of the errors.
    engine : Engine, optional
        Whichever; the bytes are the same.
    """
    chunks, width = parameters.chunks(lanes.size), parameters.lanes_per_chunk
    engine = engine or engine_to_multiply(chunks)
    draft = draft_ciphertext(lanes.size, parameters)
    with (
        engine.cipher(seed=seed, secret=secret, parameters=parameters) as cipher,
        _workers(engine, chunks) as run,
    ):
        groups = _groups(lanes, GROUP * width)
        for first in range(0, chunks, GROUP):
            last = min(first + GROUP, chunks)
            part = next(groups, _NOTHING)
            coins = stream.coins((last - first) * DEGREE)
            run(cipher.encrypt, part, first=first, coins=coins, out=draft.chunks(first, last))
    return draft.finish()


def decrypt(
    total: Ciphertext,
    *,
    secret: Residues,
    seed: bytes,
    parameters: RingParameters,
    engine: Engine | None = None,
) -> NDArray[np.uint32]:
    """The lane sums of `total` under the sum of its keys.

    Raises
    ------
    OpeningRejected
        If the noise is not that of `total.summands` fresh ciphertexts, or the chunks hold more
        than the lanes.
    """
    chunks, width = len(total.residues), parameters.lanes_per_chunk
    engine = engine or engine_to_multiply(chunks)
    sums = np.empty(chunks * width, dtype=np.uint32)
    with (
        engine.cipher(seed=seed, secret=secret, parameters=parameters) as cipher,
        _workers(engine, chunks) as run,
    ):
        for first in range(0, chunks, GROUP):
            rows = total.residues[first : first + GROUP]
            part = sums[first * width : (first + len(rows)) * width]
            run(cipher.decrypt, rows, first=first, included=total.summands, out=part)
    return without_filling(sums, total.lanes)


def _groups(lanes: NDArray[np.uint32] | Encoding, width: int) -> Iterator[NDArray[np.uint32]]:
    if isinstance(lanes, Encoding):
        return lanes.groups(width)
    return (lanes[start : start + width] for start in range(0, lanes.size, width))


@contextmanager
def _workers(engine: Engine, chunks: int) -> Iterator[Callable[..., None]]:
    """A function that runs jobs, on all cores where that helps; all are done at the end.

    Few jobs wait at a time, so that their inputs take little memory.
    """
    threads = min(_cores(), _MOST_THREADS, -(-chunks // GROUP))
    if not engine.parallel or threads == 1:
        yield lambda job, *values, **named: job(*values, **named)
        return
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(threads) as pool:

        def run(job: Callable[..., None], *values: object, **named: object) -> None:
            if len(waiting) > threads:
                waiting.popleft().result()
            waiting.append(pool.submit(job, *values, **named))

        yield run
        for job in waiting:
            job.result()


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
