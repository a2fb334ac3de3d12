"""Patients with several records: sampled, clipped and protected as one.

Which records of a batch belong together is known to the loader, and needed by the optimizer. They
share a `Turn`, which refuses any loop that does not step exactly once on each batch.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from .._exceptions import ConfigurationError, PrivacyError
from .randomness import SecureRandom
from .sampling import PoissonSampler


@dataclass(frozen=True, kw_only=True, eq=False)
class Patients:
    """Whose record each record is.

    Parameters
    ----------
    of : int64 array, shape (records,)
        Number of the patient, from 0.
    count : int
        How many patients there are.
    """

    of: NDArray[np.int64]
    count: int

    @classmethod
    def among(cls, names: Sequence[Hashable], records: int) -> Patients:
        """Patients by any hashable name, one for each record.

        Raises
        ------
        ConfigurationError
            If there is not exactly one name a record.
        """
        if len(names) != records:
            raise ConfigurationError(
                f"patients names {len(names)} records, the loader's dataset has {records}; give "
                "whose record each is, in the order of the dataset"
            )
        numbers: dict[Hashable, int] = {}
        of = [numbers.setdefault(name, len(numbers)) for name in names]
        return cls(of=np.asarray(of, np.int64), count=len(numbers))

    def __repr__(self) -> str:  # names are data
        return f"Patients(count={self.count}, records={len(self.of)})"


@dataclass(kw_only=True, eq=False)
class Turn:
    """Passes the patients of each batch from the loader to the optimizer's step."""

    drawn: deque[NDArray[np.int64]] = field(default_factory=deque, repr=False)
    out: NDArray[np.int64] | None = field(default=None, repr=False)

    def restart(self) -> None:
        """A new pass over the loader."""
        self.drawn.clear()
        self.out = None

    def hand_out(self) -> None:
        """The loop gets the next batch."""
        if self.out is not None:
            raise PrivacyError(_ONE_STEP)
        self.out = self.drawn.popleft()

    def take(self, records: int) -> torch.Tensor:
        """For each record of the batch that the step is about, its patient's place from 0.

        Raises
        ------
        PrivacyError
            If the batch is not the one that was handed out last, once.
        """
        out, self.out = self.out, None
        if out is None or len(out) != records:
            raise PrivacyError(_ONE_STEP)
        return torch.from_numpy(np.unique(out, return_inverse=True)[1].reshape(-1))


_ONE_STEP = (
    "with patients of several records the loop must take each batch from the private loader, pass "
    "it through the model whole, and step once on it before it takes the next"
)


class PatientSampler(PoissonSampler):
    """`steps` batches into each of which every patient enters with all records, or with none."""

    def __init__(
        self,
        *,
        patients: Patients,
        steps: int,
        random: SecureRandom,
        turn: Turn,
        batches: int | None = None,
    ) -> None:
        super().__init__(records=patients.count, steps=steps, random=random, batches=batches)
        self._patients = patients
        order = np.argsort(patients.of, kind="stable")
        self._records = np.split(order, np.cumsum(np.bincount(patients.of))[:-1])
        self._turn = turn

    def __iter__(self) -> Iterator[list[int]]:
        for chosen in super().__iter__():
            records = (
                np.concatenate([self._records[patient] for patient in chosen])
                if chosen
                else np.empty(0, np.int64)
            )
            self._turn.drawn.append(self._patients.of[records])
            yield records.tolist()


class PatientLoader(DataLoader[Any]):
    """A DataLoader that tells its `turn` which batch the loop has."""

    turn: Turn

    def __iter__(self) -> Any:
        self.turn.restart()
        for batch in super().__iter__():
            self.turn.hand_out()
            yield batch


def square_norms(sample: torch.Tensor, patient: torch.Tensor, count: int) -> torch.Tensor:
    """Squared L2 norm of each patient's summed gradient of one parameter, shape (count,).

    Parameters
    ----------
    sample : (records, ...) tensor
        Gradients of the records, or output gradients beside `record_inputs` (see `hooks`).
    patient : (records,) int64 tensor
        Whose each is.
    """
    inputs = getattr(sample, "record_inputs", None)
    patient = patient.to(sample.device)
    if inputs is None:
        flat = sample.reshape(len(sample), math.prod(sample.shape[1:]))
        sums = torch.zeros((count, flat.shape[1]), dtype=flat.dtype, device=flat.device)
        return sums.index_add_(0, patient, flat).square().sum(dim=1)
    # Sums of outer products are never multiplied out: <g x^T, h y^T> = <g, h> <x, y>.
    wide, narrow = sample.double(), inputs.double()
    products = (wide @ wide.T) * (narrow @ narrow.T)
    products *= patient[:, None] == patient[None, :]
    total = torch.zeros(count, dtype=torch.float64, device=sample.device)
    return total.index_add_(0, patient, products.sum(dim=1)).clamp_(min=0).to(sample.dtype)
