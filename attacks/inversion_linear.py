"""Inputs of a linear layer from its gradient, exactly: each neuron's is a sum of the inputs."""

from __future__ import annotations

import torch

from flwr_swarm._exceptions import ConfigurationError

from .views import Step


def linear_inputs(weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Candidates for the inputs that made a linear layer's gradient.

    The gradient of neuron i's weights is the sum over examples of g*x, that of its bias the sum
    of g: their quotient is x itself if one example moved the neuron, and a mean over those that
    did otherwise (Phong et al. 2017).

    Parameters
    ----------
    weight : tensor, shape (neurons, inputs)
        Gradient of the weights, or any multiple of it, such as a step of SGD.
    bias : tensor, shape (neurons,)
        The same multiple of the gradient of the biases.

    Returns
    -------
    tensor, shape (m, inputs)
        One candidate for each neuron whose bias moved.
    """
    if weight.ndim != 2 or bias.shape != weight.shape[:1]:
        raise ConfigurationError(
            f"weight {tuple(weight.shape)} and bias {tuple(bias.shape)} must be (neurons, inputs) "
            "and (neurons,): the first linear layer's"
        )
    moved = bias.abs() > 1e-12 * bias.abs().max().clamp_min(1e-300)
    return weight[moved].double() / bias[moved].double()[:, None]


def layer_moves(
    step: Step, site: int, *, weight: str, bias: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a step made of one layer: minus the gradient, times the rate if it was one of SGD.

    Parameters
    ----------
    step : Step
    site : int
        Whose, or `SUM`.
    weight, bias : str
        Names of the layer's arrays.
    """
    after = step.after[site]
    return (
        after[weight].double() - step.before[weight].double(),
        after[bias].double() - step.before[bias].double(),
    )
