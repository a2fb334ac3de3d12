"""Trip 2: check every payload against its seal, add what matches, sign the sum."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Final

from .._exceptions import NoOffice, ProtocolError, SealMismatch, StaleRound, WireError
from ..encryption import ThresholdScheme
from ..encryption.wire import Ciphertext, write_aggregate
from .member import SwarmMember, certificate_digest, in_round
from .memory import Held, Memory
from .messages import MergeReply, MergeRequest
from .payload import Parsed, aggregate_hash, merge_plain, parse_payload
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
    group = _matching(request, current, terms)
    included = tuple(sorted(group.members))
    if len(included) < view.policy.min_included:
        raise SealMismatch(
            f"{len(included)} of {len(current.seals)} payloads match their seals, the policy "
            f"needs {view.policy.min_included}; the relay withheld or altered some"
        )
    if group.total is not None:
        merged = write_aggregate(group.total, terms.codec().ring)
    else:
        merged = merge_plain([group.members[member] for member in included])
    certificate = Certificate(
        round=current.number,
        view=current.view,
        included=included,
        aggregate_hash=aggregate_hash(terms, merged),
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
            layout=group.layout,
            body=group.bodies[included[0]],
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


_TAIL: Final = 32


@dataclass(kw_only=True)
class _Group:
    """Payloads of one layout and form: their hashes by member, and their sum so far."""

    layout: bytes = b""
    members: dict[int, bytes] = field(default_factory=dict)
    bodies: dict[int, bytes] = field(default_factory=dict)
    total: Ciphertext | None = None

    def take(self, member: int, parsed: Parsed) -> None:
        self.members[member], self.bodies[member] = parsed.hash, parsed.body
        term = parsed.ciphertext
        if term is not None:
            self.total = ThresholdScheme().plus(self.total, term)


def _matching(request: MergeRequest, current: Round, terms: Terms) -> _Group:
    """Payloads that match their seals, of the layout and form that most of them share, added up.

    A ciphertext that comes from two members is in no sum: one of them copied it, and has no
    shares of its key. Deterministic, so that all honest officers who got the same payloads
    agree. Ties go to the group of the lowest member. One member's odd metrics thus exclude it,
    and nobody else. Each payload is read once and added at once: none but the sums stay.
    """
    copied = _copied(request) if terms.encryption == "threshold" else frozenset()
    groups: dict[tuple[bytes, Hashable], _Group] = {}
    for seal in current.seals:
        layout, payload = request.updates.get(seal.member, (b"", b""))
        try:
            parsed = parse_payload(terms, layout, payload, seal.member)
        except WireError:
            continue
        if parsed.hash == seal.payload_hash and seal.member not in copied:
            group = groups.setdefault((layout, parsed.form), _Group(layout=layout))
            group.take(seal.member, parsed)
    return max(groups.values(), key=lambda g: (len(g.members), -min(g.members)), default=_Group())


def _copied(request: MergeRequest) -> frozenset[int]:
    """Members with the very payload of another. Most differ in their last bytes, a checksum."""
    alike: dict[bytes, list[int]] = {}
    for member, (_, payload) in request.updates.items():
        alike.setdefault(bytes(payload[-_TAIL:]), []).append(member)
    return frozenset(
        member
        for members in alike.values()
        for member in members
        if any(
            request.updates[member][1] == request.updates[other][1]
            for other in members
            if other != member
        )
    )
