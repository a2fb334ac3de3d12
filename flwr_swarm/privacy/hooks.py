"""Per-record gradients through Opacus' formulas, caught by tensor hooks on layer outputs.

Opacus catches them by module backward hooks instead. Those forbid in-place activations, and make
torch warn in every loop whose data need no gradient, which is every ordinary loop.
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
        if not (layer.training and torch.is_grad_enabled() and watched.requires_grad):
            return
        self.capture_activations_hook(layer, inputs, output)
        watched.register_hook(lambda grad: backward(layer, None, (grad,)))
