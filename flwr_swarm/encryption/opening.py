"""The sum of the included members' keys from the openings of any t holders, surplus checked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from flwr_swarm._exceptions import ConfigurationError, OpeningRejected

from .context import RoundContext
from .modular import Residues
from .parameters import RingParameters
from .shamir import interpolate
from .wire import read_opening


def recover_key(
    openings: Mapping[int, bytes],
    *,
    context: RoundContext,
    threshold: int,
    included: int,
    parameters: RingParameters,
) -> Residues:
    """The sum of `included` one-time keys, (4096,) uint64 in NTT form.

    The lowest `threshold` holders determine it; every other opening must lie on the same
    polynomials, and then any other choice of `threshold` gives the same key.

    Raises
    ------
    WireError
        If an opening is malformed.
    OpeningRejected
        If the openings are too few, of another round or set, or disagree with one another.
    """
    if threshold < 2:
        raise ConfigurationError(f"threshold must be 2 or more, got {threshold}")
    if len(openings) < threshold:
        raise OpeningRejected(
            f"{len(openings)} openings, {threshold} are needed; wait for more holders"
        )
    shares = _checked(openings, context=context, included=included, parameters=parameters)
    holders = list(shares)
    base = {holder: shares[holder] for holder in holders[:threshold]}
    for holder in holders[threshold:]:
        if not np.array_equal(interpolate(base, at=holder + 1), shares[holder]):
            raise OpeningRejected(
                f"the openings of holders {holders} are inconsistent: not all are sums of the "
                "same shares; ask for them again, or leave one out"
            )
    return interpolate(base)


def _checked(
    openings: Mapping[int, bytes],
    *,
    context: RoundContext,
    included: int,
    parameters: RingParameters,
) -> dict[int, Residues]:
    """Residues of all openings by holder, ascending, after all checks that need no key."""
    shares: dict[int, Residues] = {}
    sets = set()
    for holder in sorted(openings):
        parsed = read_opening(openings[holder], parameters)
        if parsed.receiver != holder:
            raise OpeningRejected(f"the opening of holder {holder} says it is of {parsed.receiver}")
        if parsed.context != context.digest():
            raise OpeningRejected(
                f"the opening of holder {holder} is not of round {context.round} of this swarm"
            )
        shares[holder] = parsed.residues
        sets.add(parsed.senders)
    if len(sets) > 1 or len(next(iter(sets))) != included:
        raise OpeningRejected(
            f"the openings are over members {sorted(sets)}, expected one set of {included}"
        )
    return shares
