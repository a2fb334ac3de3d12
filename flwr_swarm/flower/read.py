"""Reading the protocol's messages from Flower's records: typed, strict, bounded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from .._exceptions import WireError
from .._octets import Octets
from ..protocol.hashing import canonical_json, parse_json
from ..protocol.messages import (
    EnrolReply,
    EnrolRequest,
    Evidence,
    HeldSum,
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
from ..protocol.terms import Terms
from ..protocol.types import HASH_BYTES, Certificate
from .blob import blob_of
from .records import BLOBS, FIELDS, MODEL, STATE, STYPE, numpy_arrays

_LONGEST_TERMS = 1_000_000
_MOST_MEMBERS = 256
_LONGEST_LABEL = 64
_LONGEST_TEXT = 4096
_WANTED = frozenset({"given", "held", "opening", "model"})
_LAST_VIEW = 255
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


class Fields:
    """The fields and blobs of one swarm message, read by type; anything else is refused."""

    def __init__(self, content: RecordDict) -> None:
        self._fields: Mapping[str, Any] = content.config_records.get(FIELDS, ConfigRecord())
        self._blobs: Mapping[str, Array] = content.array_records.get(BLOBS, ArrayRecord())
        self._records = content.array_records

    @property
    def phase(self) -> str:
        return self.text("phase")

    def _typed(self, name: str, kind: type) -> Any:
        value = self._fields.get(name)
        if type(value) is not kind:
            raise WireError(
                f"field {name!r} of a swarm message is {type(value).__name__}, expected "
                f"{kind.__name__}; relay and members must run the same flwr-swarm version"
            )
        return value

    def text(self, name: str) -> str:
        value = str(self._typed(name, str))
        if len(value) > _LONGEST_TEXT:
            raise WireError(f"field {name!r} of a swarm message has {len(value)} characters")
        return value

    def number(self, name: str) -> int:
        value = int(self._typed(name, int))
        if value < 0:
            raise WireError(f"field {name!r} of a swarm message is negative: {value}")
        return value

    def octets(self, name: str, size: int | None = None) -> bytes:
        value = bytes(self._typed(name, bytes))
        if size is not None and len(value) != size:
            raise WireError(f"field {name!r} holds {len(value)} bytes, expected {size}")
        return value

    def numbers(self, name: str) -> tuple[int, ...]:
        value = self._fields.get(name, [])
        if not isinstance(value, list) or len(value) > _MOST_MEMBERS:
            raise WireError(f"field {name!r} of a swarm message is not a short list of members")
        if any(type(v) is not int or not 0 <= v < _MOST_MEMBERS for v in value):
            raise WireError(f"field {name!r} of a swarm message names an impossible member")
        if value != sorted(set(value)):
            raise WireError(f"field {name!r} of a swarm message names members out of order")
        return tuple(value)

    def hashes(self, name: str) -> tuple[bytes, ...]:
        packed = self.octets(name)
        if len(packed) % HASH_BYTES or len(packed) > _MOST_MEMBERS * HASH_BYTES:
            raise WireError(f"field {name!r} is not a short list of hashes")
        return tuple(packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES))

    def blob(self, name: str) -> bytes:
        return bytes(self.large(name))

    def large(self, name: str) -> Octets:
        """A blob as it lies in memory: what is large is not copied."""
        array = self._blobs.get(name)
        if array is None or array.stype != STYPE:
            raise WireError(f"blob {name!r} is missing from a swarm message")
        return blob_of(array)

    def has_blob(self, name: str) -> bool:
        return name in self._blobs

    def place(self) -> Place:
        return Place(
            chain_url=self.text("chain_url"),
            chain_id=self.number("chain_id"),
            contract=self.address("contract"),
            terms=self.terms("terms"),
        )

    def terms(self, name: str) -> dict[str, Any]:
        encoded = self.octets(name)
        if len(encoded) > _LONGEST_TERMS:
            raise WireError(f"the swarm's terms take {len(encoded)} bytes; that cannot be right")
        try:
            terms = parse_json(encoded, deepest=4)
            if not isinstance(terms, dict) or canonical_json(terms) != encoded:
                raise ValueError
        except (ValueError, RecursionError):
            raise WireError("the swarm's terms are not canonical JSON") from None
        return terms

    def address(self, name: str) -> str:
        value = self.text(name)
        if not _ADDRESS.fullmatch(value):
            raise WireError(f"field {name!r} is no chain address: 0x and 40 hex digits")
        return value

    def certificate(self) -> Certificate:
        view = self.number("view")
        if view > _LAST_VIEW:
            raise WireError(f"a certificate names an impossible view: {view}")
        return Certificate(
            round=self.number("round"),
            view=view,
            included=self.numbers("included"),
            aggregate_hash=self.octets("aggregate_hash", HASH_BYTES),
        )

    def enrol_request(self) -> EnrolRequest:
        return EnrolRequest(
            run_id=self.number("run_id"),
            node_id=self.number("node_id"),
            chain_id=self.number("chain_id"),
            contract=self.address("contract"),
        )

    def enrol_reply(self) -> EnrolReply:
        return EnrolReply(
            account=self.address("account"),
            encryption_key=self.octets("encryption_key", 32),
            commitment=self.octets("commitment", HASH_BYTES),
            signature=self.octets("signature", 65),
            label=self.text("label")[:_LONGEST_LABEL],
        )

    def proof(self) -> ModelProof:
        holders = self.numbers("proof_holders")
        openings = {holder: self.blob(f"proof/{holder}") for holder in holders}
        return ModelProof(round=self.number("proof_round"), openings=openings)

    def seal_request(self) -> SealRequest:
        return SealRequest(place=self.place(), round=self.number("round"), proof=self.proof())

    def seal_reply(self) -> SealReply:
        count = self.number("envelopes")
        if count > _MOST_MEMBERS:
            raise WireError(f"a seal reply claims {count} envelopes")
        return SealReply(
            round=self.number("round"),
            member=self.number("member"),
            layout=self.octets("layout"),
            payload=self.large("payload"),
            envelopes=tuple(self.blob(f"envelope/{holder}") for holder in range(count)),
            proof=self.blob("dealing") if self.has_blob("dealing") else b"",
        )

    def merge_request(self) -> MergeRequest:
        members = self.numbers("members")
        updates = {m: (self.blob(f"layout/{m}"), self.large(f"payload/{m}")) for m in members}
        return MergeRequest(
            place=self.place(),
            round=self.number("round"),
            view=self.number("view"),
            updates=updates,
        )

    def merge_reply(self) -> MergeReply:
        return MergeReply(
            member=self.number("member"),
            certificate=self.certificate(),
            signature=self.octets("signature", 65),
            merged=self.large("merged") if self.has_blob("merged") else b"",
        )

    def open_request(self) -> OpenRequest:
        certificate = self.certificate()
        hashes, envelopes, proofs = {}, {}, {}
        for sender in certificate.included:
            hashes[sender] = self.hashes(f"hashes/{sender}")
            if self.has_blob(f"dealing/{sender}"):
                proofs[sender] = self.blob(f"dealing/{sender}")
            if self.has_blob(f"envelope/{sender}"):
                envelopes[sender] = self.blob(f"envelope/{sender}")
        signers = self.numbers("signers")
        return OpenRequest(
            place=self.place(),
            certificate=certificate,
            signatures=tuple((s, self.octets(f"signature/{s}", 65)) for s in signers),
            envelopes=envelopes,
            envelope_hashes=hashes,
            proofs=proofs,
        )

    def open_reply(self) -> OpenReply:
        count = self.number("complaints")
        if count > _MOST_MEMBERS or (count == 0) != self.has_blob("opening"):
            raise WireError(
                f"an open reply holds an opening or complaints, this one {count} complaints"
            )
        return OpenReply(
            member=self.number("member"),
            opening=b"" if count else self.blob("opening"),
            complaints=tuple(self.blob(f"complaint/{at}") for at in range(count)),
        )

    def report_request(self) -> ReportRequest:
        evidence = Evidence(
            round=self.number("round"),
            dealer=self.number("dealer"),
            complaint=self.blob("complaint"),
            envelope=self.blob("envelope"),
            envelope_hashes=self.hashes("hashes"),
            proof=self.blob("dealing"),
        )
        return ReportRequest(place=self.place(), evidence=evidence)

    def nudge_request(self) -> NudgeRequest:
        return NudgeRequest(place=self.place(), round=self.number("round"))

    def recall_request(self) -> RecallRequest:
        want = self.text("want").split(",")
        if want != sorted(_WANTED & set(want)):
            raise WireError(f"a recall asks for some of {', '.join(sorted(_WANTED))}, in order")
        return RecallRequest(
            place=self.place(),
            round=self.number("round"),
            want=frozenset(want),
            model=self.octets("model", HASH_BYTES),
        )

    def recall_reply(self) -> RecallReply:
        given, held, model = None, None, None
        if self.has_blob("payload"):
            given = self.seal_reply()
        if self.has_blob("held"):
            held = HeldSum(
                terms=Terms.from_json(self.terms("held_terms")),
                threshold=self.number("threshold"),
                included=self.numbers("included"),
                layout=self.octets("held_layout"),
                body=self.octets("held_body"),
                merged=self.large("held"),
            )
        if MODEL in self._records:
            arrays = (self._records[MODEL], self._records.get(STATE, ArrayRecord()))
            model = (numpy_arrays(arrays[0]), numpy_arrays(arrays[1]))
        return RecallReply(
            member=self.number("member"),
            given=given,
            held=held,
            opening=self.blob("opening") if self.has_blob("opening") else b"",
            model=model,
        )
