"""Trip 3: record the certificate, then release key shares for exactly the certified set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .. import encryption
from .._exceptions import (
    AlreadyOpened,
    NotCertified,
    OpeningReused,
    ProtocolError,
    SealMismatch,
    ShareRefused,
)
from ..encryption import CertifiedSet, Dealt, Holder, RoundContext, ThresholdScheme
from .ledger import CertifyCall, LedgerCall
from .lineage import held_sum
from .member import (
    SwarmMember,
    certificate_digest,
    in_round,
    last_certified,
    round_context,
)
from .memory import Memory
from .messages import OpenReply, OpenRequest
from .types import LedgerView, Phase, Round


def certify(site: SwarmMember, request: OpenRequest, view: LedgerView) -> tuple[LedgerCall, ...]:
    """The call that records the certificate, unless the ledger has one already."""
    last = last_certified(view)
    settled = last is not None and last.number >= request.certificate.round
    site.accept(request.place, view, settling=settled)
    if settled:
        return ()
    return (CertifyCall(certificate=request.certificate, signatures=request.signatures),)


def release(site: SwarmMember, request: OpenRequest, view: LedgerView) -> tuple[Memory, OpenReply]:
    """Release the sum of this member's key shares, for the certified set only.

    If a share is bad by its dealer's doing, a sum with it would be wrong: then nothing is
    released, and the reply is a complaint about each such dealer instead.

    Raises
    ------
    NotCertified
        If the ledger holds no certificate for exactly this set and sum.
    AlreadyOpened
        If shares of this round were released for another set.
    SealMismatch
        If a share is not the one that its sender sealed.
    ShareRefused
        If a share does not decrypt for this holder, for a reason that is not the dealer's or that
        others could not verify.
    """
    memory, terms, me = site.accept(request.place, view, settling=True)
    if terms.encryption != "threshold":
        raise ProtocolError('nothing to open: this swarm runs with encryption="none"')
    current = _certified(view, request.certificate.round)
    certificate = current.certificate
    if certificate is None or certificate != request.certificate:
        raise NotCertified(
            f"the ledger's certificate of round {current.number} is not the one in the "
            "message; no share was released"
        )
    dealt = {sender: _dealt(request, current, sender) for sender in certificate.included}
    context = round_context(view, current.number, current.parent)
    keys = site.identity.share_keys()
    once = _Once(memory.opened)
    holder = Holder(index=me.index, private_keys=keys, memory=once)
    certified = CertifiedSet(
        members=tuple(certificate.included), certificate=certificate_digest(certificate)
    )
    said: tuple[bytes, ...] = ()
    try:
        opening = holder.open(dealt, certified=certified, context=context)
    except OpeningReused as error:
        raise AlreadyOpened(str(error)) from error
    except ShareRefused:
        complaints = ThresholdScheme().complaints(
            dealt,
            context=context,
            receiver=me.index,
            private_keys=keys,
            pinned=me.encryption_key,
        )
        if not complaints:
            raise
        said = tuple(complaints.values())
    memory = replace(_settled(site, memory, current), opened=once.opened)
    if said:
        return memory, OpenReply(member=me.index, complaints=said)
    memory = replace(memory, opening=(current.number, opening))
    return memory, OpenReply(member=me.index, opening=opening)


def _settled(site: SwarmMember, memory: Memory, certified: Round) -> Memory:
    """`memory` without the sum of an older round, which leads to no model any more."""
    pending = memory.pending
    later = pending is not None and pending.parent.round > certified.number
    return replace(memory, held=held_sum(site, certified), pending=pending if later else None)


def _certified(view: LedgerView, number: int) -> Round:
    """The last certified round, if it is round `number`.

    Whoever seals first opens the next round; it must not keep the last one from being opened.
    """
    last = last_certified(view)
    if last is None or last.number != number:
        return in_round(view, number, Phase.CERTIFIED)
    return last


def _dealt(request: OpenRequest, current: Round, sender: int) -> Dealt:
    """What `sender` dealt to this holder, if it is what its seal fixes."""
    seal, hashes = current.seal_of(sender), request.envelope_hashes.get(sender)
    envelope, proof = request.envelopes.get(sender), request.proofs.get(sender)
    if seal is None or hashes is None or envelope is None or not proof:
        raise SealMismatch(f"the share of member {sender} is missing; nothing was released")
    # By content, not by place: a change of members may have been enacted since the seal.
    # Who may open the envelope is fixed inside it.
    if (
        encryption.shares_hash(hashes, proof) != seal.shares_hash
        or encryption.envelope_hash(envelope) not in hashes
    ):
        raise SealMismatch(f"the share of member {sender} is not the one that it sealed")
    return Dealt(envelope=envelope, hashes=hashes, proof=proof)


class _Once:
    """The site's memory as the encryption asks it. Only the newest round's is kept."""

    def __init__(self, opened: Mapping[int, bytes]) -> None:
        self._before = opened
        self.opened: Mapping[int, bytes] = opened

    def claim(self, context: RoundContext, opened: bytes) -> bytes:
        kept = self._before.get(context.round, opened)
        self.opened = {context.round: kept}
        return kept
