"""What a swarm with shared noise tells `make_private`, and what `make_private` tells it back.

Both are in the site's own state: the mod writes the one before it runs the train function, and
reads the other after it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Final

from flwr.app import ConfigRecord, Context, RecordDict

from .shared import SharedCharge

OFFER_KEY: Final = "flwr_swarm.privacy.offer"
TAKEN_KEY: Final = "flwr_swarm.privacy.taken"
ARITHMETIC: Final = 2.0**-10
"""Relative allowance for sums of clipped gradients in float32."""


@dataclass(frozen=True, kw_only=True)
class SharedOffer:
    """The noise that this round's sum will hold.

    Parameters
    ----------
    noise_multiplier, sensitivity : float
        See `encryption.SharedNoise`.
    integers : float
        `sensitivity` in integers of the swarm's grid.
    size : int
        Entries of the update.
    drift : float
        L2 norm by which storing the trained model in its dtypes may move an update.
    """

    noise_multiplier: float
    sensitivity: float
    integers: float
    size: int
    drift: float

    def charge(self, *, weight: float, sample_rate: float) -> SharedCharge:
        """One step of a member whose expected batch is `weight`.

        The norm of a record's change is allowed more than `sensitivity`: for the arithmetic, and
        for the dtypes that the trained model was stored in.
        """
        drift = weight * self.drift / self.sensitivity
        # In whole steps, so that rounds are the same mechanism though the model moves.
        allowance = 1 + ARITHMETIC * (1 + math.ceil(drift / ARITHMETIC))
        return SharedCharge(
            noise_multiplier=self.noise_multiplier / allowance,
            sample_rate=sample_rate,
            steps=1,
            sensitivity=self.integers * allowance,
            size=self.size,
        )


def write_offer(source: Context | RecordDict, offer: SharedOffer | None) -> None:
    """Offer shared noise to the next train function, or none; forget what was taken before."""
    state = _state(source)
    for key in (OFFER_KEY, TAKEN_KEY):
        state.pop(key, None)
    if offer is not None:
        state[OFFER_KEY] = ConfigRecord(asdict(offer))


def read_offer(source: Context | RecordDict) -> SharedOffer | None:
    """The noise that the swarm offers; None outside a swarm with shared noise."""
    record = _state(source).config_records.get(OFFER_KEY)
    return None if record is None else SharedOffer(**dict(record))  # type: ignore[arg-type]


def write_taken(source: Context | RecordDict, weight: float) -> None:
    """Say that this round's step was charged, and whose mean it is."""
    _state(source)[TAKEN_KEY] = ConfigRecord({"weight": weight})


def read_taken(source: Context | RecordDict) -> float | None:
    """Expected batch size of the step that was charged; None if none was."""
    record = _state(source).config_records.get(TAKEN_KEY)
    return None if record is None else float(record["weight"])  # type: ignore[arg-type]


def _state(source: Context | RecordDict) -> RecordDict:
    return source.state if isinstance(source, Context) else source
