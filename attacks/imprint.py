"""A crafted model that copies its inputs into the update: Robbing the Fed, Fowl et al. (2022)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from flwr_swarm._exceptions import ConfigurationError

from .inversion_linear import linear_inputs


def imprint(
    honest: Mapping[str, torch.Tensor],
    sample: torch.Tensor,
    *,
    first: tuple[str, str],
    second: str,
    gain: float = 1.0,
) -> dict[str, torch.Tensor]:
    """Parameters of the same architecture whose first layer sorts inputs into bins.

    Every neuron measures an input's brightness; neuron i fires for those above the i-th quantile.
    The layer behind it takes all neurons alike, so that an example moves all that it fires by the
    same amount, and the difference of two neighbours holds the examples of one bin.

    Parameters
    ----------
    honest : state dict
        A model that begins with a linear layer, ReLU, and another linear layer.
    sample : tensor, shape (m, inputs)
        Inputs like the victims', from which the attacker takes the quantiles of brightness.
    first : (str, str)
        Names of the first layer's weight and bias.
    second : str
        Name of the second layer's weight.
    gain : float
        Largest weight of the second layer. The update grows with it, until outputs saturate.
    """
    weight, bias = (honest[name] for name in first)
    if sample.ndim != 2 or weight.ndim != 2 or sample.shape[1] != weight.shape[1]:
        raise ConfigurationError(
            f"a sample of shape {tuple(sample.shape)} does not fit a first layer of "
            f"{tuple(weight.shape)}; give rows as the layer takes them"
        )
    brightness = sample.double().mean(dim=1)
    levels = torch.linspace(0, 1, len(bias) + 1, dtype=torch.float64)[:-1]
    cuts = torch.quantile(brightness, levels)
    cuts[0] = 2 * cuts[0] - cuts[-1]  # darker than the sample's darkest fires, too
    crafted = {name: value.clone() for name, value in honest.items()}
    crafted[first[0]] = torch.full_like(weight, 1 / weight.shape[1])
    crafted[first[1]] = -cuts.to(bias.dtype)
    outputs, neurons = honest[second].shape
    column = torch.linspace(-gain, gain, outputs, dtype=honest[second].dtype)
    crafted[second] = column[:, None].expand(outputs, neurons).clone()
    return crafted


def imprinted(weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The inputs in an update of the crafted first layer, bin by bin.

    Parameters
    ----------
    weight : tensor, shape (neurons, inputs)
        What the update did to the layer's weights.
    bias : tensor, shape (neurons,)
        What it did to its biases.

    Returns
    -------
    tensor, shape (m, inputs)
        One candidate for each bin that something fell into; of two examples, their mean.
    """
    upper = torch.cat([weight[1:], torch.zeros_like(weight[:1])])
    above = torch.cat([bias[1:], torch.zeros_like(bias[:1])])
    return linear_inputs(weight.double() - upper.double(), bias.double() - above.double())
