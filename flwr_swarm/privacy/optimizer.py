"""The DP-SGD optimizer: clips, adds secret noise, and takes no step that was not paid for."""

from __future__ import annotations

import math

import torch
from opacus.optimizers import DPOptimizer
from opacus.optimizers.optimizer import _check_processed_flag, _mark_as_processed
from torch.optim import Optimizer

from .._exceptions import BudgetExhausted, PrivacyError
from .patients import Turn, square_norms
from .randomness import SecureRandom


class PaidOptimizer(DPOptimizer):  # type: ignore[misc]
    """Opacus' flat-clipping optimizer with `SecureRandom` noise and a limited number of steps.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        The user's optimizer; it applies the privatised gradient.
    noise_multiplier, max_grad_norm : float
        Noise has standard deviation `noise_multiplier * max_grad_norm` a coordinate.
    expected_batch_size : int
        Denominator of the mean gradient; fixed, since the real batch size is private.
    loss_reduction : {"mean", "sum"}
    paid_steps : int
        Steps that the accountant was charged for.
    random : SecureRandom
    turn : Turn, optional
        Says which records are one patient's, who is then clipped as one.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        noise_multiplier: float,
        max_grad_norm: float,
        expected_batch_size: int,
        loss_reduction: str,
        paid_steps: int,
        random: SecureRandom,
        turn: Turn | None = None,
    ) -> None:
        super().__init__(
            optimizer,
            noise_multiplier=noise_multiplier,
            max_grad_norm=max_grad_norm,
            expected_batch_size=expected_batch_size,
            loss_reduction=loss_reduction,
        )
        self._paid_noise = noise_multiplier
        self._paid_steps = paid_steps
        self._taken = 0
        self._random = random
        self._turn = turn

    def clip_and_accumulate(self) -> None:
        """Scale each record's, or patient's, gradient to `max_grad_norm`, and add them up."""
        samples = self.grad_samples
        for sample in samples:
            _check_processed_flag(sample)
        if self._turn is None:
            square = torch.stack([_square_norms(sample) for sample in samples]).sum(dim=0)
            scale = self._scale(square)
        else:
            patient = self._turn.take(len(samples[0])).to(samples[0].device)
            count = int(patient.max()) + 1 if len(patient) else 0
            square = torch.stack([square_norms(s, patient, count) for s in samples]).sum(dim=0)
            scale = self._scale(square)[patient]
        for p, sample in zip(self.params, samples, strict=True):
            clipped = _weighted_sum(sample, scale).to(p.dtype)
            p.summed_grad = clipped if p.summed_grad is None else p.summed_grad + clipped
            _mark_as_processed(p.grad_sample)

    def _scale(self, square: torch.Tensor) -> torch.Tensor:
        scale: torch.Tensor = (self.max_grad_norm / (square.sqrt() + 1e-6)).clamp(max=1.0)
        return scale

    def add_noise(self) -> None:
        """Add noise to the clipped sum; every real step passes here before anything changes.

        Raises
        ------
        BudgetExhausted
            If all steps that were paid for are taken. Parameters are as after the last of them.
        PrivacyError
            If the noise multiplier was lowered after the charge.
        """
        if self._taken >= self._paid_steps:
            raise BudgetExhausted(
                f"all {self._paid_steps} steps charged for this round are taken; raise epochs in "
                "make_private to the epochs that the training loop really runs"
            )
        if not self.noise_multiplier >= self._paid_noise:
            raise PrivacyError(
                f"noise_multiplier was lowered to {self.noise_multiplier} after the round was "
                f"charged for {self._paid_noise}; set it in make_private"
            )
        self._taken += 1
        std = self.noise_multiplier * self.max_grad_norm
        for p in self.params:
            _check_processed_flag(p.summed_grad)  # Opacus' guard against a forgotten zero_grad()
            # Summed in float64 and rounded once, so that the result's low bits do not betray
            # which doubles the Gaussian can take (Mironov 2012).
            noise = (std * self._random.normal(p.summed_grad.shape)).to(p.summed_grad.device)
            p.grad = (p.summed_grad.to(torch.float64) + noise).to(p.dtype).view_as(p)
            _mark_as_processed(p.summed_grad)


def _square_norms(sample: torch.Tensor) -> torch.Tensor:
    """Squared L2 norm of each record's gradient of one parameter, shape (records,)."""
    flat = sample.reshape(len(sample), math.prod(sample.shape[1:]))
    square: torch.Tensor = flat.square().sum(dim=1)
    inputs = getattr(
        sample, "record_inputs", None
    )  # the outer product's norm is the norms' product
    return square if inputs is None else square * _square_norms(inputs)


def _weighted_sum(sample: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Sum of weight times gradient over the records, of the parameter's shape."""
    inputs = getattr(sample, "record_inputs", None)
    if inputs is None:
        return torch.einsum("i,i...", weight.to(sample.dtype), sample)
    total: torch.Tensor = (sample * weight.to(sample.dtype)[:, None]).T @ inputs
    return total
