"""Off the happy path: what a relay that has nothing asks of the members, and how it trusts it.

The ledger names everything by its hash: the model of the running round, its sealed payloads, the
certified sum. So a relay believes no member; it takes what has the right hash from whoever has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from .._exceptions import OpeningRejected, SwarmError, WireError
from .hashing import Arrays, model_hash
from .lineage import carried
from .member import Replay, SwarmMember, last_certified
from .memory import Parent
from .messages import HeldSum, ModelProof, OpenReply, RecallReply, RecallRequest
from .payload import aggregate_hash, decode_layout, named_hash
from .relay import Merged, Opened, conclude
from .terms import Terms
from .types import ZERO_HASH, LedgerView, Phase, Policy, Round


def recall(site: SwarmMember, request: RecallRequest, view: LedgerView) -> RecallReply:
    """Answer with what this member has of the wanted round, bit for bit as it was.

    Raises
    ------
    WrongChain, NotAMember
        As for every other message.
    """
    memory, _, me = site.accept(request.place, view, settling=True)
    want, number = request.want, request.round
    given = memory.given if "given" in want else None
    opening = memory.opening if "opening" in want else None
    held = next(
        (h for h in (memory.pending, memory.held) if h is not None and h.parent.round == number),
        None,
    )
    parents = (memory.parent, *(h.parent for h in (memory.pending, memory.held) if h is not None))
    model = next((p for p in parents if p is not None and p.hash == request.model), None)
    return RecallReply(
        member=me.index,
        given=given.reply if given is not None and given.round == number else None,
        held=None
        if held is None or "held" not in want
        else HeldSum(
            terms=held.terms,
            threshold=held.threshold,
            included=held.included,
            layout=held.layout,
            body=held.body,
            merged=held.merged,
        ),
        opening=opening[1] if opening is not None and opening[0] == number else b"",
        model=None if model is None or "model" not in want else (model.model, model.state),
    )


def running_model(view: LedgerView) -> bytes | None:
    """Hash of the model that the newest round trains, or trained, on; None if none was opened."""
    return None if view.current.parent == ZERO_HASH else view.current.parent


def to_open(view: LedgerView) -> Round | None:
    """The certified round whose sum leads to the model that comes next, if there is one.

    Also while a later round runs, or after it was void: the model which that one names is the word
    of whoever opened it. None while it is merging, for then its certificate decides.
    """
    return None if view.current.phase is Phase.MERGING else last_certified(view)


def to_go_back_to(
    view: LedgerView, proof: ModelProof, *, model: bytes, failed: bytes
) -> Round | None:
    """The certified round from whose own model to go on; None if `model` is to be offered.

    Who was away when the sum was opened refuses a model that comes without a proof, and a faulty
    holder can keep back the opening that is missing, for ever. What the certified round itself
    trained on needs no proof: every officer of it has its hash.

    Parameters
    ----------
    proof : ModelProof
        All that can be had for `model`.
    model, failed : bytes
        Parent hashes: of the model to offer, and of the one that a void round offered without a
        proof. One such round is tried, for those who agreed to the model before may be enough.
    """
    certified = last_certified(view)
    if certified is None or proof.openings or model == certified.parent:
        return None
    return certified if model == failed else None


def found_model(
    wanted: bytes, candidates: Iterable[tuple[Arrays, Arrays]]
) -> tuple[Arrays, Arrays] | None:
    """The first (model, state) of the wanted hash."""
    return next((c for c in candidates if model_hash(*c) == wanted), None)


def found_sum(certified: Round, replies: Iterable[RecallReply], policy: Policy) -> HeldSum | None:
    """The first sum that is the certified one, all that it takes to step on it included.

    Parameters
    ----------
    policy : Policy
        Under which the round ran: it fixes terms and threshold, as the certificate fixes the sum
        and the first included member's seal its layout.
    """
    certificate = certified.certificate
    for reply in replies:
        held = reply.held
        if held is None or certificate is None or held.included != certificate.included:
            continue
        seal = certified.seal_of(held.included[0])
        if seal is None or (held.threshold, held.terms.hash()) != (policy.threshold, policy.terms):
            continue
        try:
            decode_layout(held.layout)
            sealed = named_hash(held.terms, held.layout, held.body, seal.member)
            summed = aggregate_hash(held.terms, held.merged)
        except WireError:
            continue
        if (sealed, summed) == (seal.payload_hash, certificate.aggregate_hash):
            return held
    return None


@dataclass(frozen=True, kw_only=True)
class LedTo:
    """What a certified round leads to.

    Parameters
    ----------
    before : Parent
        What the round trained on.
    held : HeldSum
    hash : bytes
        Parent hash of a round on what it leads to.
    model, state : Arrays
    proof : ModelProof
        What convinces the round's officers of it. Without openings if the sum leads nowhere: then
        the model is the one that the round trained on.
    """

    before: Parent
    held: HeldSum
    hash: bytes
    model: Arrays = field(repr=False)
    state: Arrays = field(repr=False)
    proof: ModelProof


def led_to(before: Parent, held: HeldSum, opened: Opened, *, to: Terms, replay: Replay) -> LedTo:
    """The model that every officer recomputes from the opened sum of round `before.round`.

    Parameters
    ----------
    before : Parent
        What that round trained on.
    held : HeldSum
    opened : Opened
        Of `held`.
    to : Terms
        By which training goes on.
    replay : callable
        The agreed strategy's step.
    """
    model, state, openings = before.model, before.state, opened.openings
    try:
        layout, size = decode_layout(held.layout), len(held.included)
        model, state = replay(held.terms, before.round, before, layout, opened.lanes, size)
    except SwarmError:
        openings = {}
    state = carried(state, held.terms, to)
    proof = ModelProof(round=before.round, openings=openings)
    after = model_hash(model, state)
    return LedTo(before=before, held=held, hash=after, model=model, state=state, proof=proof)


def open_again(
    view: LedgerView, certified: Round, held: HeldSum, openings: Mapping[int, bytes]
) -> Opened | None:
    """The sum, from openings that members released before; None if too few agree."""
    if certified.certificate is None:
        return None
    then = replace(view, current=certified, policy=replace(view.policy, threshold=held.threshold))
    merged = Merged(certificate=certified.certificate, signatures=(), merged=held.merged)
    replies = [OpenReply(member=m, opening=data) for m, data in sorted(openings.items()) if data]
    try:
        return conclude(then, merged, replies, held.terms)
    except OpeningRejected:
        return None
