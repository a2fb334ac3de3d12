"""The one number an attack reads off a prediction: the logit-scaled confidence in the label."""

from __future__ import annotations

import torch
from torch.nn import functional


def confidence(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """log p(y) - log(1 - p(y)), computed from logits without ever rounding p to 0 or 1.

    Roughly Gaussian over retrained models, which LiRA assumes (Carlini et al. 2022, figure 4).

    Parameters
    ----------
    logits : float tensor, shape (n,) or (n, 1) for two classes, (n, classes) for more
    y : tensor, shape (n,) or (n, 1)
        Labels 0 and 1 for a single logit, class indices otherwise.

    Returns
    -------
    float64 tensor, shape (n,)
    """
    values, labels = _aligned(logits.detach().to(torch.float64), y)
    if values.ndim == 1:
        return (2 * labels - 1) * values
    index = labels.long().unsqueeze(-1)
    others = values.scatter(-1, index, -torch.inf).logsumexp(-1)
    return values.gather(-1, index).squeeze(-1) - others


def losses(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Cross entropy of each example, shape (n,): binary for one logit, categorical for more."""
    values, labels = _aligned(logits, y)
    if values.ndim == 1:
        return functional.binary_cross_entropy_with_logits(
            values, labels.to(values.dtype), reduction="none"
        )
    return functional.cross_entropy(values, labels.long(), reduction="none")


def _aligned(logits: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    values = logits.squeeze(-1) if logits.ndim == 2 and logits.shape[-1] == 1 else logits
    return values, y.reshape(values.shape[0])
