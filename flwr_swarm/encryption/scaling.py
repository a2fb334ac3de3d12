"""Between messages below t and residues mod q: round(q/t * m), and back with the noise checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import OpeningRejected

from .modular import Residues
from .parameters import MODULUS, RingParameters


def scale_up(messages: NDArray[np.int64], parameters: RingParameters) -> NDArray[np.int64]:
    """round(q/t * m), exact, for 0 <= m < t; halves are rounded up."""
    t, step = parameters.plain_modulus, parameters.step
    small = messages * parameters.remainder + t // 2
    if t & (t - 1) == 0:
        small >>= t.bit_length() - 1
    else:
        small //= t
    return messages * step + small


def scale_down(values: Residues, *, included: int, parameters: RingParameters) -> NDArray[np.int64]:
    """Messages of noisy residues q/t * m + noise.

    Parameters
    ----------
    values : uint64
        Residues below q.
    included : int
        Ciphertexts in the sum, from which the bound on the noise follows.
    parameters : RingParameters

    Raises
    ------
    OpeningRejected
        If any |noise| exceeds `parameters.noise_bound(included)`. Under a wrong key the noise is
        uniform up to q/2t, and one polynomial passes with probability (bound/(q/2t))^4096.
    """
    t, step = parameters.plain_modulus, parameters.step
    # A zero message with negative noise lies just below q.
    signed = values.astype(np.int64)
    signed -= np.where(signed >= MODULUS - parameters.half_step, MODULUS, 0)
    messages = np.clip(signed // step, 0, t - 1)
    bound = parameters.noise_bound(included)
    for _ in range(3):  # the first quotient ignores q mod t, and may be off by a few steps
        noise = signed - scale_up(messages, parameters)
        worst = max(int(noise.max(initial=0)), -int(noise.min(initial=0)))
        if worst <= bound:  # no second message is that near
            return messages
        messages += (noise + parameters.half_step) // step
        np.clip(messages, 0, t - 1, out=messages)
    raise OpeningRejected(
        f"the noise of the opened sum is {worst} where {included} members make at most "
        f"{bound}: the openings and the sum are not of the same set and round"
    )
