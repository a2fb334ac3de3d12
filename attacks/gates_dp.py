"""Gates on a DP implementation, from what an audit observed at sites: see `audit.observe`."""

from __future__ import annotations

import math
from collections.abc import Mapping

from scipy.stats import nct

from .audit import Bounds, Observed, bounds
from .audit_gdp import mu_of
from .gate import ALPHA, GateResult
from .gates_noise import noise_independence_gate, noise_variance_gate


def audit_gate(seen: Observed, *, alpha: float = ALPHA, name: str = "DP audit") -> GateResult:
    """Trips if a lower bound on epsilon is above what the accountant says was spent.

    The bound is the highest of f-DP in one run, GDP by Clopper and Pearson, and GDP by z, each at
    alpha / 3 and at thresholds that were fixed beforehand.
    """
    found = audit_bounds_of(seen, alpha=alpha)
    return GateResult(
        gate=name,
        statistic=found.highest,
        threshold=seen.epsilon,
        tripped=not found.highest <= seen.epsilon,
        false_alarm=alpha,
        power=_power(seen, alpha / 3),
        against="half the noise",
        detail=f"lower bound on epsilon at delta {seen.delta:.0e} against the accountant's "
        f"(f-DP {found.fdp:.2f}, GDP {found.gdp:.2f}, z {found.z:.2f})",
    )


def audit_bounds_of(seen: Observed, *, alpha: float) -> Bounds:
    """The bounds that `audit_gate` compares."""
    return bounds(seen.scores, alpha=alpha / 3, delta=seen.delta)


def dp_gates(
    sites: Mapping[str, Observed], sparse: Mapping[str, Observed], *, alpha: float = ALPHA
) -> list[GateResult]:
    """All gates on the DP implementation.

    Parameters
    ----------
    sites : mapping of str to Observed
        By name; of one number of canaries. With two or more their noise is compared.
    sparse : mapping of str to Observed
        Of the same training on so little data that Poisson batches come out empty.
    """
    results = []
    for name, seen in sites.items():
        results.append(audit_gate(seen, alpha=alpha, name=f"DP audit, {name}"))
        results.append(noise_variance_gate(seen.noise, alpha=alpha, name=f"noise variance, {name}"))
    for name, seen in sparse.items():
        results.append(
            noise_variance_gate(
                seen.noise, alpha=alpha, name=f"noise variance with empty batches, {name}"
            )
        )
    for name, seen in sites.items():
        if len(seen.noise) > 1:
            rounds = {f"round {number + 1}": row for number, row in enumerate(seen.noise)}
            results.append(
                noise_independence_gate(
                    rounds, alpha=alpha, name=f"noise independence of rounds, {name}"
                )
            )
    if len(sparse) > 1:
        between = {name: seen.noise.ravel() for name, seen in sparse.items()}
        results.append(
            noise_independence_gate(between, alpha=alpha, name="noise independence of sites")
        )
    return results


def _power(seen: Observed, alpha: float) -> float:
    """Probability that the z bound alone exposes noise of half the deviation."""
    inside, outside = int(seen.chosen.sum()), int((~seen.chosen).sum())
    size = math.sqrt(inside * outside / max(inside + outside, 1))
    freedom = inside + outside - 2
    truth = 2 * math.sqrt(sum(seen.steps)) / seen.noise_multiplier
    critical = float(nct.isf(alpha, freedom, mu_of(seen.epsilon, seen.delta) * size))
    return float(nct.sf(critical, freedom, truth * size))
