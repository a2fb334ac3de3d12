"""Products a_k * s in R_q, exact, computed by SEAL through TenSEAL's low-level interface.

Polynomials enter in SEAL's NTT form and leave as coefficients. a_k and s are uniform, and the
transform is a bijection, so they are drawn in NTT form and never transformed forward: a chunk
costs one pointwise product and one inverse transform.

SEAL's objects take data only from files. We write SEAL's own uncompressed encoding, and only of
residues that we drew or parsed ourselves, into an anonymous file in memory; what SEAL writes
back is read the same way. Bytes of another party never reach SEAL.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import tenseal.sealapi as seal
import zstandard
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError

from .context import PROTOCOL
from .parameters import DEGREE, MODULUS, RingParameters
from .randomness import public_matrix_row

GROUP: Final = 16
"""Polynomials that SEAL multiplies at a time: the most that one of its ciphertexts may hold."""
_HEADER = struct.Struct("<HBBBBHQ")
_MAGIC: Final = 0xA15E


class _Channel:
    """A file that SEAL can open by name and that lives in memory where the system allows."""

    def __init__(self) -> None:
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
            self._fd = os.memfd_create("flwr_swarm", os.MFD_CLOEXEC)
            self.path = f"/proc/self/fd/{self._fd}"
        else:
            self._directory = tempfile.TemporaryDirectory(prefix="flwr_swarm")
            self.path = str(Path(self._directory.name) / "ring")
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def __enter__(self) -> Self:
        return self

    def write(self, *parts: bytes | memoryview) -> None:
        os.lseek(self._fd, 0, os.SEEK_SET)
        os.ftruncate(self._fd, sum(len(part) for part in parts))
        for part in parts:
            rest = memoryview(part)
            while rest:
                rest = rest[os.write(self._fd, rest) :]

    def read(self) -> bytes:
        os.lseek(self._fd, 0, os.SEEK_SET)
        with os.fdopen(os.dup(self._fd), "rb") as file:
            return file.read()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Products with a key are as secret as the key: leave none behind, on disk least of all.
        self.write(bytes(os.fstat(self._fd).st_size))
        os.close(self._fd)
        if self._directory is not None:
            self._directory.cleanup()


def _unwrap(encoded: bytes) -> tuple[bytes, bytes]:
    """(header, body) of an object that SEAL has just saved; SEAL compresses by zstandard."""
    magic, size, _, _, mode, _, total = _HEADER.unpack_from(encoded)
    if magic != _MAGIC or size != _HEADER.size or total != len(encoded) or mode not in (0, 2):
        raise ConfigurationError(
            "this build of TenSEAL saves SEAL objects in an unknown encoding; use tenseal 0.3.18"
        )
    body = encoded[size:]
    if mode == 2:
        body = zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return encoded[:size], body


def _wrap(header: bytes, length: int) -> bytes:
    """The header of an uncompressed object whose body has `length` bytes."""
    magic, size, major, minor, _, _, _ = _HEADER.unpack(header)
    return _HEADER.pack(magic, size, major, minor, 0, 0, size + length)


def seal_context(parameters: RingParameters) -> Any:
    """SEAL's own context for these parameters, at its 192-bit level."""
    settings = seal.EncryptionParameters(seal.SCHEME_TYPE.BFV)
    settings.set_poly_modulus_degree(DEGREE)
    settings.set_coeff_modulus([seal.Modulus(MODULUS)])
    settings.set_plain_modulus(seal.Modulus(parameters.plain_modulus))
    context = seal.SEALContext(settings, False, seal.SEC_LEVEL_TYPE.TC192)
    if not context.parameters_set():
        raise ConfigurationError(f"SEAL refuses the ring: {context.parameters_error_message()}")
    return context


class _Engine:
    """SEAL's context and evaluator, and the encodings of NTT-form objects learnt from SEAL."""

    def __init__(self) -> None:
        self.context = seal_context(RingParameters())
        self.evaluator = seal.Evaluator(self.context)
        with _Channel() as channel:
            plain = seal.Plaintext("1")
            self.evaluator.transform_to_ntt_inplace(plain, self.context.first_parms_id())
            plain.save(channel.path)
            self._plain = _unwrap(channel.read())
            self._cipher = {size: self._learn(size, channel) for size in range(2, GROUP + 1)}

    def _learn(self, size: int, channel: _Channel) -> tuple[bytes, bytes]:
        """Header and body of some ciphertext of `size` polynomials in NTT form."""
        cipher = seal.Ciphertext(self.context)
        cipher.resize(self.context, size)
        cipher.save(channel.path)
        # SEAL transforms no ciphertext that is all zero, so fill it with ones.
        template = _unwrap(channel.read())
        ones = np.ones(size * DEGREE, dtype="<u8").tobytes()
        channel.write(self._prefix(template, size), ones)
        cipher.load(self.context, channel.path)
        self.evaluator.transform_to_ntt_inplace(cipher)
        cipher.save(channel.path)
        return _unwrap(channel.read())

    @staticmethod
    def _prefix(template: tuple[bytes, bytes], polynomials: int) -> bytes:
        header, body = template
        return _wrap(header, len(body)) + body[: len(body) - 8 * DEGREE * polynomials]

    def plaintext(self, ntt: NDArray[np.uint64], channel: _Channel) -> Any:
        channel.write(self._prefix(self._plain, 1), ntt.astype("<u8").tobytes())
        plain = seal.Plaintext()
        plain.load(self.context, channel.path)
        return plain

    def product(self, ntt: NDArray[np.uint64], plain: Any, channel: _Channel) -> NDArray[np.uint64]:
        size = len(ntt)
        data = ntt.astype("<u8", copy=False).tobytes()
        channel.write(self._prefix(self._cipher[size], size), data)
        cipher = seal.Ciphertext()
        cipher.load(self.context, channel.path)
        self.evaluator.multiply_plain_inplace(cipher, plain)
        self.evaluator.transform_from_ntt_inplace(cipher)
        cipher.save(channel.path)
        _, body = _unwrap(channel.read())
        return np.frombuffer(body[-8 * DEGREE * size :], dtype="<u8").reshape(size, DEGREE)


@cache
def _engine() -> _Engine:
    return _Engine()


def common_key(seed: bytes) -> bytes:
    """The key of the matrix whose rows are the round's a_k."""
    return hashlib.sha256(PROTOCOL + b"a\0" + seed).digest()


def common_polynomial(seed: bytes, chunk: int) -> NDArray[np.uint64]:
    """a_k of chunk `chunk` in NTT form, the same for all who know the round's `seed`."""
    return public_matrix_row(common_key(seed), chunk, DEGREE)


class Multiplier:
    """Multiplies the round's common polynomials by one fixed polynomial in NTT form."""

    def __init__(self, *, seed: bytes, factor: NDArray[np.uint64]) -> None:
        self._seed = seed
        self._channel = _Channel()
        self._plain = _engine().plaintext(factor, self._channel)

    def __enter__(self) -> Self:
        return self

    def products(self, first: int, count: int) -> NDArray[np.uint64]:
        """Coefficients of a_k * factor for `count` chunks from `first`; (count, 4096) uint64.

        At most `GROUP` at a time.
        """
        # SEAL's ciphertexts hold two polynomials at least.
        padded = max(count, 2)
        common = np.stack([common_polynomial(self._seed, first + k) for k in range(padded)])
        return _engine().product(common, self._plain, self._channel)[:count]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.__exit__(kind, error, trace)
        self._plain.set_zero()
