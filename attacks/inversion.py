"""Inputs whose gradient is the one that was seen: gradient matching, by two published losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

Gradient = Sequence[torch.Tensor]
"""Of each parameter, in the order of the names."""


def gradient_of(
    model: nn.Module, state: Mapping[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor
) -> list[torch.Tensor]:
    """Gradient of the mean cross entropy at a model; what a site gives away with a step of SGD.

    Parameters
    ----------
    model : torch.nn.Module
        The architecture, with logits of shape (n, classes).
    state : state dict
    x : tensor, shape (n, ...)
    y : tensor, shape (n,) or (n, classes)
        Classes, or their probabilities.
    """
    parameters = _parameters(model, state)
    found = torch.autograd.grad(_loss(model, parameters, x, y), list(parameters.values()))
    return [one.detach() for one in found]


def deep_leakage(
    model: nn.Module,
    state: Mapping[str, torch.Tensor],
    seen: Gradient,
    *,
    shape: Sequence[int],
    classes: int,
    steps: int = 100,
    seed: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Deep leakage from gradients, Zhu et al. (2019): inputs and labels by L-BFGS.

    Parameters
    ----------
    model, state
        As in `gradient_of`; twice differentiable, without ReLU.
    seen : sequence of tensors
        The gradient.
    shape : sequence of int
        Of the inputs: (n, ...).
    classes : int
    steps : int
    seed : int

    Returns
    -------
    (inputs, labels)
    """
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn(*shape, generator=draw).requires_grad_()
    logits = torch.randn(shape[0], classes, generator=draw).requires_grad_()
    optimizer = torch.optim.LBFGS([inputs, logits], lr=1.0, line_search_fn="strong_wolfe")
    parameters = _parameters(model, state)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        made = _differentiable(model, parameters, inputs, logits.softmax(-1))
        apart = torch.stack([(a - b).square().sum() for a, b in zip(made, seen, strict=True)]).sum()
        apart.backward()  # type: ignore[no-untyped-call]
        return apart

    for _ in range(steps):
        optimizer.step(closure)
    return inputs.detach(), logits.detach().argmax(-1)


def inverted_gradients(
    model: nn.Module,
    state: Mapping[str, torch.Tensor],
    seen: Gradient,
    *,
    labels: torch.Tensor,
    shape: Sequence[int],
    smoothness: float = 1e-3,
    low: float = 0.0,
    high: float = 1.0,
    steps: int = 200,
    lr: float = 0.1,
    restarts: int = 2,
    seed: int = 0,
) -> torch.Tensor:
    """Inverting Gradients, Geiping et al. (2020): cosine, signed Adam and total variation.

    Parameters
    ----------
    model, state, seen
        As in `deep_leakage`.
    labels : tensor, shape (n,)
        Known, or read off the last layer's gradient with `label_of`.
    shape : sequence of int
        Of the inputs; the last two are height and width where smoothness counts.
    smoothness : float
        Weight of the total variation; 0 for anything but pictures.
    low, high : float
        Range of the inputs.
    steps, restarts : int
    lr : float
        Of Adam; it falls to a tenth three times.
    seed : int

    Returns
    -------
    tensor
        The restart whose gradient is closest.
    """
    draw = torch.Generator().manual_seed(seed)
    best, least = torch.zeros(*shape), torch.inf
    parameters = _parameters(model, state)
    for _ in range(restarts):
        inputs = torch.randn(*shape, generator=draw).requires_grad_()
        optimizer = torch.optim.Adam([inputs], lr=lr)
        marks = [steps * k // 8 for k in (3, 5, 7)]
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, marks, 0.1)
        for _ in range(steps):
            optimizer.zero_grad()
            made = _differentiable(model, parameters, inputs, labels)
            loss = _cosine_distance(made, seen) + smoothness * _variation(inputs)
            loss.backward()  # type: ignore[no-untyped-call]
            if inputs.grad is not None:
                inputs.grad.sign_()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                inputs.clamp_(low, high)
        made = _differentiable(model, parameters, inputs, labels)
        apart = _cosine_distance(made, seen).item()
        if apart < least:
            best, least = inputs.detach().clone(), apart
    return best


def label_of(last_bias: torch.Tensor) -> int:
    """The label of a single example: the one output whose bias is pulled up (Zhao et al. 2020).

    Parameters
    ----------
    last_bias : tensor, shape (classes,)
        Gradient of the last layer's bias.
    """
    return int(last_bias.argmin())


def _parameters(model: nn.Module, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    names = sorted(name for name, _ in model.named_parameters())
    return {name: state[name].detach().clone().requires_grad_() for name in names}


def _loss(
    model: nn.Module, parameters: Mapping[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    return functional.cross_entropy(functional_call(model, dict(parameters), (x,)), y)


def _differentiable(
    model: nn.Module, parameters: Mapping[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor
) -> Gradient:
    loss = _loss(model, parameters, x, y)
    return torch.autograd.grad(loss, list(parameters.values()), create_graph=True)


def _cosine_distance(made: Gradient, seen: Gradient) -> torch.Tensor:
    flat, truth = (torch.cat([one.reshape(-1) for one in side]) for side in (made, seen))
    return 1 - functional.cosine_similarity(flat, truth, dim=0)


def _variation(inputs: torch.Tensor) -> torch.Tensor:
    """Mean step between neighbouring pixels; 0 for inputs that are no pictures."""
    if inputs.ndim < 3:
        return torch.zeros(())
    down = (inputs[..., 1:, :] - inputs[..., :-1, :]).abs().mean()
    across = (inputs[..., :, 1:] - inputs[..., :, :-1]).abs().mean()
    return down + across
