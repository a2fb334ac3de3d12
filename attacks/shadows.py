"""Shadow models: many nets of one architecture; small ones train at once as a vmapped ensemble."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.func import functional_call, stack_module_state

from flwr_swarm._exceptions import ConfigurationError

from .confidence import confidence, losses

Progress = Callable[[int, int], None]
OptimizerFactory = Callable[[list[torch.Tensor]], torch.optim.Optimizer]

_TOGETHER = 8_000_000
"""Parameters that train at once: beyond, one net keeps a core busy, and many only take memory."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ensemble:
    """K trained nets of one architecture.

    Parameters
    ----------
    skeleton : torch.nn.Module
        The architecture, without parameters of its own (meta device).
    parameters, buffers : dict of str to tensor
        By state-dict name; the first dimension is K.
    """

    skeleton: nn.Module
    parameters: Mapping[str, torch.Tensor]
    buffers: Mapping[str, torch.Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.parameters.values())))

    def state_dict(self, index: int) -> dict[str, torch.Tensor]:
        """Parameters and buffers of one net."""
        return {k: v[index].clone() for k, v in {**self.parameters, **self.buffers}.items()}


def balanced_masks(shadows: int, examples: int, *, seed: int) -> NDArray[np.bool_]:
    """Who trains where: each example in exactly half of the shadows, each shadow about half.

    Returns
    -------
    bool array, shape (shadows, examples)
    """
    if shadows < 2 or shadows % 2:
        raise ConfigurationError(f"shadows must be an even number >= 2, got {shadows}; use 64")
    ranks = np.random.default_rng(seed).random((shadows, examples)).argsort(axis=0)
    halves: NDArray[np.bool_] = ranks < shadows // 2
    return halves


def batches(
    mask: NDArray[np.bool_], *, steps: int, epochs: int, seed: tuple[int, ...]
) -> Iterator[NDArray[np.intp]]:
    """One shadow's batches of example indices: a fresh shuffle an epoch, cut into `steps`."""
    members = np.flatnonzero(mask)
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        yield from np.array_split(rng.permutation(members), steps)


def train_shadows(
    make_model: Callable[[], nn.Module],
    x: torch.Tensor,
    y: torch.Tensor,
    masks: NDArray[np.bool_],
    *,
    epochs: int,
    batch_size: int,
    lr: float | None = None,
    weight_decay: float = 0.0,
    optimizer: OptimizerFactory | None = None,
    initial: Mapping[str, torch.Tensor] | Ensemble | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Ensemble:
    """Train one net a mask with cross entropy, small nets together, large ones in turn.

    The result is that of training each alone (tested), and depends on the arguments only. Torch's
    global random state is left as it was.

    Parameters
    ----------
    make_model : callable
        Returns a freshly initialised net; without batch normalisation (its statistics would mix).
    x : tensor, shape (n, ...)
    y : tensor, shape (n,)
    masks : bool array, shape (K, n)
        Which examples train which shadow.
    epochs, batch_size : int
        Batches hold at most `batch_size` examples and are of nearly equal size.
    lr, weight_decay : float
        Of the default optimizer, plain SGD.
    optimizer : callable, optional
        Makes another from the list of stacked parameters, for instance
        ``lambda p: torch.optim.Adam(p, lr=1e-3)``; it must work coordinate by coordinate.
    initial : state dict or Ensemble, optional
        Start every shadow from it (a round's global model, when one update is attacked), or each
        from the ensemble's own, instead of from its own initialisation.
    seed : int
    progress : callable, optional
        Called with (steps done, steps in all) after each step.

    Raises
    ------
    ConfigurationError
        If shapes do not fit, a shadow has no example, or training diverged.
    """
    if masks.ndim != 2 or masks.shape[1] != len(x) or len(x) != len(y):
        raise ConfigurationError(
            f"masks have shape {masks.shape} for {len(x)} examples and {len(y)} labels; "
            "give bool (shadows, examples)"
        )
    if min(epochs, batch_size) < 1 or (lr is None) == (optimizer is None):
        raise ConfigurationError(
            f"epochs and batch_size must be >= 1, got {epochs} and {batch_size}; "
            "and give either lr or optimizer"
        )
    sizes = masks.sum(axis=1)
    steps = -(-int(sizes.max()) // batch_size)
    if sizes.min() < steps:
        raise ConfigurationError(
            f"one shadow has {sizes.min()} examples, another {sizes.max()}; balance the masks"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # one stream: initial parameters, then dropout if there is any
        nets = [make_model().train() for _ in range(len(masks))]
        if initial is not None:
            for k, net in enumerate(nets):
                net.load_state_dict(
                    initial.state_dict(k) if isinstance(initial, Ensemble) else initial
                )
        size = max(1, _TOGETHER // max(1, sum(p.numel() for p in nets[0].parameters())))
        groups = [range(k, min(k + size, len(nets))) for k in range(0, len(nets), size)]
        trained = []
        for turn, group in enumerate(groups):
            ensemble = _stacked([nets[k] for k in group])
            parameters = list(ensemble.parameters.values())
            stepper = (
                optimizer(parameters)
                if optimizer is not None
                else torch.optim.SGD(parameters, lr=lr or 0.0, weight_decay=weight_decay)
            )
            plan = _plan(masks, group, steps=steps, epochs=epochs, seed=seed)
            for done, (index, weight) in enumerate(plan, start=1 + turn * epochs * steps):
                stepper.zero_grad()
                _total_loss(ensemble, x[index], y[index], weight).backward()
                stepper.step()
                if progress is not None:
                    progress(done, len(groups) * epochs * steps)
            trained.append(ensemble)
    found = _joined(trained)
    if not all(bool(torch.isfinite(p).all()) for p in found.parameters.values()):
        raise ConfigurationError(
            f"shadow training diverged (lr={lr}): parameters are not finite; choose a smaller "
            "learning rate, and see that the examples are finite"
        )
    return found


def confidences(
    ensemble: Ensemble, x: torch.Tensor, y: torch.Tensor, *, chunk: int = 8192
) -> NDArray[np.float64]:
    """Logit-scaled confidence of each net in each example's label, shape (K, n)."""
    net = ensemble.skeleton.eval()

    def logits(
        params: dict[str, torch.Tensor], buffers: dict[str, torch.Tensor], inputs: torch.Tensor
    ) -> torch.Tensor:
        out: torch.Tensor = functional_call(net, (params, buffers), (inputs,))
        return out

    of_all = torch.vmap(logits, in_dims=(0, 0, None))
    columns = []
    with torch.no_grad():
        for inputs, labels in zip(x.split(chunk), y.split(chunk), strict=True):
            out = of_all(dict(ensemble.parameters), dict(ensemble.buffers), inputs)
            columns.append(torch.stack([confidence(row, labels) for row in out]))
    found: NDArray[np.float64] = torch.cat(columns, dim=1).numpy()
    return found


def _stacked(nets: list[nn.Module]) -> Ensemble:
    parameters, buffers = stack_module_state(nets)
    if buffers and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in nets[0].modules()):
        raise ConfigurationError("the model has batch normalisation; use GroupNorm or LayerNorm")
    return Ensemble(
        skeleton=copy.deepcopy(nets[0]).to("meta"), parameters=parameters, buffers=buffers
    )


def _total_loss(
    ensemble: Ensemble, x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """The sum of all nets' losses, each on its own row of examples: their gradients do not mix."""

    def loss(
        params: dict[str, torch.Tensor],
        buffers: dict[str, torch.Tensor],
        inputs: torch.Tensor,
        labels: torch.Tensor,
        weights: torch.Tensor,
    ) -> torch.Tensor:
        logits = functional_call(ensemble.skeleton, (params, buffers), (inputs,))
        return (losses(logits, labels) * weights).sum()

    of_each = torch.vmap(loss, randomness="different")
    total: torch.Tensor = of_each(
        dict(ensemble.parameters), dict(ensemble.buffers), x, y, weight
    ).sum()
    return total


def _joined(parts: list[Ensemble]) -> Ensemble:
    def of(kind: str) -> dict[str, torch.Tensor]:
        return {
            n: torch.cat([getattr(one, kind)[n].detach() for one in parts])
            for n in getattr(parts[0], kind)
        }

    return Ensemble(skeleton=parts[0].skeleton, parameters=of("parameters"), buffers=of("buffers"))


def _plan(
    masks: NDArray[np.bool_], group: range, *, steps: int, epochs: int, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """For each step the indices (K, B) and weights (K, B) that make each shadow's mean loss."""
    streams = [batches(masks[k], steps=steps, epochs=epochs, seed=(seed, k)) for k in group]
    for parts in zip(*streams, strict=True):
        width = max(len(part) for part in parts)
        index = np.zeros((len(parts), width), np.int64)
        weight = np.zeros((len(parts), width), np.float32)
        for k, part in enumerate(parts):
            index[k, : len(part)] = part
            weight[k, : len(part)] = 1 / len(part)
        yield torch.from_numpy(index), torch.from_numpy(weight)
