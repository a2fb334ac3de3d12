"""Where a model comes from: the last committee recomputes it, and refuses any other."""

from __future__ import annotations

from .._exceptions import EncryptionError, ModelRefused, WireError
from .hashing import Arrays, model_hash
from .member import SwarmMember, last_certified, round_context
from .memory import Held
from .messages import ModelProof
from .payload import decode_layout
from .terms import Terms
from .types import LedgerView, Round


def check_offer(
    site: SwarmMember,
    proof: ModelProof,
    view: LedgerView,
    terms: Terms,
    model: Arrays,
    state: Arrays,
) -> None:
    """Check a model that is offered for evaluation: metrics are answered in the clear.

    Under encryption only a member that recomputed the model evaluates it. Others cannot tell a
    certified model from a crafted one, and would answer questions about their data.

    Raises
    ------
    ModelRefused
        If it is not what the certified sum leads to, or this member cannot tell.
    """
    known = recomputed(site, model_hash(model, state), proof, view, terms)
    if not known and terms.encryption != "none":
        raise ModelRefused(
            "this member held no office in the last certified round, so it cannot recompute the "
            "model; it evaluates nothing that it cannot check"
        )


def recomputed(
    site: SwarmMember, offered: bytes, proof: ModelProof, view: LedgerView, terms: Terms
) -> bool:
    """Whether this member recomputed the offered model from the sum that it merged.

    Now, or when it last agreed to train: the openings may be lost by now, and whoever takes over
    as relay cannot prove the model again. False if it cannot: before the first certificate, or if
    it held no office in that round.

    Raises
    ------
    ModelRefused
        If it can, and the offered model is another.
    """
    certified = last_certified(view)
    held = held_sum(site, certified)
    if certified is None or held is None:
        return False
    if _agreed(site, held, offered, terms):
        return True
    if proof.round != certified.number:
        raise ModelRefused(
            f"the model comes with the openings of round {proof.round}, but the ledger's last "
            f"certified round is {certified.number}"
        )
    if terms.encryption == "none":
        return False  # the baseline certifies the inputs of the merge, not its result
    if not proof.openings:
        model, state = held.parent.model, held.parent.state
    else:
        try:
            lanes = held.terms.scheme().open(
                held.merged,
                proof.openings,
                context=round_context(view, certified.number, held.parent.hash),
                threshold=held.threshold,
                included=len(held.included),
            )
        except (EncryptionError, WireError) as error:
            raise ModelRefused(
                f"the openings offered for round {certified.number} do not open its sum "
                f"({type(error).__name__}); the model cannot follow from it"
            ) from None
        layout = decode_layout(held.layout)
        size = len(held.included)
        model, state = site.replay(held.terms, certified.number, held.parent, layout, lanes, size)
    expected = model_hash(model, carried(state, held.terms, terms))
    if offered != expected:
        raise ModelRefused(
            f"the model offered after round {certified.number} has hash {offered.hex()[:16]}…, "
            f"but the certified sum leads to {expected.hex()[:16]}…; this site trains on no "
            "other. The relay may be compromised: compare with another member"
        )
    return True


def carried(state: Arrays, sealed_by: Terms, to: Terms) -> Arrays:
    """Server state with which training goes on: a strategy that comes new starts without any."""
    return state if sealed_by.strategy == to.strategy else {}


def _agreed(site: SwarmMember, held: Held, offered: bytes, terms: Terms) -> bool:
    """Whether this member recomputed the offered model from `held` before, and agreed to it.

    `begin_seal` checks a model of a later round against the sum in `held` and writes both. Before
    that, `parent` is what the sum's own round trained on; a sum that was merged since then lies in
    `pending`. Neither says anything of the model that comes of it.
    """
    own = site.memory.parent
    if held is not site.memory.held or own is None or own.round <= held.parent.round:
        return False
    return own.hash == offered and "none" not in (terms.encryption, held.terms.encryption)


def held_sum(site: SwarmMember, certified: Round | None) -> Held | None:
    """The sum held for `certified`, if this member merged exactly that one."""
    if certified is None or certified.certificate is None:
        return None
    for held in (site.memory.pending, site.memory.held):
        if held is None or held.parent.round != certified.number:
            continue
        same_set = held.included == certified.certificate.included
        if same_set and held.parent.hash == certified.parent:
            return held
    return None
