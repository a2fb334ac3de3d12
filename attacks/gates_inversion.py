"""Gates on inversion: members answer no crafted model, and nobody has their pictures."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.stats import binom, hypergeom

from flwr_swarm._exceptions import ConfigurationError

from .gate import ALPHA, GateResult
from .pictures import GOOD_EXPLAINED, GOOD_PSNR, compare
from .views import MaliciousRelay

_REFUSAL = "ModelRefused"


def crafted_model_gate(view: MaliciousRelay, *, name: str = "crafted model") -> GateResult:
    """Trips if a site answered a crafted model, in the clear or sealed.

    Take the view of a run that certified a round before the lie: a first model can be checked by
    nobody. A right member trains on a crafted model only if that has the SHA-256 hash of the one
    which the swarm certified.

    Raises
    ------
    ConfigurationError
        If a site had another error, or none was lied to: then nothing was tested.
    """
    answered = sorted({*view.answers, *view.sealed})
    asked = len(answered) + len(view.refusals)
    if not asked:
        raise ConfigurationError("no site was sent the crafted model, so nothing was tested")
    for site, error in view.refusals.items():
        if _REFUSAL not in error:
            raise ConfigurationError(
                f"site {site} failed before it could refuse the model ({error.split(':')[0]}); "
                "this tests nothing"
            )
    return GateResult(
        gate=name,
        statistic=float(len(answered)),
        threshold=0.0,
        tripped=bool(answered),
        false_alarm=asked * 2.0**-256,
        power=1.0,
        against="a member that trains on what it is sent",
        detail=f"of {asked} sites that were sent a crafted model, those that answered it"
        + "".join(f" (site {site})" for site in answered[:1]),
    )


def pictures_gate(
    candidates: torch.Tensor,
    examples: torch.Tensor,
    others: torch.Tensor,
    *,
    against: float = 1 / 3,
    alpha: float = ALPHA,
    name: str = "recovered pictures",
) -> GateResult:
    """Trips if candidates show more of the examples than of others that nobody trained on.

    An example counts as recovered as in `Reconstruction.good`: the mean of all explains none.
    If the candidates know nothing of who trained, those recovered are any subset of all alike, so
    that the examples among them are hypergeometric: Fisher's exact test, one-sided.

    Parameters
    ----------
    candidates : tensor, shape (m, ...)
        What an attack came up with; may be none.
    examples : tensor, shape (n, ...)
        What sites trained on.
    others : tensor, shape (k, ...)
        Drawn as the examples were, and unknown to sites and attacker alike.
    against : float
        Share of the examples at which `power` is given, none of the others being recovered.

    Raises
    ------
    ConfigurationError
        If not even all examples would trip it, so few they are.
    """
    count, everyone = len(examples), len(examples) + len(others)
    if count == 0 or 1 / math.comb(everyone, count) > alpha:
        raise ConfigurationError(
            f"{count} examples and {len(others)} others cannot trip a gate at alpha {alpha:.0e}; "
            "give more of either"
        )
    good = compare(candidates, torch.cat([examples, others])).good
    found = int(good[:count].sum())
    counts = np.arange(count + 1)
    chances = hypergeom.sf(counts - 1, everyone, int(good.sum()), count)
    most = int((chances > alpha).sum()) - 1  # the largest count that is not yet too many
    alone = hypergeom.sf(counts - 1, everyone, counts, count)
    return GateResult(
        gate=name,
        statistic=found / count,
        threshold=most / count,
        tripped=found > most,
        false_alarm=alpha,
        power=float(binom.pmf(counts, count, against)[alone <= alpha].sum()),
        against=f"an attack that recovers {against:.0%} of the examples",
        detail=f"share of {count} examples recovered ({GOOD_PSNR:g} dB, {GOOD_EXPLAINED:.0%} of "
        f"what sets one apart), beside {int(good[count:].sum())} of {len(others)} others",
    )
