"""Trip 2: check every payload against its seal, add what matches, sign the sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import replace

from .._exceptions import NoOffice, ProtocolError, SealMismatch, StaleRound, WireError
from ..encryption import ThresholdScheme
from .member import SwarmMember, certificate_digest, in_round
from .memory import Held, Memory
from .messages import MergeReply, MergeRequest
from .payload import aggregate_hash, merge_plain, payload_form, payload_hash
from .terms import Terms
from .types import Certificate, LedgerView, Phase, Round


def merge(site: SwarmMember, request: MergeRequest, view: LedgerView) -> tuple[Memory, MergeReply]:
    """Check every payload against its seal, add what matches, sign the sum.

    Raises
    ------
    NoOffice
        If the draw gave this member no office in the current view.
    SealMismatch
        If too few payloads match their seals for a certificate.
    """
    memory, terms, me = site.accept(request.place, view)
    current = in_round(view, request.round, Phase.MERGING)
    if request.view != current.view:
        raise StaleRound(
            f"asked to merge in view {request.view}, the ledger is in view "
            f"{current.view} of round {current.number}"
        )
    if me.index != current.leader and me.index not in current.committee:
        raise NoOffice(
            f"member {me.index} is neither leader nor on the committee of round "
            f"{current.number}, view {current.view}"
        )
    chosen, layout = _matching(request, current, terms)
    included = tuple(sorted(chosen))
    if len(included) < view.policy.min_included:
        raise SealMismatch(
            f"{len(included)} of {len(current.seals)} payloads match their seals, the policy "
            f"needs {view.policy.min_included}; the relay withheld or altered some"
        )
    if terms.encryption == "threshold":
        merged = ThresholdScheme().merge([chosen[member] for member in included])
    else:
        hashes = [seal.payload_hash for seal in current.seals if seal.member in chosen]
        merged = merge_plain(hashes)
    certificate = Certificate(
        round=current.number,
        view=current.view,
        included=included,
        aggregate_hash=aggregate_hash(terms.encryption, merged),
    )
    slot, digest = (current.number, current.view), certificate_digest(certificate)
    if memory.signed.get(slot, digest) != digest:
        raise ProtocolError(
            f"this member already signed another merge in round {slot[0]}, view {slot[1]}; "
            "it signs one"
        )
    memory = replace(memory, signed={slot: digest})
    if memory.parent is not None and memory.parent.hash == current.parent:
        held = Held(
            parent=memory.parent,
            terms=terms,
            threshold=view.policy.threshold,
            included=included,
            layout=layout,
            merged=merged,
        )
        memory = replace(memory, pending=held)
    reply = MergeReply(
        member=me.index,
        certificate=certificate,
        signature=site.identity.sign(view.chain_id, view.contract, certificate),
        merged=merged if me.index == current.leader else b"",
    )
    return memory, reply


def _matching(
    request: MergeRequest, current: Round, terms: Terms
) -> tuple[dict[int, bytes], bytes]:
    """Payloads that match their seals, of the layout and form that most of them share.

    A ciphertext that comes from two members is in no sum: one of them copied it, and has no
    shares of its key. Deterministic, so that all honest officers who got the same payloads
    agree. Ties go to the group of the lowest member. One member's odd metrics thus exclude it,
    and nobody else.
    """
    copies = Counter(payload for _, payload in request.updates.values())
    groups: dict[tuple[bytes, Hashable], dict[int, bytes]] = {}
    for seal in current.seals:
        layout, payload = request.updates.get(seal.member, (b"", b""))
        try:
            digest = payload_hash(terms.encryption, layout, payload, seal.member)
            matches = digest == seal.payload_hash
        except WireError:
            matches = False
        if matches and (copies[payload] == 1 or terms.encryption == "none"):
            form = payload_form(terms.encryption, payload)
            groups.setdefault((layout, form), {})[seal.member] = payload
    if not groups:
        return {}, b""
    largest = max(groups, key=lambda key: (len(groups[key]), -min(groups[key])))
    return groups[largest], largest[0]
