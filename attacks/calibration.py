"""The loss of an example beyond how hard it is: difficulty calibration of Watson et al. (2022)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .membership import Array, check_shadows, loss_threshold


def calibrated_loss(target: Array, shadows: Array, masks: NDArray[np.bool_]) -> Array:
    """Mean loss of the models that never saw the example, minus the target's loss.

    Watson et al. (2022), equation 2, with the loss as the score.

    Parameters
    ----------
    target : float array, shape (n,)
        Logit-scaled confidences of the attacked model.
    shadows : float array, shape (K, n)
        Of the shadow models; only those outside `masks` are used.
    masks : bool array, shape (K, n)
        Which shadow trained on which example.

    Raises
    ------
    ConfigurationError
        If shapes differ, or an example lacks shadows that never saw it.
    """
    check_shadows(target, shadows, masks, both=False)
    outside = np.where(masks, 0.0, loss_threshold(shadows)).sum(axis=0) / (~masks).sum(axis=0)
    scores: Array = loss_threshold(target) - outside
    return scores
