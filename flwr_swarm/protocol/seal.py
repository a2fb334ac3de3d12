"""Trip 1: check the model, train on it elsewhere, seal what was learned."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from .. import encryption
from .._exceptions import KeyDrawn, MemberSuspended, ModelRefused, StaleRound
from .hashing import Arrays, model_hash
from .ledger import SealCall
from .lineage import held_sum, recomputed
from .member import Random, SwarmMember, holder_keys, last_certified, round_context
from .memory import Given, Memory, Parent
from .messages import SealReply, SealRequest
from .payload import Layout, encode_layout, payload_hash
from .terms import Terms
from .types import ZERO_HASH, LedgerView, Member, Phase


@dataclass(frozen=True)
class Task:
    """Leave to train: the checked model, and what the seal will need of the accepted swarm."""

    parent: Parent
    verified: bool
    terms: Terms
    me: Member
    memory: Memory = field(repr=False)


@dataclass(frozen=True)
class Again:
    """What to repeat in a round that was sealed before: the call, unless the ledger has it."""

    call: SealCall | None
    reply: SealReply = field(repr=False)


@dataclass(frozen=True)
class Sealing:
    """Everything that follows from one sealed update."""

    memory: Memory = field(repr=False)
    call: SealCall
    reply: SealReply = field(repr=False)


def seal_again(
    site: SwarmMember, request: SealRequest, view: LedgerView, *, offered: bytes
) -> Again | None:
    """What this member sealed in `request.round` before, to be sent as it was; None if nothing.

    After a restart, or for another relay: no second key is drawn, no second seal made. What else
    the member was asked then is fixed in the reply itself.

    Parameters
    ----------
    offered : bytes
        Parent hash of the model in the message.
    """
    memory, _, me = site.accept(request.place, view)
    given = memory.given
    if given is None or (given.round, given.parent) != (request.round, offered):
        return None
    current = view.current
    if current.number == given.round and (seal := current.seal_of(me.index)) is not None:
        running = current.phase in (Phase.SEALING, Phase.MERGING)
        same = seal.payload_hash == given.payload_hash
        return Again(None, given.reply) if running and same else None
    # The ledger never heard of it; its shares fit the members of then only.
    if (given.epoch, given.position) != (view.epoch, me.reveals):
        return None
    place, keys = request.place, site.identity
    call = given.call(
        reveal=keys.secret(place.chain_id, place.contract, given.position),
        commitment=keys.commitment(place.chain_id, place.contract, given.position + 1),
    )
    return Again(call, given.reply)


def begin_seal(
    site: SwarmMember, request: SealRequest, view: LedgerView, model: Arrays, state: Arrays
) -> Task:
    """Check the round and the model before anything is trained.

    Raises
    ------
    MemberSuspended
        If this member may not seal until it is voted back.
    StaleRound
        If the ledger is not sealing, or about to seal, `request.round`.
    KeyDrawn
        If the member was interrupted after it drew the round's key, and cannot repeat its seal.
    ModelRefused
        If the model is not the one that the swarm certified.
    """
    memory, terms, me = site.accept(request.place, view)
    if me.suspended:
        raise MemberSuspended(
            f"member {me.index} is suspended ({me.misses} deadlines missed, {me.faults} faults "
            "proven), so it trains on nothing; ask the consortium to vote it back "
            "(`flwr-swarm member vote --reinstate`)"
        )
    current = view.current
    if current.phase in (Phase.IDLE, Phase.CERTIFIED, Phase.VOID):
        opens = current.number + 1
    else:
        opens = current.number
    if request.round != opens or current.phase is Phase.MERGING:
        raise StaleRound(
            f"asked to seal in round {request.round}, but the ledger is in round "
            f"{current.number} ({current.phase.name.lower()}); wait for the next train message"
        )
    if request.round == current.number and current.seal_of(me.index) is not None:
        raise StaleRound(
            f"this site already sealed in round {request.round}; a one-time key is never used "
            "twice, so it waits for the next round"
        )
    if memory.intended >= request.round:
        raise KeyDrawn(
            f"this site drew its key of round {request.round} before it was interrupted, and "
            "draws no second one; it takes part again from the next round on"
        )
    parent = Parent(round=request.round, hash=model_hash(model, state), model=model, state=state)
    if request.round == current.number and current.parent != parent.hash:
        raise ModelRefused(
            f"round {current.number} trains on model {current.parent.hex()[:16]}…, but this "
            f"site was offered {parent.hash.hex()[:16]}…; somebody altered it on its way"
        )
    verified = recomputed(site, parent.hash, request.proof, view, terms)
    held = held_sum(site, last_certified(view))
    memory = replace(memory, parent=parent, held=held, pending=None)
    return Task(parent, verified, terms, me, memory)


def intend(task: Task) -> Memory:
    """What must be on the disk before `finish_seal` draws the round's one-time key."""
    return replace(task.memory, intended=task.parent.round)


def finish_seal(
    site: SwarmMember,
    task: Task,
    request: SealRequest,
    view: LedgerView,
    *,
    layout: Layout,
    content: Any,
    asked: bytes = ZERO_HASH,
    epsilon: int,
    random: Random,
) -> Sealing:
    """Encrypt and seal what training produced.

    Parameters
    ----------
    task : Task
        From `begin_seal`.
    layout : Layout
        Of the metrics.
    content : ndarray of uint32, shape (lanes,), or bytes
        Encoded lanes under threshold encryption; the plaintext payload under none.
    asked : bytes
        32-byte hash of everything beside the model that the member was asked to train with.
    epsilon : int
        Cumulative micro-epsilon after this round's training.
    random : callable
        Number of bytes to secure random bytes.
    """
    terms, me, place = task.terms, task.me, request.place
    envelopes: tuple[bytes, ...] = ()
    proof = b""
    if terms.encryption == "threshold":
        sealed = terms.scheme().seal(
            content,
            context=round_context(view, request.round, task.parent.hash),
            sender=me.index,
            holders=holder_keys(view),
            threshold=view.policy.threshold,
            random=random,
        )
        payload, envelopes, proof = sealed.payload, sealed.envelopes, sealed.proof
    else:
        payload = content
    encoded = encode_layout(layout, asked)
    index = me.reveals
    call = SealCall(
        round=request.round,
        parent=task.parent.hash,
        payload_hash=payload_hash(terms, encoded, payload, me.index),
        shares_hash=encryption.shares_hash([encryption.envelope_hash(e) for e in envelopes], proof),
        reveal=site.identity.secret(place.chain_id, place.contract, index),
        commitment=site.identity.commitment(place.chain_id, place.contract, index + 1),
        epsilon=epsilon,
        verified=task.verified,
    )
    reply = SealReply(
        round=request.round,
        member=me.index,
        layout=encoded,
        payload=payload,
        envelopes=envelopes,
        proof=proof,
    )
    given = Given(
        reply=reply,
        parent=call.parent,
        payload_hash=call.payload_hash,
        shares_hash=call.shares_hash,
        position=index,
        epoch=view.epoch,
        epsilon=epsilon,
        verified=call.verified,
    )
    return Sealing(replace(intend(task), given=given), call, reply)
