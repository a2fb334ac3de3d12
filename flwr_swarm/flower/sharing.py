"""A member's side of shared noise: what its train function is offered, and what must come back."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from flwr.app import Context, Message

from .._exceptions import NotPrivate
from ..privacy import load_history
from ..privacy.offer import SharedOffer, read_taken, write_offer
from ..protocol.hashing import Arrays
from ..protocol.terms import Terms, check_noise
from ..protocol.types import Policy
from ..protocol.update import trained_names
from . import records


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


def check_taken(context: Context, terms: Terms, reply: Message) -> None:
    """Refuse to seal an update to which shared noise would not give what was charged.

    Raises
    ------
    NotPrivate
    """
    if terms.noise is None or not reply.has_content():
        return
    weight = read_taken(context)
    write_offer(context, None)
    if weight is None:
        raise NotPrivate(
            "this swarm's members add their noise together, and the train function took no "
            "private step; call make_private(..., noise_multiplier='shared')"
        )
    _, metrics = records.only_metrics(reply.content, terms.weight_key)
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
