"""Reading a ciphertext as if it were the update: what a leader would try, and must not work."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.encryption.parameters import DEFAULT, MODULUS, RingParameters
from flwr_swarm.encryption.wire import read_ciphertext

from .views import SeesCiphertexts, State, Step


def ciphertext_steps(
    view: SeesCiphertexts,
    before: State,
    *,
    head: int,
    parameters: RingParameters = DEFAULT,
) -> tuple[Step, ...]:
    """Each site's ciphertext, decrypted with a key of zeros, in the place of its update.

    Parameters
    ----------
    view : SeesCiphertexts
    before : State
        A global model: names and shapes of the arrays, in whose order updates are sealed.
    head : int
        Lanes before the update (`Codec.header_lanes`).
    parameters : RingParameters

    Returns
    -------
    tuple of Step
        One a round, to which the attacks on single updates can be put.
    """
    steps = []
    for sealed in view.ciphertexts:
        after = {
            site: _moved(before, _lanes(payload, parameters)[head:])
            for site, payload in sealed.items()
        }
        steps.append(Step(before=before, after=after))
    return tuple(steps)


def _lanes(payload: bytes, parameters: RingParameters) -> NDArray[np.float64]:
    """Lanes of the nearest messages, centred: numbers between -1/2 and 1/2."""
    found = read_ciphertext(payload, parameters)
    messages = found.residues.astype(np.float64).reshape(-1) * (parameters.plain_modulus / MODULUS)
    whole = np.minimum(messages.astype(np.int64), parameters.plain_modulus - 1)
    mask = (1 << parameters.lane_bits) - 1
    lanes = np.stack(
        [(whole >> (lane * parameters.lane_bits)) & mask for lane in range(parameters.lanes)],
        axis=1,
    )
    return lanes.reshape(-1)[: found.lanes] / (mask + 1) - 0.5


def _moved(before: State, update: NDArray[np.float64]) -> State:
    names = sorted(name for name, value in before.items() if value.is_floating_point())
    if sum(before[name].numel() for name in names) != len(update):
        raise ConfigurationError(
            f"the ciphertext holds {len(update)} values, the model "
            f"{sum(before[name].numel() for name in names)}; head is the codec's header_lanes"
        )
    moved, at = dict(before), 0
    for name in names:
        size = before[name].numel()
        step = torch.from_numpy(update[at : at + size]).reshape(before[name].shape)
        moved[name] = (before[name].double() + step).to(before[name].dtype)
        at += size
    return moved
