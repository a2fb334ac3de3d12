"""`make_private`: one call that turns a training loop into DP-SGD with an enforced budget."""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable, Sequence
from typing import Any, Final, Literal, TypeVar

from flwr.app import Context, RecordDict
from opacus.grad_sample import AbstractGradSampleModule
from opacus.grad_sample.gsm_base import OPACUS_PARAM_MONKEYPATCH_ATTRS
from opacus.optimizers import DPOptimizer
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from .._exceptions import BudgetExhausted, ConfigurationError
from .accounting import Charge, History, load_history, save_history
from .checks import (
    check_delta,
    check_model,
    check_numbers,
    check_shared,
    check_step,
    opacus_says,
)
from .hooks import RecordHooks
from .offer import read_offer, write_taken
from .optimizer import PaidOptimizer
from .patients import PatientLoader, Patients, PatientSampler, Turn
from .randomness import SecureRandom
from .sampling import PoissonSampler, check_loader, poisson_loader
from .shared import SharedCharge

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
    noise_multiplier: float | Literal["shared"],
    budget: float,
    max_grad_norm: float = 1.0,
    delta: float = 1e-5,
    loss_reduction: str = "mean",
    patients: Sequence[Hashable] | None = None,
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
    noise_multiplier : float or "shared"
        Noise standard deviation over `max_grad_norm`. 0 switches DP off. "shared" in a swarm with
        ``SwarmStrategy(noise=...)``: one step a round without noise of the site's own; the
        members' shares of noise are added to the sealed sums. `epochs` is then 1, the returned
        loader has one batch, the optimizer is plain SGD, and the train reply's number of examples
        is the expected batch size, ``n // len(loader)`` of the loader that was given.
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
    patients : sequence of hashable, optional
        Whose record each record of the dataset is, where some have several. A patient is then
        sampled, clipped and protected as one, and n counts patients.

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
    adding or removing one record, or patient (Abadi et al. 2016, RDP accounting), if the loop
    steps once for each batch, empty ones included, and releases nothing else computed from the
    data: training metrics are outside epsilon. n is taken as public. With shared noise it holds
    for the opened sums, if as many members as the swarm's terms say add their share.

    Only what goes through the model's layers is seen: a penalty on the parameters themselves
    (FedProx's proximal term) does not reach the privatised gradient; weight decay in the
    optimizer does. Linear layers never hold a gradient a record (see `hooks`); other layers do,
    so memory grows with batch size times their parameters.
    """
    budget, offer = _at_most_the_sites(source, budget), read_offer(source)
    check_numbers(
        epochs=epochs,
        noise_multiplier=noise_multiplier,
        budget=budget,
        max_grad_norm=max_grad_norm,
        delta=delta,
        loss_reduction=loss_reduction,
    )
    shared = check_shared(noise_multiplier, offer, epochs=epochs)
    history = load_history(source)
    if noise_multiplier == 0:
        LOG.warning(
            "noise_multiplier=0: differential privacy is OFF for this round, nothing bounds what "
            "the update reveals about a record; set noise_multiplier > 0 to switch it on"
        )
        save_history(source, history.exposed())
        return model, optimizer, loader

    records, steps = check_loader(loader)
    grouped = None if patients is None else Patients.among(patients, records)
    check_delta(delta, records if grouped is None else grouped.count)
    plain = model.to_standard_module() if isinstance(model, AbstractGradSampleModule) else model
    wrapped = optimizer.original_optimizer if isinstance(optimizer, DPOptimizer) else optimizer
    check_model(plain, optimizer)

    expected = records // steps
    charge: Charge | SharedCharge
    if shared is None:
        charge = Charge(
            noise_multiplier=float(noise_multiplier), sample_rate=1 / steps, steps=epochs * steps
        )
    else:
        weight = float(expected if loss_reduction == "mean" else 1)
        check_step(wrapped, max_grad_norm, shared)
        charge = shared.charge(weight=weight, sample_rate=1 / steps)
    after = history.charged(charge, delta=float(delta))
    _check_budget(history, after, budget=budget, steps=charge.steps)

    # Built before the charge is written, so that a refusal by Opacus costs nothing.
    random, turn = SecureRandom(), None if grouped is None else Turn()
    batches = None if shared is None else 1
    private_loader = _private_loader(loader, records, steps, batches, grouped, turn, random)
    _attach_hooks(plain, loss_reduction)
    private_optimizer = PaidOptimizer(
        wrapped,
        noise_multiplier=float(noise_multiplier) if shared is None else 0.0,
        max_grad_norm=float(max_grad_norm),
        expected_batch_size=expected,
        loss_reduction=loss_reduction,
        paid_steps=charge.steps,
        random=random,
        turn=turn,
    )
    save_history(source, after)
    if shared is not None:
        write_taken(source, weight)
    LOG.info(
        "DP round %d: %d steps, epsilon %.4f of %.4f at delta %.1e once they are taken",
        after.rounds, charge.steps, after.epsilon(), budget, after.delta,
    )  # fmt: skip
    return plain, private_optimizer, private_loader


def _private_loader(
    loader: DataLoader[Any],
    records: int,
    steps: int,
    batches: int | None,
    patients: Patients | None,
    turn: Turn | None,
    random: SecureRandom,
) -> DataLoader[Any]:
    if patients is None or turn is None:
        return poisson_loader(
            loader, PoissonSampler(records=records, steps=steps, random=random, batches=batches)
        )
    sampler = PatientSampler(
        patients=patients, steps=steps, random=random, turn=turn, batches=batches
    )
    grouped = poisson_loader(loader, sampler, kind=PatientLoader)
    grouped.turn = turn
    return grouped


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


def _attach_hooks(model: nn.Module, loss_reduction: str) -> None:
    _detach_hooks(model)
    try:
        hooks = RecordHooks(model, loss_reduction=loss_reduction)
    except NotImplementedError as error:
        _detach_hooks(model)
        raise ConfigurationError(opacus_says(error)) from None
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
