"""What a final model thinks a class looks like: model inversion of Fredrikson et al. (2015)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from .views import SeesModel


def class_portrait(
    view: SeesModel,
    make_model: Callable[[], nn.Module],
    *,
    label: int,
    shape: tuple[int, ...],
    low: float = 0.0,
    high: float = 1.0,
    steps: int = 200,
    lr: float = 0.1,
    decay: float = 1e-3,
) -> torch.Tensor:
    """The input of which the model is surest that it is of a class, from a blank one.

    Gives away what the members of a class have in common: a person's face where a class is one
    person, an average otherwise.

    Parameters
    ----------
    view : SeesModel
        Anyone who has the final model.
    make_model : callable
        Returns a net of the architecture, with logits of shape (n, classes).
    label : int
    shape : tuple of int
        Of one input.
    low, high : float
        Range of the inputs.
    steps : int
    lr : float
        Of gradient descent with momentum.
    decay : float
        Weight of the squared distance from the blank input.
    """
    model = make_model().eval()
    state = {name: value.detach() for name, value in view.model.items()}
    blank = torch.full((1, *shape), (low + high) / 2)
    portrait = blank.clone().requires_grad_()
    optimizer = torch.optim.SGD([portrait], lr=lr, momentum=0.9)
    target = torch.tensor([label])
    for _ in range(steps):
        optimizer.zero_grad()
        cost = functional.cross_entropy(functional_call(model, state, (portrait,)), target)
        cost = cost + decay * (portrait - blank).square().sum()
        cost.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            portrait.clamp_(low, high)
    return portrait.detach()[0]
