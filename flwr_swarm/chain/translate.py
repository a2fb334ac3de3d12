"""Between the protocol's nouns and the contract's fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from flwr_swarm._exceptions import WireError
from flwr_swarm.protocol.ledger import (
    AbstainCall,
    AccuseCall,
    AdvanceCall,
    CarryCall,
    CertifyCall,
    CloseCall,
    LateCall,
    LedgerCall,
    ProposeCall,
    SealCall,
    VoteCall,
)
from flwr_swarm.protocol.types import (
    ZERO_ACCOUNT,
    ZERO_HASH,
    Card,
    Certificate,
    Change,
    Kind,
    LedgerView,
    Member,
    Phase,
    Policy,
    Proposal,
    Round,
    Seal,
    Status,
)

from .codec import Fields, decode_result, decode_struct, encode_call, encode_struct

_Named = TypeVar("_Named", Phase, Status, Kind)
NO_SEAT: Final = 255
_NO_CARD: Final = Card(account=ZERO_ACCOUNT, encryption_key=ZERO_HASH, commitment=ZERO_HASH)


def bits(members: Iterable[int]) -> int:
    """Return a set of members as the contract's bit map."""
    total = 0
    for member in members:
        total |= 1 << member
    return total


def unbits(number: int) -> tuple[int, ...]:
    """Return the members of a bit map, ascending."""
    return tuple(i for i in range(number.bit_length()) if number >> i & 1)


def _one_of(kind: type[_Named], value: int) -> _Named:
    """One of the contract's enumerations."""
    try:
        return kind(value)
    except ValueError as error:
        raise WireError(f"{value} is no {kind.__name__.lower()} of the contract") from error


def policy_fields(policy: Policy) -> Fields:
    """Return `policy` as the contract's struct."""
    leader = NO_SEAT if policy.fixed_leader is None else policy.fixed_leader
    return {
        "threshold": policy.threshold,
        "minIncluded": policy.min_included,
        "witnesses": policy.witnesses,
        "maxCommittee": policy.max_committee,
        "quorum": policy.quorum,
        "closeAt": policy.close_at,
        "fixedLeader": leader,
        "maxViews": policy.max_views,
        "maxMisses": policy.max_misses,
        "minMembers": policy.min_members,
        "relaying": policy.relaying,
        "sealSeconds": policy.seal_seconds,
        "mergeSeconds": policy.merge_seconds,
        "voteSeconds": policy.vote_seconds,
        "epsilonCap": policy.epsilon_cap,
        "terms": policy.terms,
    }


def policy_from(fields: Fields) -> Policy:
    """Return the policy that the contract's struct holds."""
    leader = fields["fixedLeader"]
    return Policy(
        threshold=fields["threshold"],
        min_included=fields["minIncluded"],
        witnesses=fields["witnesses"],
        max_committee=fields["maxCommittee"],
        quorum=fields["quorum"],
        close_at=fields["closeAt"],
        fixed_leader=None if leader == NO_SEAT else leader,
        max_views=fields["maxViews"],
        max_misses=fields["maxMisses"],
        min_members=fields["minMembers"],
        relaying=fields["relaying"],
        seal_seconds=fields["sealSeconds"],
        merge_seconds=fields["mergeSeconds"],
        vote_seconds=fields["voteSeconds"],
        epsilon_cap=fields["epsilonCap"],
        terms=fields["terms"],
    )


def card_fields(card: Card) -> Fields:
    """Return `card` as the contract's struct."""
    return {
        "account": card.account,
        "encryptionKey": card.encryption_key,
        "commitment": card.commitment,
        "tlsHash": card.tls_hash,
        "endpoint": card.endpoint,
        "epsilon": card.epsilon,
        "weightClass": card.weight_class,
    }


def card_from(fields: Fields) -> Card:
    """Return the card that the contract's struct holds."""
    return Card(
        account=fields["account"],
        encryption_key=fields["encryptionKey"],
        commitment=fields["commitment"],
        tls_hash=fields["tlsHash"],
        endpoint=fields["endpoint"],
        epsilon=fields["epsilon"],
        weight_class=fields["weightClass"],
    )


def change_fields(change: Change) -> Fields:
    """Return `change` as the contract's struct."""
    return {
        "kind": change.kind.value,
        "seat": NO_SEAT if change.seat is None else change.seat,
        "card": card_fields(change.card or _NO_CARD),
        "expires": change.expires,
        "policy": policy_fields(change.policy),
    }


def change_from(fields: Fields) -> Change:
    """Return the change that the contract's struct holds."""
    kind = _one_of(Kind, fields["kind"])
    card = card_from(fields["card"])  # also where it has no effect: one encoding, one change
    return Change(
        kind=kind,
        seat=None if fields["seat"] == NO_SEAT else fields["seat"],
        card=None if card == _NO_CARD else card,
        expires=fields["expires"],
        policy=policy_from(fields["policy"]),
    )


def seal_fields(call: SealCall) -> Fields:
    """Return a seal as the contract's struct."""
    return {
        "round": call.round,
        "parent": call.parent,
        "payloadHash": call.payload_hash,
        "sharesHash": call.shares_hash,
        "reveal": call.reveal,
        "commitment": call.commitment,
        "epsilon": call.epsilon,
        "verified": call.verified,
    }


def seal_from(fields: Fields) -> SealCall:
    """Return the seal that the contract's struct holds."""
    return SealCall(
        round=fields["round"],
        parent=fields["parent"],
        payload_hash=fields["payloadHash"],
        shares_hash=fields["sharesHash"],
        reveal=fields["reveal"],
        commitment=fields["commitment"],
        epsilon=fields["epsilon"],
        verified=fields["verified"],
    )


def call_data(call: LedgerCall) -> bytes:
    """Return the calldata of one of the member's calls."""
    return encode_call(*_call_fields(call))


def _call_fields(call: LedgerCall) -> tuple[str, Fields]:  # noqa: PLR0911
    match call:
        case SealCall():
            return "seal", {"call_": seal_fields(call)}
        case AbstainCall():
            return "abstain", {"round": call.round}
        case CloseCall():
            return "close", {"round": call.round}
        case LateCall():
            return "late", {"round": call.round, "epsilon": call.epsilon}
        case AdvanceCall():
            return "advance", {"round": call.round, "view_": call.view}
        case CarryCall():
            seals = [seal_fields(seal) for seal in call.seals]
            return "sealBatch", {"calls": seals, "signatures": list(call.signatures)}
        case ProposeCall():
            return "propose", {"change": change_fields(call.change), "consent": call.consent}
        case VoteCall():
            return "vote", {"id": call.proposal, "support": call.support}
        case AccuseCall():
            statements = (_statement_fields(*call.first), _statement_fields(*call.second))
            first, second = statements
            return "accuse", {"member": call.member, "first": first, "second": second}
        case CertifyCall():
            certificate = call.certificate
            return "certify", {
                "round": certificate.round,
                "view_": certificate.view,
                "included": bits(certificate.included),
                "aggregateHash": certificate.aggregate_hash,
                "signers": bits(member for member, _ in call.signatures),
                "signatures": [signature for _, signature in call.signatures],
            }


def call_from(name: str, fields: Fields) -> LedgerCall | None:  # noqa: PLR0911
    """Return the member's call that decoded calldata means; None for a call that only reads."""
    match name:
        case "seal":
            return seal_from(fields["call_"])
        case "abstain":
            return AbstainCall(round=fields["round"])
        case "close":
            return CloseCall(round=fields["round"])
        case "late":
            return LateCall(round=fields["round"], epsilon=fields["epsilon"])
        case "advance":
            return AdvanceCall(round=fields["round"], view=fields["view_"])
        case "sealBatch":
            seals = tuple(seal_from(seal) for seal in fields["calls"])
            return CarryCall(seals=seals, signatures=tuple(fields["signatures"]))
        case "propose":
            return ProposeCall(change=change_from(fields["change"]), consent=fields["consent"])
        case "vote":
            return VoteCall(proposal=fields["id"], support=fields["support"])
        case "accuse":
            first, second = fields["first"], fields["second"]
            return AccuseCall(
                member=fields["member"],
                first=(_certificate_from(first), first["signature"]),
                second=(_certificate_from(second), second["signature"]),
            )
        case "certify":
            signers = unbits(fields["signers"])
            # Not strict: a certificate whose counts differ is a value that the rules refuse.
            pairs = tuple(zip(signers, fields["signatures"], strict=False))
            return CertifyCall(certificate=_certificate_from(fields), signatures=pairs)
        case _:
            return None


def _statement_fields(certificate: Certificate, signature: bytes) -> Fields:
    return {
        "round": certificate.round,
        "view_": certificate.view,
        "included": bits(certificate.included),
        "aggregateHash": certificate.aggregate_hash,
        "signature": signature,
    }


def _certificate_from(fields: Fields) -> Certificate:
    return Certificate(
        round=fields["round"],
        view=fields["view_"],
        included=unbits(fields["included"]),
        aggregate_hash=fields["aggregateHash"],
    )


def round_from(seen: Fields) -> Round:
    """Return the round that the contract's `RoundSeen` holds."""
    state = seen["round"]
    phase = _one_of(Phase, state["phase"])
    certificate = None
    if phase is Phase.CERTIFIED:
        certificate = Certificate(
            round=seen["number"],
            view=state["view_"],
            included=unbits(state["included"]),
            aggregate_hash=state["aggregateHash"],
        )
    return Round(
        number=seen["number"],
        phase=phase,
        parent=state["parent"],
        seal_deadline=state["sealDeadline"],
        merge_deadline=state["mergeDeadline"],
        seals=tuple(
            Seal(
                member=seal["member"],
                parent=state["parent"],
                payload_hash=seal["payloadHash"],
                shares_hash=seal["sharesHash"],
                epsilon=seal["epsilon"],
                verified=seal["verified"],
            )
            for seal in seen["seals"]
        ),
        abstained=unbits(state["abstained"]),
        beacon=state["beacon"],
        succession=tuple(state["succession"]),
        committee=tuple(state["committee"]),
        view=state["view_"],
        certificate=certificate,
        relayed=state["relayed"],
        opener=state["opener"] if state["parent"] != ZERO_HASH else None,
        late=unbits(state["late"]),
        missed=unbits(state["missed"]),
    )


def proposal_from(number: int, data: bytes) -> Proposal | None:
    """Return the proposal as the contract's `proposalAt()` answered; None if there is none."""
    seen = decode_result("proposalAt", data)[""]
    status = _one_of(Status, seen["status"])
    if status is Status.NONE:
        return None
    return Proposal(
        id=number,
        epoch=seen["epoch"],
        proposer=seen["proposer"],
        status=status,
        closes=seen["closes"],
        supporters=unbits(seen["supporters"]),
        opponents=unbits(seen["opponents"]),
        change=change_from(decode_struct("propose", "change", seen["change"])),
    )


def change_bytes(change: Change) -> bytes:
    """Return `change` as proposals and their events hold it."""
    return encode_struct("propose", "change", change_fields(change))


def view_from(data: bytes, *, chain_id: int, contract: str) -> LedgerView:
    """Return the ledger as the contract's `look()` answered."""
    seen = decode_result("look", data)
    final, suspended = seen["final_"], unbits(seen["suspended_"])
    return LedgerView(
        chain_id=chain_id,
        contract=contract,
        now=seen["time"],
        policy=policy_from(seen["policy_"]),
        members=tuple(
            Member(
                index=index,
                account=member["account"],
                encryption_key=member["encryptionKey"],
                commitment=member["commitment"],
                reveals=member["reveals"],
                epsilon=member["epsilon"],
                misses=member["misses"],
                faults=member["faults"],
                absences=member["absences"],
                stalls=member["stalls"],
                weight_class=member["weightClass"],
                since=member["since"],
                tls_hash=member["tlsHash"],
                suspended=index in suspended,
            )
            for index, member in enumerate(seen["seats"])
        ),
        current=round_from(seen["newest"]),
        final=round_from(final) if final["number"] else None,
        epoch=seen["epoch_"],
        pending=seen["pending_"],
    )
