"""The encryption benchmark's lower bounds: pairwise masks, and no protection at all.

Masks as of Bonawitz et al. 2017, without what lets a round survive a dropout: each pair of members
agrees by X25519 (timed by itself), each member adds or subtracts one AES-128-CTR stream for each
other member to its integers mod 2^32. Nothing is shared, so that one missing member spoils the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from flwr_swarm.encryption import Codec

from .encryption_task import (
    CLIP,
    DECODE,
    ENCODE,
    ENCRYPT,
    MAX_WEIGHT,
    MERGE,
    OPEN,
    Clock,
    Opened,
    Task,
    Upload,
)

MASKS: Final = "pairwise masks"
PLAINTEXT: Final = "plaintext"
AGREEMENT: Final = "key agreement"
_BLOCK: Final = 1 << 16
"""Words at a time: measured fastest of 2^12 to 2^18."""
_WORD: Final = 4


class Masks:
    """Masks that cancel in the sum of all members."""

    name, engine, profile = MASKS, "AES-128-CTR", "16-bit"
    repeatable = False  # masks are a pair's own

    def begin(self, task: Task) -> None:
        """A key pair for each member."""
        self._task = task
        self._codec = Codec(clip=CLIP, max_weight=MAX_WEIGHT, members=task.members)
        self._keys = [X25519PrivateKey.generate() for _ in range(task.members)]
        self._public = [key.public_key() for key in self._keys]

    def client(self, member: int, clock: Clock) -> Upload:
        """Quantise, and mask for every other member."""
        with clock.part(ENCODE):
            lanes = self._codec.encode(self._task.update(member), weight=self._task.weight(member))
        with clock.part(AGREEMENT):
            seeds = {
                other: _agreed(self._keys[member].exchange(public))
                for other, public in enumerate(self._public)
                if other != member
            }
        with clock.part(ENCRYPT):
            _mask(lanes, member, seeds)
            payload = lanes.tobytes()
        return Upload(payload=payload)

    def finish(self, uploads: Sequence[Upload], clock: Clock) -> Opened:
        """Add words mod 2^32; nothing is left to open."""
        with clock.part(MERGE):
            total = np.frombuffer(uploads[0].payload, dtype="<u4").copy()
            for upload in uploads[1:]:
                total += np.frombuffer(upload.payload, dtype="<u4")
            merged = total.tobytes()
        with clock.part(OPEN):
            sums = np.frombuffer(merged, dtype="<u4").astype(np.uint64)
        with clock.part(DECODE):
            mean = self._codec.decode(sums, included=len(uploads), size=self._task.size)
        return Opened(mean=mean.update, allowed=mean.rounding_error, merged_bytes=len(merged))


def _agreed(secret: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=16, salt=None, info=b"mask").derive(secret)


def _mask(words: NDArray[np.uint32], member: int, seeds: dict[int, bytes]) -> None:
    """Add the stream of each later member, and subtract that of each earlier one."""
    streams = [
        (other > member, Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor())
        for other, seed in seeds.items()
    ]
    zeros, buffer = memoryview(bytes(_WORD * _BLOCK)), bytearray(_WORD * _BLOCK)
    mask = np.frombuffer(buffer, dtype="<u4")
    for start in range(0, words.size, _BLOCK):
        block = words[start : start + _BLOCK]
        for adds, stream in streams:
            stream.update_into(zeros[: _WORD * block.size], buffer)
            if adds:
                block += mask[: block.size]
            else:
                block -= mask[: block.size]


class Plaintext:
    """float32 bytes and a weight, as stock Flower sends and averages them."""

    name, engine, profile = PLAINTEXT, "numpy", "float32"
    repeatable = True

    def begin(self, task: Task) -> None:
        """Nothing to set up."""
        self._task = task

    def client(self, member: int, clock: Clock) -> Upload:
        """Bytes of float32."""
        with clock.part(ENCRYPT):
            payload = self._task.update(member).astype("<f4").tobytes()
        return Upload(payload=payload, dealt=self._task.weight(member))

    def finish(self, uploads: Sequence[Upload], clock: Clock) -> Opened:
        """The weighted mean, in double precision."""
        with clock.part(MERGE):
            total = np.zeros(self._task.size)
            for upload in uploads:
                total += np.frombuffer(upload.payload, dtype="<f4") * np.float64(upload.dealt)
            total /= sum(upload.dealt for upload in uploads)
            merged = total.astype("<f4").tobytes()
        with clock.part(OPEN):
            mean = np.frombuffer(merged, dtype="<f4").astype(np.float64)
        largest = max(float(np.max(np.abs(update))) for update in self._task.updates)
        return Opened(mean=mean, allowed=2.0**-22 * largest, merged_bytes=len(merged))
