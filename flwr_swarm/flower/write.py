"""Writing the protocol's messages as Flower's records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord

from .._octets import Octets
from ..protocol.hashing import canonical_json
from ..protocol.messages import (
    EnrolReply,
    EnrolRequest,
    MergeReply,
    MergeRequest,
    ModelProof,
    NudgeRequest,
    OpenReply,
    OpenRequest,
    Place,
    RecallReply,
    RecallRequest,
    ReportRequest,
    SealReply,
    SealRequest,
)
from ..protocol.types import Certificate
from .blob import blob_record
from .records import BLOBS, FIELDS, MODEL, STATE, array_record

Records = dict[str, ConfigRecord | ArrayRecord]


def swarm_records(
    phase: str, fields: Mapping[str, Any], blobs: Mapping[str, Octets] | None = None
) -> Records:
    """The records of one swarm message."""
    records: Records = {FIELDS: ConfigRecord({"phase": phase, **fields})}
    if blobs:
        records[BLOBS] = blob_record(blobs)
    return records


def place_fields(place: Place) -> dict[str, Any]:
    return {
        "chain_url": place.chain_url,
        "chain_id": place.chain_id,
        "contract": place.contract,
        "terms": canonical_json(place.terms),
    }


def _certificate_fields(certificate: Certificate) -> dict[str, Any]:
    return {
        "round": certificate.round,
        "view": certificate.view,
        "included": list(certificate.included),
        "aggregate_hash": certificate.aggregate_hash,
    }


def enrol_request(request: EnrolRequest) -> Records:
    return swarm_records("enrol", vars(request))


def enrol_reply(reply: EnrolReply) -> Records:
    return swarm_records("enrol", vars(reply))


def proof_parts(proof: ModelProof) -> tuple[dict[str, Any], dict[str, bytes]]:
    fields = {"proof_round": proof.round, "proof_holders": sorted(proof.openings)}
    return fields, {f"proof/{holder}": opening for holder, opening in proof.openings.items()}


def seal_request(request: SealRequest, phase: str = "seal") -> Records:
    fields, blobs = proof_parts(request.proof)
    return swarm_records(
        phase, {**place_fields(request.place), "round": request.round, **fields}, blobs
    )


def _given_parts(reply: SealReply) -> tuple[dict[str, Any], dict[str, Octets]]:
    envelopes = {f"envelope/{holder}": e for holder, e in enumerate(reply.envelopes)}
    fields = {
        "round": reply.round,
        "member": reply.member,
        "layout": reply.layout,
        "envelopes": len(reply.envelopes),
    }
    dealing = {"dealing": reply.proof} if reply.proof else {}
    return fields, {"payload": reply.payload, **envelopes, **dealing}


def seal_reply(reply: SealReply) -> Records:
    return swarm_records("seal", *_given_parts(reply))


def merge_request(request: MergeRequest) -> Records:
    blobs: dict[str, Octets] = {}
    for member, (layout, payload) in request.updates.items():
        blobs[f"layout/{member}"] = layout
        blobs[f"payload/{member}"] = payload
    fields = {
        **place_fields(request.place),
        "round": request.round,
        "view": request.view,
        "members": sorted(request.updates),
    }
    return swarm_records("merge", fields, blobs)


def merge_reply(reply: MergeReply) -> Records:
    fields = {
        "member": reply.member,
        "signature": reply.signature,
        **_certificate_fields(reply.certificate),
    }
    return swarm_records("merge", fields, {"merged": reply.merged} if reply.merged else None)


def open_request(request: OpenRequest) -> Records:
    fields = {
        **place_fields(request.place),
        **_certificate_fields(request.certificate),
        "signers": [signer for signer, _ in request.signatures],
        **{f"signature/{signer}": signature for signer, signature in request.signatures},
        **{f"hashes/{s}": b"".join(hashes) for s, hashes in request.envelope_hashes.items()},
    }
    blobs = {f"envelope/{sender}": e for sender, e in request.envelopes.items()}
    blobs |= {f"dealing/{sender}": proof for sender, proof in request.proofs.items()}
    return swarm_records("open", fields, blobs)


def open_reply(reply: OpenReply) -> Records:
    fields = {"member": reply.member, "complaints": len(reply.complaints)}
    blobs = {f"complaint/{at}": complaint for at, complaint in enumerate(reply.complaints)}
    return swarm_records("open", fields, blobs or {"opening": reply.opening})


def report_request(request: ReportRequest) -> Records:
    evidence = request.evidence
    fields = {
        **place_fields(request.place),
        "round": evidence.round,
        "dealer": evidence.dealer,
        "hashes": b"".join(evidence.envelope_hashes),
    }
    blobs = {
        "complaint": evidence.complaint,
        "envelope": evidence.envelope,
        "dealing": evidence.proof,
    }
    return swarm_records("report", fields, blobs)


def nudge_request(request: NudgeRequest) -> Records:
    return swarm_records("nudge", {**place_fields(request.place), "round": request.round})


def recall_request(request: RecallRequest) -> Records:
    fields = {
        **place_fields(request.place),
        "round": request.round,
        "want": ",".join(sorted(request.want)),
        "model": request.model,
    }
    return swarm_records("recall", fields)


def recall_reply(reply: RecallReply) -> Records:
    fields: dict[str, Any] = {"member": reply.member}
    blobs: dict[str, Octets] = {"opening": reply.opening} if reply.opening else {}
    records: Records = {}
    if reply.given is not None:
        given, held_blobs = _given_parts(reply.given)
        fields |= given
        blobs |= held_blobs
    if reply.held is not None:
        fields |= {
            "threshold": reply.held.threshold,
            "included": list(reply.held.included),
            "held_terms": canonical_json(reply.held.terms.to_json()),
            "held_layout": reply.held.layout,
            "held_body": reply.held.body,
        }
        blobs["held"] = reply.held.merged
    if reply.model is not None:
        model, state = reply.model
        records = {MODEL: array_record(model)}
        if state:
            records[STATE] = array_record(state)
    return {**swarm_records("recall", fields, blobs), **records}
