"""Poisson sampling of a user's DataLoader, with secret randomness and the exact rate."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from opacus.data_loader import wrap_collate_with_empty
from opacus.utils.uniform_sampler import UniformWithReplacementSampler
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, SequentialSampler

from .._exceptions import ConfigurationError
from .randomness import SecureRandom


class PoissonSampler(UniformWithReplacementSampler):  # type: ignore[misc]
    """`batches` batches into each of which every record enters with probability 1 / steps.

    By default as many as make one pass, `steps`.

    Opacus' own sampler makes int(1 / (1 / steps)) batches, one too few for steps = 93, 99, 105,
    ..., and its engine then accounts for a rate that was not used.
    """

    def __init__(
        self, *, records: int, steps: int, random: SecureRandom, batches: int | None = None
    ) -> None:
        super().__init__(num_samples=records, sample_rate=1 / steps, steps=batches or steps)
        self.passes = steps
        self._random = random

    def __iter__(self) -> Iterator[list[int]]:
        for _ in range(self.steps):
            chosen = self._random.uniform(self.num_samples) < self.sample_rate
            yield chosen.nonzero().reshape(-1).tolist()


def poisson_loader(
    loader: DataLoader[Any],
    sampler: PoissonSampler,
    *,
    kind: type[DataLoader[Any]] = DataLoader,
) -> DataLoader[Any]:
    """The private counterpart of `loader`: same data, collation, workers and expected batch size.

    An empty batch comes out as tensors of length 0, never skipped, so that its step adds noise.
    """
    collate = wrap_collate_with_empty(collate_fn=_unwrapped_collate(loader))
    # Opacus learns what an empty batch looks like from the first batch, which may be empty itself.
    collate.first_batch = copy.deepcopy(collate.wrapped_collator_fn([loader.dataset[0]]))
    workers: dict[str, Any] = {}
    if loader.num_workers > 0:
        workers = {
            "prefetch_factor": loader.prefetch_factor,
            "persistent_workers": loader.persistent_workers,
            "multiprocessing_context": loader.multiprocessing_context,
        }
    return kind(
        loader.dataset,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=loader.num_workers,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        **workers,
    )


def check_loader(loader: DataLoader[Any]) -> tuple[int, int]:
    """Records of a loader that can be sampled by Poisson, and batches in a pass over them.

    Raises
    ------
    ConfigurationError
        If the loader samples in a way that Poisson sampling would silently replace.
    """
    if isinstance(loader.dataset, IterableDataset):
        raise ConfigurationError(
            "the loader reads an IterableDataset, whose records cannot be sampled at random; "
            "use a map-style Dataset (with __getitem__ and __len__)"
        )
    records = len(loader.dataset)  # type: ignore[arg-type]
    if records == 0 or len(loader) == 0:
        raise ConfigurationError(
            f"the loader has {records} records and {len(loader)} batches; "
            "give it data, and a batch_size not above the number of records"
        )
    if not isinstance(loader.batch_sampler, UniformWithReplacementSampler):
        plain = type(loader.sampler) is SequentialSampler or (
            type(loader.sampler) is RandomSampler
            and not loader.sampler.replacement
            and loader.sampler.num_samples == records
        )
        if loader.batch_size is None or not plain:
            raise ConfigurationError(
                f"the loader's own sampling ({type(loader.sampler).__name__}) would be lost: "
                "Poisson sampling draws from the whole dataset; select records with "
                "torch.utils.data.Subset and give batch_size and shuffle instead of a sampler"
            )
    own = loader.batch_sampler  # of a loader that is private already, maybe of one batch only
    return records, own.passes if isinstance(own, PoissonSampler) else len(loader)


def _unwrapped_collate(loader: DataLoader[Any]) -> Any:
    return getattr(loader.collate_fn, "wrapped_collator_fn", loader.collate_fn)
