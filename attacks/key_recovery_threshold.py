"""The same attack against this project's ciphertexts, which open to exact integers.

What a CKKS federation publishes holds the errors of its ciphertexts; a sum of lanes does not. The
linear equation in the key is there, c = a*s + e + round(q/t * m), but e is missing, and s is
uniform, so that nothing tells a right guess from a wrong one but another ciphertext.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError, OpeningRejected
from flwr_swarm.encryption.cipher import decrypt
from flwr_swarm.encryption.modular import Residues
from flwr_swarm.encryption.packing import pack
from flwr_swarm.encryption.parameters import DEFAULT, DEGREE, MODULUS, RingParameters
from flwr_swarm.encryption.ring import common_polynomial
from flwr_swarm.encryption.scaling import scale_up
from flwr_swarm.encryption.wire import read_aggregate

from .ntt import ring


def recover_threshold_key(
    merged: bytes,
    sums: NDArray[np.uint64],
    *,
    seed: bytes,
    parameters: RingParameters = DEFAULT,
    errors: NDArray[np.int64] | None = None,
) -> Residues | None:
    """The sum of the one-time keys from a merged ciphertext and its opened sums.

    The first chunk is solved for the key, the others say whether it is one.

    Parameters
    ----------
    merged : bytes
        As the leader sends it.
    sums : uint64 array, shape (lanes,)
        As everyone who is given the openings knows them; of two chunks or more.
    seed : bytes
        The round's common seed, which is public.
    parameters : RingParameters
    errors : int64 array, shape (4096,), optional
        The errors of the first chunk. They are never published; a scheme that published its noisy
        messages, as CKKS does, would tell them. For showing that the attack works then.

    Returns
    -------
    uint64 array, shape (4096,), or None
        The key in SEAL's NTT form if it opens the other chunks, None if it does not.
    """
    total = read_aggregate(merged, parameters)
    if sums.shape != (total.lanes,) or len(total.residues) < 2:
        raise ConfigurationError(
            f"{len(total.residues)} chunks and sums of shape {sums.shape} for {total.lanes} lanes; "
            "the attack needs two chunks, and a sum for each lane"
        )
    first = sums[: parameters.lanes_per_chunk].astype(np.uint32)
    message = scale_up(pack(first, parameters), parameters)[0]
    if errors is not None:
        message = message + errors
    held = ring(DEGREE, MODULUS)
    masked = held.values(total.residues[0].astype(object) - message.astype(object))
    common = common_polynomial(seed, 0).astype(object)[held.seal_order]
    solved = masked * held.inverse(common) % MODULUS
    key = np.empty(DEGREE, dtype=np.uint64)
    key[held.seal_order] = solved.astype(np.uint64)
    try:
        opened = decrypt(total, secret=key, seed=seed, parameters=parameters)
    except OpeningRejected:
        return None
    return key if np.array_equal(opened, sums) else None
