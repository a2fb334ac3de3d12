"""The encryption benchmark's contestants through TenSEAL: NVFlare's configuration, and stock BFV.

NVFlare (`nvflare/app_opt/he` and `lighter/impl/he.py`): CKKS with N = 8192, moduli of 60, 40 and 40
bits, scale 2^40 and symmetric keys, which all clients share and the server lacks. A client weighs
each layer, makes it a `ckks_vector` and serialises it; the server adds deserialised vectors and
multiplies the sum by one over the weights; clients decrypt. Here the model is one layer: more
would be padded more. BFV: TenSEAL's defaults at N = 4096 (109 bits, SEAL's 128-bit class, public
key), integers of our own codec, and the smallest batching modulus that holds a sum of 24 bits.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import tenseal as ts

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

NVFLARE: Final = "NVFlare's configuration"
BFV: Final = "TenSEAL BFV"
CKKS_ERROR: Final = 1e-6
"""CKKS is approximate; at this scale it is far below, and a broken sum far above."""
BATCHING_MODULUS: Final = 16801793
"""The smallest prime above 2^24 that is 1 mod 8192."""
_C: Final = ctypes.CDLL(None)


class Nvflare:
    """CKKS as NVFlare's filters and its aggregator use it."""

    name, engine, profile = NVFLARE, "TenSEAL CKKS", "scale 2^40"
    repeatable = True

    def begin(self, task: Task) -> None:
        """One context with the secret key, one without."""
        self._task = task
        context = ts.context(
            ts.SCHEME_TYPE.CKKS,
            poly_modulus_degree=8192,
            coeff_mod_bit_sizes=[60, 40, 40],
            encryption_type=ts.ENCRYPTION_TYPE.SYMMETRIC,
        )
        context.generate_relin_keys()
        context.global_scale = 2**40
        self._client, self._server = (
            ts.context_from(
                context.serialize(
                    save_public_key=secret,
                    save_secret_key=secret,
                    save_galois_keys=False,
                    save_relin_keys=True,
                )
            )
            for secret in (True, False)
        )

    def client(self, member: int, clock: Clock) -> Upload:
        """Weigh, encrypt, serialise."""
        with clock.part(ENCODE):
            values = self._task.update(member) * np.float64(self._task.weight(member))
        with _quiet(), clock.part(ENCRYPT):
            payload = ts.ckks_vector(self._client, values).serialize()
        return Upload(payload=payload)

    def finish(self, uploads: Sequence[Upload], clock: Clock) -> Opened:
        """Accumulate one upload after the other, as the aggregator does; decrypt as a client."""
        with _quiet(), clock.part(MERGE):
            total: Any = None
            for upload in uploads:
                term = ts.ckks_vector_from(self._server, upload.payload)
                total = term if total is None else total + term
            merged = (total * (1.0 / self._task.total_weight)).serialize()
        with clock.part(OPEN):
            values = ts.ckks_vector_from(self._client, merged).decrypt()
        with clock.part(DECODE):
            mean = np.array(values)
        return Opened(mean=mean, allowed=CKKS_ERROR, merged_bytes=len(merged))


class StockBfv:
    """Exact sums of the same integers that ours encrypts, under one key pair."""

    name, engine, profile = BFV, "TenSEAL BFV", "16-bit"
    repeatable = True

    def begin(self, task: Task) -> None:
        """One key pair."""
        self._task = task
        self._codec = Codec(clip=CLIP, max_weight=MAX_WEIGHT, members=task.members)
        self._context = ts.context(
            ts.SCHEME_TYPE.BFV, poly_modulus_degree=4096, plain_modulus=BATCHING_MODULUS
        )

    def client(self, member: int, clock: Clock) -> Upload:
        """Quantise, encrypt, serialise; TenSEAL takes integers as a list."""
        with clock.part(ENCODE):
            lanes = self._codec.encode(self._task.update(member), weight=self._task.weight(member))
        with _quiet(), clock.part(ENCRYPT):
            payload = ts.bfv_vector(self._context, lanes.tolist()).serialize()
        return Upload(payload=payload)

    def finish(self, uploads: Sequence[Upload], clock: Clock) -> Opened:
        """Add deserialised vectors, decrypt, divide."""
        with _quiet(), clock.part(MERGE):
            total: Any = None
            for upload in uploads:
                term = ts.bfv_vector_from(self._context, upload.payload)
                total = term if total is None else total + term
            merged = total.serialize()
        with clock.part(OPEN):
            values = ts.bfv_vector_from(self._context, merged).decrypt()
        with clock.part(DECODE):
            # TenSEAL returns the representative nearest to zero.
            sums = (np.array(values) % BATCHING_MODULUS).astype(np.uint64)
            mean = self._codec.decode(sums, included=len(uploads), size=self._task.size)
        return Opened(mean=mean.update, allowed=mean.rounding_error, merged_bytes=len(merged))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without TenSEAL's warning that a vector takes several ciphertexts, which C++ prints."""
    kept = os.dup(1)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            _C.fflush(None)
            os.dup2(kept, 1)
            os.close(kept)
