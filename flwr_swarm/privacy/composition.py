"""Epsilon of a composition: Renyi divergences of steps added up, or privacy-loss variables."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from . import shared

if TYPE_CHECKING:
    from .accounting import Charge

# Opacus is imported where it is used: it takes seconds, and a deployed node starts a fresh process
# for every message, most of which need no accounting.


def rdp_epsilon(
    charges: Sequence[Charge], together: Sequence[shared.SharedCharge], delta: float
) -> float:
    """Epsilon at `delta` of all charges (Mironov 2017; Balle et al. 2020)."""
    from opacus.accountants import RDPAccountant  # noqa: PLC0415
    from opacus.accountants.analysis.rdp import get_privacy_spent  # noqa: PLC0415

    orders = tuple(float(order) for order in RDPAccountant.DEFAULT_ALPHAS)
    rdp = np.zeros(len(orders))
    for own in charges:
        rdp += own.steps * _rdp_of_one_step(own.noise_multiplier, own.sample_rate)
    for one in together:
        rdp += one.steps * shared.rdp_of_one_step(*one.mechanism, orders)
    with warnings.catch_warnings():
        # "Optimal order is the smallest alpha": the bound holds, it is only less tight.
        warnings.filterwarnings("ignore", message="Optimal order is the")
        epsilon, _ = get_privacy_spent(orders=orders, rdp=rdp, delta=delta)
    return math.inf if math.isnan(epsilon) else max(0.0, float(epsilon))


@lru_cache(maxsize=4096)
def _rdp_of_one_step(noise_multiplier: float, sample_rate: float) -> np.ndarray[Any, Any]:
    from opacus.accountants import RDPAccountant  # noqa: PLC0415
    from opacus.accountants.analysis.rdp import compute_rdp  # noqa: PLC0415

    with np.errstate(all="ignore"):  # tiny noise overflows to infinity, which is the answer
        rdp = compute_rdp(
            q=sample_rate,
            noise_multiplier=noise_multiplier,
            steps=1,
            orders=RDPAccountant.DEFAULT_ALPHAS,
        )
    # NaN means "not computable"; as infinity the order can never win the minimum.
    return np.where(np.isnan(rdp), np.inf, rdp)


def prv_epsilon(charges: Sequence[Charge], delta: float) -> float:
    """Epsilon at `delta` of charges of the sampled Gaussian mechanism (Gopi et al. 2021)."""
    from opacus.accountants import PRVAccountant  # noqa: PLC0415

    accountant = PRVAccountant()
    accountant.history = [(c.noise_multiplier, c.sample_rate, c.steps) for c in charges]
    return float(accountant.get_epsilon(delta=delta))
