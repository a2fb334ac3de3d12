"""Cryptographic randomness for noise and sampling, independent of every torch seed.

A `torch.Generator` will not do on the CPU: its Mersenne Twister takes only the low 32 bits of a
seed, and its outputs predict its future. Here an AES-256 key from the operating system drives a
keystream, so that neither another site, nor who knows all released noise, can tell what follows.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class SecureRandom:
    """Uniform and Gaussian numbers from AES-256 in counter mode.

    Parameters
    ----------
    entropy : callable
        Returns n random bytes; called once, for the key. Replaced only in tests.
    """

    def __init__(self, *, entropy: Callable[[int], bytes] = os.urandom) -> None:
        cipher = Cipher(algorithms.AES(entropy(32)), modes.CTR(bytes(16)))
        self._keystream = cipher.encryptor()

    def uniform(self, count: int) -> torch.Tensor:
        """`count` float64 numbers, uniform on the midpoints of 2^52 cells of (0, 1)."""
        words = np.frombuffer(self._keystream.update(bytes(8 * count)), np.uint64)
        # 52 bits and a half are exact in float64: neither 0 nor 1 can come out.
        return torch.from_numpy(((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)

    def normal(self, shape: torch.Size) -> torch.Tensor:
        """Standard Gaussian float64 numbers, by inversion (tails to 8.2 sigma)."""
        flat: torch.Tensor = torch.special.ndtri(self.uniform(shape.numel()))
        return flat.reshape(shape)

    def __repr__(self) -> str:  # the key is secret
        return "SecureRandom()"

    def __deepcopy__(self, memo: object) -> SecureRandom:
        return SecureRandom()  # a copied keystream would repeat the noise

    def __reduce__(self) -> tuple[type[SecureRandom], tuple[()]]:
        return SecureRandom, ()
