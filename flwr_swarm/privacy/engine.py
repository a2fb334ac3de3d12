"""`make_private`: one call that turns a training loop into DP-SGD with an enforced budget."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any, Final, TypeVar

from flwr.app import Context, RecordDict
from opacus.grad_sample import AbstractGradSampleModule
from opacus.grad_sample.gsm_base import OPACUS_PARAM_MONKEYPATCH_ATTRS
from opacus.optimizers import DPOptimizer
from opacus.validators import ModuleValidator
from opacus.validators.errors import UnsupportedModuleError
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from .._exceptions import BudgetExhausted, ConfigurationError
from .accounting import Charge, History, load_history, save_history
from .hooks import RecordHooks
from .optimizer import PaidOptimizer
from .randomness import SecureRandom
from .sampling import check_loader, poisson_loader

LOG: Final = logging.getLogger(__name__)
BUDGET_OPTION: Final = "swarm-budget"
"""Node config entry with which a site caps its own epsilon."""

ModelT = TypeVar("ModelT", bound=nn.Module)


def make_private(
    source: Context | RecordDict,
    model: ModelT,
    optimizer: Optimizer,
    loader: DataLoader[Any],
    *,
    epochs: int,
    noise_multiplier: float,
    budget: float,
    max_grad_norm: float = 1.0,
    delta: float = 1e-5,
    loss_reduction: str = "mean",
) -> tuple[ModelT, Optimizer, DataLoader[Any]]:
    """Make this round's training record-level differentially private, within a budget.

    The round is charged in full before a step is taken (write-ahead): a round that fails or is
    replayed still counts. The charge lives in the Flower context and composes over all rounds.

    Parameters
    ----------
    source : Context or RecordDict
        The context of the train function, or its `state`.
    model : torch.nn.Module
        In training mode. The same object is returned, so `state_dict()` keeps its keys.
    optimizer : torch.optim.Optimizer
        Over parameters of `model`.
    loader : torch.utils.data.DataLoader
        Over a map-style dataset of n records, one record a privacy unit.
    epochs : int
        Passes over the returned loader that the training loop will make, > 0.
    noise_multiplier : float
        Noise standard deviation over `max_grad_norm`. 0 switches DP off.
    budget : float
        Highest cumulative epsilon at `delta`, > 0; `math.inf` for no limit. The site's own
        ``swarm-budget`` in its node config counts where it is lower: a run config, from which this
        often comes, is the relay's.
    max_grad_norm : float
        L2 norm C to which each record's gradient is clipped, > 0.
    delta : float
        In (0, 1/n). Epsilon is reported at the smallest delta that any round used.
    loss_reduction : {"mean", "sum"}
        How the training loop's loss reduces over the batch.

    Returns
    -------
    (model, optimizer, loader)
        The same model with hooks for per-record gradients, an optimizer that clips, adds noise
        and refuses steps beyond `epochs * len(loader)`, and a loader that samples by Poisson
        (each record with probability 1/len(loader), the rate that is charged). With DP off the
        three arguments themselves.

    Raises
    ------
    BudgetExhausted
        If the round would exceed `budget`; raised before anything is changed.
    ConfigurationError
        If an argument, or a layer of the model, does not go with DP; nothing is changed.

    Notes
    -----
    Guarantee: all parameters released over all rounds are together (epsilon, delta)-DP under
    adding or removing one record (Abadi et al. 2016, RDP accounting), if the loop steps once for
    each batch, empty ones included, and releases nothing else computed from the data: training
    metrics are outside epsilon. n is taken as public.

    Only what goes through the model's layers is seen: a penalty on the parameters themselves
    (FedProx's proximal term) does not reach the privatised gradient; weight decay in the
    optimizer does. Linear layers never hold a gradient a record (see `hooks`); other layers do,
    so memory grows with batch size times their parameters.
    """
    budget = _at_most_the_sites(source, budget)
    _check_numbers(
        epochs=epochs,
        noise_multiplier=noise_multiplier,
        budget=budget,
        max_grad_norm=max_grad_norm,
        delta=delta,
        loss_reduction=loss_reduction,
    )
    history = load_history(source)
    if noise_multiplier == 0:
        LOG.warning(
            "noise_multiplier=0: differential privacy is OFF for this round, nothing bounds what "
            "the update reveals about a record; set noise_multiplier > 0 to switch it on"
        )
        save_history(source, history.exposed())
        return model, optimizer, loader

    records = check_loader(loader)
    if delta >= 1 / records:
        raise ConfigurationError(
            f"delta must be < 1/n = {1 / records:.3g} for {records} records, got {delta}: "
            f"above, publishing one record outright would count as private; try {0.1 / records:.0e}"
        )
    plain = model.to_standard_module() if isinstance(model, AbstractGradSampleModule) else model
    _check_model(plain, optimizer)

    charge = Charge(
        noise_multiplier=float(noise_multiplier),
        sample_rate=1 / len(loader),
        steps=epochs * len(loader),
    )
    after = history.charged(charge, delta=float(delta))
    _check_budget(history, after, budget=budget, steps=charge.steps)

    # Built before the charge is written, so that a refusal by Opacus costs nothing.
    random = SecureRandom()
    private_loader = poisson_loader(loader, random)
    _attach_hooks(plain, loss_reduction)
    private_optimizer = PaidOptimizer(
        optimizer.original_optimizer if isinstance(optimizer, DPOptimizer) else optimizer,
        noise_multiplier=charge.noise_multiplier,
        max_grad_norm=float(max_grad_norm),
        expected_batch_size=records // len(loader),
        loss_reduction=loss_reduction,
        paid_steps=charge.steps,
        random=random,
    )
    save_history(source, after)
    LOG.info(
        "DP round %d: %d steps, epsilon %.4f of %.4f at delta %.1e once they are taken",
        after.rounds, charge.steps, after.epsilon(), budget, after.delta,
    )  # fmt: skip
    return plain, private_optimizer, private_loader


def _at_most_the_sites(source: Context | RecordDict, budget: float) -> float:
    """`budget`, or what the site's node config allows if that is less."""
    if not isinstance(source, Context):
        return budget
    own = source.node_config.get(BUDGET_OPTION)
    if own is None:
        return budget
    try:
        allowed = float(own)
    except ValueError:
        allowed = math.nan
    if not allowed > 0:
        raise ConfigurationError(
            f"{BUDGET_OPTION} in this site's node config must be > 0, got {own!r}; give the "
            "highest epsilon that the site allows"
        )
    return min(budget, allowed)


def _check_budget(before: History, after: History, *, budget: float, steps: int) -> None:
    then = after.epsilon()
    if then is None or then <= budget:
        return
    if after.unprotected:
        raise BudgetExhausted(
            f"{after.unprotected} earlier round(s) trained without DP, so epsilon is unbounded and "
            f"exceeds the budget {budget}; start a run in which every round is private"
        )
    spent = before.epsilon() or 0.0
    raise BudgetExhausted(
        f"privacy budget: spent epsilon {spent:.4f}, {then:.4f} after the {steps} planned steps, "
        f"budget {budget} at delta {after.delta:.1e}; nothing was trained. Plan fewer epochs, "
        "raise noise_multiplier or batch count from the first round on, or agree a larger budget"
    )


def _check_numbers(
    *,
    epochs: int,
    noise_multiplier: float,
    budget: float,
    max_grad_norm: float,
    delta: float,
    loss_reduction: str,
) -> None:
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise ConfigurationError(
            f"epochs must be an integer >= 1, got {epochs!r}; give the passes over the loader "
            "that the training loop makes"
        )
    if not (math.isfinite(noise_multiplier) and noise_multiplier >= 0):
        raise ConfigurationError(
            f"noise_multiplier must be finite and >= 0, got {noise_multiplier}; "
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


def _check_model(model: nn.Module, optimizer: Optimizer) -> None:
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
        raise ConfigurationError(_opacus_says(error)) from None


def _attach_hooks(model: nn.Module, loss_reduction: str) -> None:
    _detach_hooks(model)
    try:
        hooks = RecordHooks(model, loss_reduction=loss_reduction)
    except NotImplementedError as error:
        _detach_hooks(model)
        raise ConfigurationError(_opacus_says(error)) from None
    hooks.forbid_grad_accumulation()  # two batches in one step would double the sampling rate


def _detach_hooks(model: nn.Module) -> None:
    """Undo an earlier wrapping, by us or by Opacus: hooks twice would count gradients twice."""
    for handle in model.__dict__.pop("autograd_grad_sample_hooks", []):
        handle.remove()
    for layer in model.modules():
        for name in ("activations", "max_batch_len", "ft_compute_sample_grad"):
            layer.__dict__.pop(name, None)
    for owner in model.parameters():
        for name in (*OPACUS_PARAM_MONKEYPATCH_ATTRS, "summed_grad"):
            owner.__dict__.pop(name, None)


def _opacus_says(error: Exception) -> str:
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
