"""The relay's side of a round: who gets what next, and what the replies add up to. Holds no key."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from .. import encryption
from .._exceptions import OpeningRejected, WireError
from .._octets import Octets
from ..encryption import wire
from ..encryption.dealing import visible_fault
from ..encryption.dealing_wire import read_proof
from ..encryption.parameters import KEYS
from .election import quorum
from .member import certificate_digest, last_certified, round_context
from .messages import (
    MergeReply,
    MergeRequest,
    OpenReply,
    OpenRequest,
    Place,
    SealReply,
    Signatures,
)
from .payload import aggregate_hash, payload_hash
from .terms import Terms
from .types import Certificate, LedgerView, Phase, Round

Recover = Callable[[int, str, Certificate, bytes], str]
"""(chain id, contract, certificate, signature) -> account that signed."""

_MOST_SUBSETS = 256


@dataclass(frozen=True, kw_only=True)
class Merged:
    """What trip 2 came to: a certificate with its quorum, and the sum it names."""

    certificate: Certificate
    signatures: Signatures
    merged: Octets = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What trip 3 came to.

    Parameters
    ----------
    lanes : ndarray of uint64, shape (lanes,)
        Lane sums over the included members.
    openings : mapping of int to bytes
        The t openings that agree; they prove the next model to the committee.
    false : tuple of int
        Holders whose opening is found not to agree with these. More than t are not looked for.
    """

    lanes: NDArray[np.uint64] = field(repr=False)
    openings: Mapping[int, bytes] = field(repr=False)
    false: tuple[int, ...] = ()


def accepted_seals(
    view: LedgerView, replies: Iterable[SealReply], terms: Terms
) -> dict[int, SealReply]:
    """Replies whose payload and shares are the sealed ones, by member.

    Others are as if they never came: a sum with a member whose shares do not open is lost. Under
    encryption that means one share for each holder, in the holders' order, sealed to the key that
    the ledger has, and a proof of dealing, with the ledger's threshold, in which everybody sees no
    fault. The certificate may enact other keys and another threshold; whoever opens the round again
    after it, relies on the relay that had it made.
    """
    accepted: dict[int, SealReply] = {}
    for reply in replies:
        seal = view.current.seal_of(reply.member)
        if seal is None or reply.round != view.current.number:
            continue
        try:
            digest = payload_hash(terms, reply.layout, reply.payload, reply.member)
            hashes = [encryption.envelope_hash(e) for e in reply.envelopes]
            shares = encryption.shares_hash(hashes, reply.proof)
            well_dealt = (
                _well_dealt(view, reply, hashes)
                if terms.encryption == "threshold"
                else not (reply.envelopes or reply.proof)
            )
        except WireError:
            continue
        if well_dealt and digest == seal.payload_hash and shares == seal.shares_hash:
            accepted[reply.member] = reply
    return accepted


def _well_dealt(view: LedgerView, reply: SealReply, hashes: Sequence[bytes]) -> bool:
    """Whether a dealing looks right from outside; only its holders can tell more."""
    parsed = [wire.read_envelope(e, KEYS) for e in reply.envelopes]
    if [(e.sender, e.receiver) for e in parsed] != [(reply.member, m.index) for m in view.seated]:
        return False
    proof = read_proof(reply.proof, KEYS)
    context = round_context(view, view.current.number, view.current.parent)
    if visible_fault(proof, hashes, context=context, sender=reply.member) is not None:
        return False
    if view.current.phase is Phase.CERTIFIED:
        return True
    keys = [m.encryption_key for m in view.seated]
    return [e.key for e in parsed] == keys and proof.threshold == view.policy.threshold


def with_witnesses(
    chosen: Sequence[int], view: LedgerView, connected: Collection[int]
) -> list[int]:
    """The sampled members, with enough of the last committee among them to close the round."""
    certified = last_certified(view)
    if certified is None:
        return list(chosen)
    committee = certified.committee
    needed = min(view.policy.witnesses, len(committee))
    here = [member for member in committee if member in chosen]
    spare = [member for member in committee if member in connected and member not in chosen]
    others = [member for member in chosen if member not in committee]
    lacking = max(0, needed - len(here))
    replaced = dict(zip(others[:lacking], spare, strict=False))
    return [replaced.get(member, member) for member in chosen]


def witnesses_of(view: LedgerView) -> tuple[int, ...]:
    """Members that merged the last certified sum, and so can recompute the model after it."""
    certified = last_certified(view)
    return () if certified is None else officers(certified)


def officers(current: Round) -> tuple[int, ...]:
    """Leader of the current view and committee, ascending."""
    leader = () if current.leader is None else (current.leader,)
    return tuple(sorted({*leader, *current.committee}))


def signatures_needed(view: LedgerView) -> int:
    """Signatures of the current committee that a certificate needs."""
    size = len(view.current.committee)
    return max(quorum(size), min(view.policy.quorum, size))


def plan_merge(place: Place, view: LedgerView, seals: Mapping[int, SealReply]) -> MergeRequest:
    """Trip 2: the one request that every officer gets."""
    return MergeRequest(
        place=place,
        round=view.current.number,
        view=view.current.view,
        updates={member: (reply.layout, reply.payload) for member, reply in seals.items()},
    )


def tally(
    view: LedgerView, replies: Iterable[MergeReply], terms: Terms, recover: Recover
) -> Merged | None:
    """The leader's certificate if a quorum of the committee signed the same one, else None.

    Signatures that do not recover to an officer's account are dropped here, so that one bad
    signature cannot make the contract refuse a good quorum.
    """
    current = view.current
    accounts = {member.index: member.account for member in view.members}
    signed: dict[bytes, dict[int, bytes]] = {}
    proposal: MergeReply | None = None
    for reply in replies:
        certificate = reply.certificate
        if (certificate.round, certificate.view) != (current.number, current.view):
            continue
        try:
            signer = recover(view.chain_id, view.contract, certificate, reply.signature)
        except ValueError:
            continue
        if signer != accounts.get(reply.member) or reply.member not in officers(current):
            continue
        signed.setdefault(certificate_digest(certificate), {})[reply.member] = reply.signature
        if reply.member == current.leader:
            proposal = reply
    if proposal is None:
        return None
    votes = signed[certificate_digest(proposal.certificate)]
    if len(votes.keys() & set(current.committee)) < signatures_needed(view):
        return None
    try:
        honest = aggregate_hash(terms, proposal.merged)
    except WireError:
        return None
    if honest != proposal.certificate.aggregate_hash:
        return None
    return Merged(
        certificate=proposal.certificate,
        signatures=tuple(sorted(votes.items())),
        merged=proposal.merged,
    )


def plan_open(
    place: Place, view: LedgerView, merged: Merged, seals: Mapping[int, SealReply]
) -> dict[int, OpenRequest]:
    """Trip 3: to every holder the certificate, and the shares that are addressed to it."""
    hashes = {
        sender: tuple(encryption.envelope_hash(e) for e in seals[sender].envelopes)
        for sender in merged.certificate.included
    }
    addressed: dict[int, dict[int, bytes]] = {member.index: {} for member in view.seated}
    for sender in merged.certificate.included:
        for envelope in seals[sender].envelopes:  # none without encryption
            receiver = wire.read_envelope(envelope, KEYS).receiver
            addressed.setdefault(receiver, {})[sender] = envelope
    return {
        holder: OpenRequest(
            place=place,
            certificate=merged.certificate,
            signatures=merged.signatures,
            envelopes=envelopes,
            envelope_hashes=hashes,
            proofs={m: seals[m].proof for m in merged.certificate.included if seals[m].proof},
        )
        for holder, envelopes in addressed.items()
    }


def conclude(
    view: LedgerView, merged: Merged, replies: Iterable[OpenReply], terms: Terms
) -> Opened:
    """Open the sum with t openings that agree.

    A faulty holder can spoil a subset, not the round: others are tried, up to a bound.

    Raises
    ------
    OpeningRejected
        If fewer than t openings came, or no t of them open the sum.
    """
    openings = {reply.member: reply.opening for reply in replies if reply.opening}
    threshold = view.policy.threshold
    if len(openings) < threshold:
        raise OpeningRejected(
            f"{len(openings)} of {len(view.seated)} holders returned their opening, "
            f"{threshold} are needed; without them the round's sum stays sealed"
        )
    context = round_context(view, view.current.number, view.current.parent)
    seed = merged.certificate.aggregate_hash
    failed: list[set[int]] = []
    for subset in _subsets(sorted(openings), threshold, seed):
        chosen = {holder: openings[holder] for holder in subset}
        try:
            lanes = terms.scheme().open(
                merged.merged,
                chosen,
                context=context,
                threshold=threshold,
                included=len(merged.certificate.included),
            )
        except (OpeningRejected, WireError):
            failed.append(set(subset))
            continue
        return Opened(lanes=lanes, openings=chosen, false=at_odds(failed, chosen))
    raise OpeningRejected(
        f"no {threshold} of the {len(openings)} openings open the sum; a member encrypted under "
        "another key than it dealt, or too many holders answered falsely. The round leaves the "
        "model as it was"
    )


def at_odds(failed: Iterable[Set[int]], agreeing: Collection[int]) -> tuple[int, ...]:
    """Whose opening alone can be why these subsets failed, as `agreeing` open the sum."""
    rests = [tried - set(agreeing) for tried in failed]
    return tuple(sorted(set().union(*(rest for rest in rests if len(rest) == 1))))


def _subsets(holders: Sequence[int], size: int, seed: bytes) -> Iterator[tuple[int, ...]]:
    """The lowest `size` holders; then all choices of `size`, or where they are many, a sample.

    In order of choice, one faulty holder of a low index would stand in all that are ever tried.
    """
    yield tuple(holders[:size])
    if comb(len(holders), size) <= _MOST_SUBSETS:
        yield from combinations(holders, size)
        return
    draws = random.Random(seed)  # noqa: S311 - an order of trials, not a secret
    for _ in range(_MOST_SUBSETS):
        yield tuple(sorted(draws.sample(holders, size)))
