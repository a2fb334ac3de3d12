"""Between the protocol's nouns and the contract's fields."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from flwr_swarm.protocol.ledger import (
    AbstainCall,
    AdvanceCall,
    CertifyCall,
    CloseCall,
    LedgerCall,
    SealCall,
)
from flwr_swarm.protocol.types import (
    Certificate,
    LedgerView,
    Member,
    Phase,
    Policy,
    Round,
    Seal,
)

from .codec import Fields, decode_result, encode_call

NO_LEADER: Final = 255


def bits(members: Iterable[int]) -> int:
    """Return a set of members as the contract's bit map."""
    total = 0
    for member in members:
        total |= 1 << member
    return total


def unbits(number: int) -> tuple[int, ...]:
    """Return the members of a bit map, ascending."""
    return tuple(i for i in range(number.bit_length()) if number >> i & 1)


def policy_fields(policy: Policy) -> Fields:
    """Return `policy` as the contract's struct."""
    leader = NO_LEADER if policy.fixed_leader is None else policy.fixed_leader
    return {
        "threshold": policy.threshold,
        "minIncluded": policy.min_included,
        "witnesses": policy.witnesses,
        "maxCommittee": policy.max_committee,
        "closeAt": policy.close_at,
        "fixedLeader": leader,
        "maxViews": policy.max_views,
        "sealSeconds": policy.seal_seconds,
        "mergeSeconds": policy.merge_seconds,
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
        close_at=fields["closeAt"],
        fixed_leader=None if leader == NO_LEADER else leader,
        max_views=fields["maxViews"],
        seal_seconds=fields["sealSeconds"],
        merge_seconds=fields["mergeSeconds"],
        epsilon_cap=fields["epsilonCap"],
        terms=fields["terms"],
    )


def genesis_fields(members: Sequence[Member]) -> list[Fields]:
    """Return founding members as the constructor takes them."""
    return [
        {
            "account": member.account,
            "encryptionKey": member.encryption_key,
            "commitment": member.commitment,
        }
        for member in members
    ]


def call_data(call: LedgerCall) -> bytes:
    """Return the calldata of one of the member's calls."""
    match call:
        case SealCall():
            fields = {
                "round": call.round,
                "parent": call.parent,
                "payloadHash": call.payload_hash,
                "sharesHash": call.shares_hash,
                "reveal": call.reveal,
                "commitment": call.commitment,
                "epsilon": call.epsilon,
                "verified": call.verified,
            }
            return encode_call("seal", {"call_": fields})
        case AbstainCall():
            return encode_call("abstain", {"round": call.round})
        case CloseCall():
            return encode_call("close", {"round": call.round})
        case AdvanceCall():
            return encode_call("advance", {"round": call.round, "view_": call.view})
        case CertifyCall():
            certificate = call.certificate
            return encode_call(
                "certify",
                {
                    "round": certificate.round,
                    "view_": certificate.view,
                    "included": bits(certificate.included),
                    "aggregateHash": certificate.aggregate_hash,
                    "signers": bits(member for member, _ in call.signatures),
                    "signatures": [signature for _, signature in call.signatures],
                },
            )


def call_from(name: str, fields: Fields) -> LedgerCall | None:
    """Return the member's call that decoded calldata means; None for a call that only reads."""
    match name:
        case "seal":
            seal = fields["call_"]
            return SealCall(
                round=seal["round"],
                parent=seal["parent"],
                payload_hash=seal["payloadHash"],
                shares_hash=seal["sharesHash"],
                reveal=seal["reveal"],
                commitment=seal["commitment"],
                epsilon=seal["epsilon"],
                verified=seal["verified"],
            )
        case "abstain":
            return AbstainCall(round=fields["round"])
        case "close":
            return CloseCall(round=fields["round"])
        case "advance":
            return AdvanceCall(round=fields["round"], view=fields["view_"])
        case "certify":
            certificate = Certificate(
                round=fields["round"],
                view=fields["view_"],
                included=unbits(fields["included"]),
                aggregate_hash=fields["aggregateHash"],
            )
            signers = unbits(fields["signers"])
            # Not strict: a certificate whose counts differ is a value that the rules refuse.
            pairs = tuple(zip(signers, fields["signatures"], strict=False))
            return CertifyCall(certificate=certificate, signatures=pairs)
        case _:
            return None


def round_from(seen: Fields) -> Round:
    """Return the round that the contract's `RoundSeen` holds."""
    state = seen["round"]
    phase = Phase(state["phase"])
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
    )


def view_from(data: bytes, *, chain_id: int, contract: str) -> LedgerView:
    """Return the ledger as the contract's `look()` answered."""
    seen = decode_result("look", data)
    final = seen["final_"]
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
            )
            for index, member in enumerate(seen["members"])
        ),
        current=round_from(seen["newest"]),
        final=round_from(final) if final["number"] else None,
    )
