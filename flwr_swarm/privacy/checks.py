"""What goes with differentially private training, and what is refused before anything changes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from opacus.validators import ModuleValidator
from opacus.validators.errors import UnsupportedModuleError
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim import SGD, Optimizer

from .._exceptions import ConfigurationError
from .offer import SharedOffer

SHARED: Final = "shared"


def check_numbers(
    *,
    epochs: int,
    noise_multiplier: object,
    budget: float,
    max_grad_norm: float,
    delta: float,
    loss_reduction: str,
) -> None:
    """Raise ConfigurationError unless the numbers given to `make_private` can work."""
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise ConfigurationError(
            f"epochs must be an integer >= 1, got {epochs!r}; give the passes over the loader "
            "that the training loop makes"
        )
    number = noise_multiplier if isinstance(noise_multiplier, int | float) else math.nan
    if noise_multiplier != SHARED and not (math.isfinite(number) and number >= 0):
        raise ConfigurationError(
            f"noise_multiplier must be finite and >= 0, or 'shared', got {noise_multiplier!r}; "
            "start with 1.0, or 0 to switch DP off"
        )
    if not (math.isfinite(max_grad_norm) and max_grad_norm > 0):
        raise ConfigurationError(
            f"max_grad_norm must be finite and > 0, got {max_grad_norm}; "
            "choose the L2 norm of a typical record's gradient, or 1.0"
        )
    if not 0 < delta < 1:
        raise ConfigurationError(
            f"delta must be in (0, 1/n), got {delta}; choose well below one over the records"
        )
    if not budget > 0:
        raise ConfigurationError(
            f"budget must be > 0, got {budget}; give the highest epsilon that this site allows, "
            "or math.inf for no limit"
        )
    if loss_reduction not in ("mean", "sum"):
        raise ConfigurationError(
            f"loss_reduction must be 'mean' or 'sum', got {loss_reduction!r}; "
            "name what the loss does over the batch"
        )


def check_delta(delta: float, units: int) -> None:
    """Refuse a delta at which publishing one record, or patient, would be private."""
    if delta >= 1 / units:
        raise ConfigurationError(
            f"delta must be < 1/n = {1 / units:.3g} for {units} records, got {delta}: "
            f"above, publishing one record outright would count as private; try {0.1 / units:.0e}"
        )


def check_shared(
    noise_multiplier: object, offer: SharedOffer | None, *, epochs: int
) -> SharedOffer | None:
    """The noise that members share this round, or None if this site adds its own.

    Raises
    ------
    ConfigurationError
        If swarm and site do not agree on which of the two it is.
    """
    if noise_multiplier != SHARED:
        if offer is not None:
            raise ConfigurationError(
                f"this swarm's members add their noise together, and noise_multiplier="
                f"{noise_multiplier} would add this site's own beside it; call make_private with "
                "noise_multiplier='shared', or found a swarm without noise=..."
            )
        return None
    if offer is None:
        raise ConfigurationError(
            "noise_multiplier='shared' works only in a swarm whose members add their noise "
            "together: SwarmStrategy(noise=SharedNoise(...)); give a number otherwise"
        )
    if epochs != 1:
        raise ConfigurationError(
            f"with shared noise a round is one step, got epochs={epochs}; more local steps would "
            "use gradients to which no noise was added yet"
        )
    return offer


def check_step(optimizer: Optimizer, max_grad_norm: float, offer: SharedOffer) -> None:
    """Refuse an optimizer whose step is not the learning rate times the gradient."""
    rates = {float(group["lr"]) for group in optimizer.param_groups}
    plain = type(optimizer) is SGD and not any(g["momentum"] for g in optimizer.param_groups)
    if not plain or len(rates) != 1:
        raise ConfigurationError(
            f"with shared noise a step must be the learning rate times the summed gradient, got "
            f"{type(optimizer).__name__} with learning rates {sorted(rates)[:3]}; use "
            "torch.optim.SGD with one rate and no momentum, and FedAdam or FedAvgM at the server"
        )
    bound = rates.pop() * max_grad_norm
    if bound > offer.sensitivity * (1 + 1e-9):
        raise ConfigurationError(
            f"a record may move the update by learning rate times max_grad_norm = {bound:g}, the "
            f"swarm's noise covers sensitivity={offer.sensitivity:g}; lower either, or found the "
            "swarm with SharedNoise(sensitivity=learning rate * max_grad_norm)"
        )


def check_model(model: nn.Module, optimizer: Optimizer) -> None:
    """Raise ConfigurationError if a record's gradient cannot be bounded, or would not be used."""
    if isinstance(model, DataParallel | DistributedDataParallel):
        raise ConfigurationError(
            f"{type(model).__name__} is not supported; pass the module inside it (model.module)"
        )
    trainable = {id(p) for p in model.parameters() if p.requires_grad}
    if not trainable:
        raise ConfigurationError("the model has no trainable parameter; unfreeze at least one")
    stepped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not trainable & stepped or not stepped <= {id(p) for p in model.parameters()}:
        raise ConfigurationError(
            "the optimizer's parameters are not the model's; build the optimizer from "
            "model.parameters() of the very model that is passed"
        )
    for name, layer in model.named_modules():
        # Also when frozen: in training mode its statistics mix records and are released.
        if isinstance(layer, _BatchNorm):
            raise ConfigurationError(
                f"layer {name or '(root)'} ({type(layer).__name__}) mixes the records of a batch, "
                "so no record's gradient can be bounded; use GroupNorm or LayerNorm, or "
                "opacus.validators.ModuleValidator.fix(model)"
            )
    try:
        ModuleValidator.validate(model, strict=True)
    except UnsupportedModuleError as error:
        raise ConfigurationError(opacus_says(error)) from None


def opacus_says(error: Exception) -> str:
    """An error of Opacus in one line, with what to do about it."""
    reasons = "; ".join(str(reason) for reason in _flat(error.args))
    return (
        f"Opacus cannot compute per-record gradients of this model: {reasons}; call model.train() "
        "first, and replace layers that it names (opacus.validators.ModuleValidator.fix(model))"
    )


def _flat(args: object) -> Iterator[object]:
    if isinstance(args, list | tuple):
        for arg in args:
            yield from _flat(arg)
    else:
        yield args
