"""Encrypting lanes under one key and decrypting a sum under the sum of keys, group by group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import modular
from .modular import Residues
from .packing import pack, unpack, without_filling
from .parameters import MODULUS, RingParameters
from .randomness import Stream
from .ring import GROUP, Multiplier
from .scaling import scale_down, scale_up
from .wire import Ciphertext, pack_residues, write_ciphertext


def encrypt(
    lanes: NDArray[np.uint32],
    *,
    secret: Residues,
    seed: bytes,
    stream: Stream,
    parameters: RingParameters,
) -> bytes:
    """The wire form of c_k = a_k*s + e_k + round(q/t * m_k) for all chunks k of `lanes`.

    Parameters
    ----------
    lanes : (n,) uint32
        Each below 2^lane_bits.
    secret : (4096,) uint64
        The one-time key s in NTT form.
    seed : bytes
        The round's common seed, from which the a_k follow.
    stream : Stream
        Source of the errors.
    """
    packed = []
    chunks, width = parameters.chunks(lanes.size), parameters.lanes_per_chunk
    with Multiplier(seed=seed, factor=secret) as multiplier:
        for first in range(0, chunks, GROUP):
            count = min(GROUP, chunks - first)
            part = lanes[first * width : (first + count) * width]
            total = scale_up(pack(part, parameters, chunks=count), parameters)
            total += stream.errors(total.size).reshape(total.shape)
            # Message and error are in [-42, q): one q keeps the sum positive and below 3q.
            total += MODULUS
            residues = total.view(np.uint64)
            residues += multiplier.products(first, count)
            packed.append(pack_residues(modular.reduce_once(modular.reduce_once(residues))))
    return write_ciphertext(lanes.size, packed, parameters)


def decrypt(
    total: Ciphertext, *, secret: Residues, seed: bytes, parameters: RingParameters
) -> NDArray[np.uint64]:
    """The lane sums of `total` under the sum of its keys.

    Raises
    ------
    OpeningRejected
        If the noise is not that of `total.summands` fresh ciphertexts, or the chunks hold more
        than the lanes.
    """
    chunks, width = len(total.residues), parameters.lanes_per_chunk
    sums = np.empty(chunks * width, dtype=np.uint64)
    with Multiplier(seed=seed, factor=secret) as multiplier:
        for first in range(0, chunks, GROUP):
            rows = total.residues[first : first + GROUP]
            noisy = modular.subtract(rows, multiplier.products(first, len(rows)))
            messages = scale_down(noisy, included=total.summands, parameters=parameters)
            part = sums[first * width : (first + len(rows)) * width]
            unpack(messages, parameters, out=part)
    return without_filling(sums, total.lanes)
