"""What a site tells beside its update: with shared noise nothing; of evaluation what it allows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, cast

import numpy as np
from flwr.app import Context, Message, MetricRecord

from .._exceptions import ConfigurationError, NotPrivate
from ..privacy import load_history
from ..privacy.offer import SharedOffer, read_taken, write_offer
from ..protocol.hashing import Arrays
from ..protocol.terms import Terms, check_noise
from ..protocol.types import Policy
from ..protocol.update import trained_names

EVALUATE_OPTION: Final = "swarm-evaluate"
"""Node config entry with which a site keeps its evaluation metrics, which nobody encrypts, home."""


def offer_noise(context: Context, terms: Terms, policy: Policy, model: Arrays) -> int:
    """Tell `make_private` of the noise that this round's sum will hold, or that there is none.

    Returns
    -------
    int
        Rounds that the site's accountant was charged for before this one.

    Raises
    ------
    ConfigurationError
        If a sum could lack shares.
    """
    noise = terms.noise
    before = load_history(context).rounds
    if noise is None:
        write_offer(context, None)
        return before
    check_noise(terms, policy)
    names = trained_names(model)
    # A trained value is stored in its array's dtype, and may move by half a step of it.
    steps = [np.finfo(model[n].dtype).eps * np.linalg.norm(model[n].astype(float)) for n in names]
    widest = max((float(np.finfo(model[n].dtype).eps) for n in names), default=0.0)
    offered = SharedOffer(
        noise_multiplier=noise.noise_multiplier,
        sensitivity=noise.sensitivity,
        integers=terms.codec().grid.sensitivity,
        size=sum(model[n].size for n in names),
        drift=math.hypot(*steps) + widest * terms.clip,
    )
    write_offer(context, offered)
    return before


def check_taken(context: Context, terms: Terms, metrics: MetricRecord) -> None:
    """Refuse to seal an update to which shared noise would not give what was charged.

    Raises
    ------
    NotPrivate
    """
    if terms.noise is None:
        return
    weight = read_taken(context)
    write_offer(context, None)
    if weight is None:
        raise NotPrivate(
            "this swarm's members add their noise together, and the train function took no "
            "private step; call make_private(..., noise_multiplier='shared')"
        )
    if float(cast(float, metrics[terms.weight_key])) != weight:
        raise NotPrivate(
            f"with shared noise {terms.weight_key!r} in the train reply must be the expected batch "
            "size, records // len(loader), or 1 where the loss is a sum; another value scales the "
            "update beyond what the noise covers"
        )
    if len(metrics) > 1:
        raise NotPrivate(
            f"with shared noise the train reply may hold {terms.weight_key!r} only; other metrics "
            "would be told without noise"
        )


def evaluated(
    evaluate: Callable[[Message, Context], Message], message: Message, context: Context
) -> Message:
    """What the user's evaluate function says, unless this site does not answer such messages.

    Evaluation metrics are outside the encryption and outside epsilon.

    Raises
    ------
    NotPrivate
        If ``swarm-evaluate`` in the site's node config is "never".
    ConfigurationError
        If it is something else than "never" or "clear".
    """
    wish = context.node_config.get(EVALUATE_OPTION, "clear")
    if wish not in ("clear", "never"):
        raise ConfigurationError(
            f"{EVALUATE_OPTION} in this site's node config must be 'clear' or 'never', got {wish!r}"
        )
    if wish == "never":
        raise NotPrivate(
            f"this site's {EVALUATE_OPTION} is 'never': its evaluation metrics would travel in the "
            "clear; evaluate centrally, or with fraction_evaluate=0.0"
        )
    return evaluate(message, context)
