"""Trip 3: record the certificate, then release key shares for exactly the certified set."""

from __future__ import annotations

from dataclasses import replace

from .. import encryption
from .._exceptions import (
    AlreadyOpened,
    NotCertified,
    ProtocolError,
    SealMismatch,
    ShareRefused,
)
from ..encryption import ThresholdScheme
from ..encryption.envelope import public_key_of
from .ledger import CertifyCall, LedgerCall
from .member import (
    SwarmMember,
    certificate_digest,
    holder_keys,
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

    Raises
    ------
    NotCertified
        If the ledger holds no certificate for exactly this set and sum.
    AlreadyOpened
        If shares of this round were released for another set.
    SealMismatch
        If a share is not the one that its sender sealed.
    ShareRefused
        If a share does not decrypt for this holder.
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
    digest = certificate_digest(certificate)
    if memory.opened.get(current.number, digest) != digest:
        raise AlreadyOpened(
            f"shares of round {current.number} were released for another set; never twice"
        )
    for sender in certificate.included:
        seal, hashes = current.seal_of(sender), request.envelope_hashes.get(sender)
        envelope = request.envelopes.get(sender)
        if seal is None or hashes is None or envelope is None:
            raise SealMismatch(f"the share of member {sender} is missing; nothing was released")
        # By content, not by place: a change of members may have been enacted since the seal.
        # Who may open the envelope is fixed inside it.
        if (
            encryption.shares_hash(hashes) != seal.shares_hash
            or encryption.envelope_hash(envelope) not in hashes
        ):
            raise SealMismatch(f"the share of member {sender} is not the one that it sealed")
    opening = _opening(site, request, view, current, me.index)
    memory = replace(memory, opened={current.number: digest}, opening=(current.number, opening))
    return memory, OpenReply(member=me.index, opening=opening)


def _certified(view: LedgerView, number: int) -> Round:
    """The last certified round, if it is round `number`.

    Whoever seals first opens the next round; it must not keep the last one from being opened.
    """
    last = last_certified(view)
    if last is None or last.number != number:
        return in_round(view, number, Phase.CERTIFIED)
    return last


def _opening(
    site: SwarmMember, request: OpenRequest, view: LedgerView, current: Round, receiver: int
) -> bytes:
    """Sum of the shares, under whichever of this member's keys the round's senders sealed to.

    The ledger lists the newest, and a certificate may have enacted its rotation just now.
    """
    holders = holder_keys(view)
    refused: ShareRefused | None = None
    for key in site.identity.share_keys():
        holders[receiver] = public_key_of(key)
        try:
            return ThresholdScheme().opening(
                {sender: request.envelopes[sender] for sender in request.certificate.included},
                context=round_context(view, current.number, current.parent),
                receiver=receiver,
                private_key=key,
                holders=holders,
            )
        except ShareRefused as error:
            refused = refused or error
    raise refused or ShareRefused(f"member {receiver} has no key that opens shares")
