"""Per-record gradients through Opacus' formulas, caught by tensor hooks on layer outputs.

Opacus catches them by module backward hooks instead. Those forbid in-place activations, and make
torch warn in every loop whose data need no gradient, which is every ordinary loop.

A linear layer's gradient for one record is the outer product of its output gradient and its input.
It is kept as these two factors and never multiplied out: norms and clipped sums follow from them
(ghost clipping by book-keeping, Bu et al. 2023), with one backward pass and any loss function.
Opacus' own ghost clipping needs two passes and its own loss object.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from opacus.grad_sample import GradSampleHooks
from opacus.grad_sample.functorch import prepare_layer
from opacus.layers.dp_rnn import DPGRU, DPLSTM, DPRNN
from torch import nn


class RecordHooks(GradSampleHooks):  # type: ignore[misc]
    """Attach to a model so that each backward pass leaves `grad_sample` on its parameters.

    Parameters
    ----------
    model : torch.nn.Module
        Changed only by forward hooks and by attributes on its parameters.
    loss_reduction : {"mean", "sum"}

    Raises
    ------
    NotImplementedError
        If a trainable layer has buffers: they are released, but not private.
    """

    def __init__(self, model: nn.Module, *, loss_reduction: str) -> None:
        super().__init__(model, loss_reduction=loss_reduction)

    def add_hooks(
        self,
        *,
        loss_reduction: str = "mean",
        batch_first: bool = True,
        force_functorch: bool = False,
    ) -> None:
        """Called once by Opacus' constructor."""
        # The attribute is Opacus' own, so that it, too, sees that the model is taken.
        handles = self._module.autograd_grad_sample_hooks = []
        self.autograd_grad_sample_hooks = handles
        backward = partial(
            self.capture_backprops_hook, loss_reduction=loss_reduction, batch_first=batch_first
        )
        for layer in self.iterate_submodules(self._module):
            if type(layer) in (DPRNN, DPLSTM, DPGRU):
                continue  # their inner RNNLinear layers are hooked
            if force_functorch or type(layer) not in self.GRAD_SAMPLERS:
                prepare_layer(layer, batch_first=batch_first)
            handles.append(layer.register_forward_hook(partial(self._on_forward, backward)))
        self.enable_hooks()

    def _on_forward(self, backward: Any, layer: nn.Module, inputs: Any, output: Any) -> None:
        watched = output[0] if isinstance(output, tuple) else output
        trainable = any(p.requires_grad for p in layer.parameters(recurse=False))
        if not (trainable and layer.training and torch.is_grad_enabled()):
            return
        self.capture_activations_hook(layer, inputs, output)
        watched.register_hook(lambda grad: backward(layer, None, (grad,)))

    def capture_backprops_hook(
        self,
        module: Any,
        _forward_input: Any,
        forward_output: tuple[torch.Tensor],
        loss_reduction: str,
        batch_first: bool,
    ) -> None:
        """Leave `grad_sample` on the parameters of `module`; factors where it is linear."""
        if not (self.hooks_enabled and _is_factored(module)):
            super().capture_backprops_hook(
                module, _forward_input, forward_output, loss_reduction, batch_first
            )
            return
        (inputs,), gradients = self.rearrange_grad_samples(
            module=module,
            backprops=forward_output[0].detach(),
            loss_reduction=loss_reduction,
            batch_first=batch_first,
        )
        del module.max_batch_len
        factor = gradients.view_as(gradients)  # a tensor of its own, to carry the other factor
        factor.record_inputs = inputs
        for parameter, sample in ((module.weight, factor), (module.bias, gradients)):
            if parameter is None or not parameter.requires_grad:
                continue
            if parameter.grad_sample is not None:
                raise ValueError(
                    "two backward passes before one optimizer step would double the sampling "
                    "rate; call optimizer.zero_grad() and optimizer.step() for every batch"
                )
            parameter.grad_sample = sample
            parameter._forward_counter -= 1


def _is_factored(layer: Any) -> bool:
    """Whether `layer` is linear, on vectors, and used once in this forward pass.

    A sequence of vectors, or a second use of the weight, adds outer products up.
    """
    kind: object = type(layer)  # exactly: a subclass may compute something else
    return bool(
        kind is nn.Linear
        and layer.weight.requires_grad
        and len(layer.activations) == 1
        and layer.activations[0][0].ndim == 2
        and all(
            p._forward_counter == 1 and not hasattr(p, "_current_grad_sample")
            for p in layer.parameters()
            if p.requires_grad
        )
    )
