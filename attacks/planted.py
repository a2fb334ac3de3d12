"""Six classic bugs of DP training, planted into `make_private`: gates must find each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from flwr.app import Context

from flwr_swarm.privacy import STATE_KEY
from flwr_swarm.privacy import make_private as right
from flwr_swarm.privacy.optimizer import PaidOptimizer
from flwr_swarm.privacy.randomness import SecureRandom

from .audit import MakePrivate

_NEVER = 1e30


def half_the_noise(*args: Any, **options: Any) -> tuple[Any, Any, Any]:
    """Noise of half the deviation that is charged."""
    model, optimizer, loader = right(*args, **options)
    optimizer._random = _Halved()
    return model, optimizer, loader


def accountant_reset(source: Context, *args: Any, **options: Any) -> tuple[Any, Any, Any]:
    """A new accountant each round, as in an example that makes a new engine for each message."""
    source.state.pop(STATE_KEY, None)
    return right(source, *args, **options)


def no_clipping(*args: Any, **options: Any) -> tuple[Any, Any, Any]:
    """Gradients of records are added up as they are."""
    model, optimizer, loader = right(*args, **options)
    optimizer.clip_and_accumulate = _unclipped(optimizer)
    return model, optimizer, loader


def clipped_after_noise(*args: Any, **options: Any) -> tuple[Any, Any, Any]:
    """The noisy sum is clipped, instead of each record's gradient."""
    model, optimizer, loader = no_clipping(*args, **options)

    def add_noise() -> None:
        PaidOptimizer.add_noise(optimizer)
        length = torch.stack([p.grad.norm() for p in optimizer.params]).norm()
        for p in optimizer.params:
            p.grad.mul_(min(1.0, optimizer.max_grad_norm / float(length)))

    optimizer.add_noise = add_noise
    return model, optimizer, loader


def one_seed(*args: Any, **options: Any) -> tuple[Any, Any, Any]:
    """Noise from a seed that another site has too."""
    model, optimizer, loader = right(*args, **options)
    optimizer._random = SecureRandom(entropy=bytes)
    loader.batch_sampler._random = SecureRandom(entropy=bytes)
    return model, optimizer, loader


def skipped_empty_batches(*args: Any, **options: Any) -> tuple[Any, Any, Any]:
    """No step, and so no noise, where nobody was sampled."""
    model, optimizer, loader = right(*args, **options)
    return model, optimizer, _NonEmpty(loader=loader)


BUGS: Final[Mapping[str, MakePrivate]] = {
    "half the noise": half_the_noise,
    "accountant reset each round": accountant_reset,
    "no clipping": no_clipping,
    "clipped after the noise": clipped_after_noise,
    "one seed at two sites": one_seed,
    "skipped empty batches": skipped_empty_batches,
}


class _Halved(SecureRandom):
    def normal(self, shape: torch.Size) -> torch.Tensor:
        return super().normal(shape) / 2


def _unclipped(optimizer: PaidOptimizer) -> Callable[[], None]:
    def clip_and_accumulate() -> None:
        clip, optimizer.max_grad_norm = optimizer.max_grad_norm, _NEVER
        try:
            PaidOptimizer.clip_and_accumulate(optimizer)
        finally:
            optimizer.max_grad_norm = clip

    return clip_and_accumulate


@dataclass(frozen=True, kw_only=True, eq=False)
class _NonEmpty:
    loader: Any

    def __iter__(self) -> Iterator[Any]:
        return (batch for batch in self.loader if len(batch[0]))

    def __len__(self) -> int:
        return len(self.loader)
