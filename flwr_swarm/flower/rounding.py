"""What rounding costs, in words for the log: at worst before a run, and as it was after a round."""

from __future__ import annotations

import logging
import math

from ..protocol.terms import Terms
from .replay import Stepped

log = logging.getLogger("flwr.swarm")

_LOUD = 0.5
"""Share of the mean update's length from which on rounding noise is worth a warning."""


def at_worst(terms: Terms) -> str:
    """One line on a precision before its first round."""
    codec = terms.codec()
    profile, ring = codec.profile, codec.ring
    error = codec.worst_rounding_error(included=1, weight=terms.max_weight)
    return (
        f"precision {terms.precision}: values of {codec.value_bits} bits in {ring.lanes} lanes of "
        f"{ring.lane_bits} a coefficient, {profile.bytes_per_parameter:.2f} bytes a parameter; "
        f"rounding moves no value of a mean by more than {_error(terms, error)} where sites have "
        f"max_weight={terms.max_weight:g} examples, and by k times that where they have a k-th of "
        "it on average"
    )


def log_round(terms: Terms, number: int, taken: Stepped) -> None:
    """Log what rounding moved in a round, and warn if that is as long as what was learned."""
    share = taken.rounding_share
    log.info(
        "round %d: fixed-point rounding moved no value by more than %s, and the mean update by "
        "%.2g %% of its length at most (root mean square)",
        number,
        _error(terms, taken.rounding_error),
        100 * share,
    )
    if share > _LOUD:
        found = (
            "the mean update is zero, so either nothing was learnt or it was rounded away"
            if math.isinf(share)
            else f"rounding noise is {share:.2g} times as long as the mean update"
        )
        log.warning(
            "round %d: %s; set max_weight=%g nearer to the sites' examples, bound entries with "
            "entry_clips (flwr-swarm doctor measures what they take), lower clip=%g, or raise "
            "precision=%d",
            number,
            found,
            terms.max_weight,
            terms.clip,
            terms.precision,
        )


def _error(terms: Terms, error: float) -> str:
    """An error of an entry that only `clip` bounds, and of those with bounds of their own."""
    own: dict[str, float] = {}
    for pattern, bound in (*terms.layer_clips, *terms.entry_clips):
        own[pattern] = min(bound, own.get(pattern, terms.clip))
    whole = f"{error:.1e} ({100 * error / terms.clip:.2g} % of clip={terms.clip:g})"
    parts = [] if "*" in own else [whole]
    parts += [f"{error * bound / terms.clip:.1e} in {name!r}" for name, bound in own.items()]
    return ", ".join(parts)
