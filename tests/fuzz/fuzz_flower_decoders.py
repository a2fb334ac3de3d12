"""Decoders of messages between relay and members: Flower's records, and what lies in them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

import numpy as np
from fuzz_bytes import blind
from fuzz_decoder import Decoder
from fuzz_json import document
from fuzz_material import Run, dumped, frames, run, sealed
from fuzz_records import (
    NotOurs,
    array_bytes,
    faithful,
    packed,
    reader,
    records,
    unpacked,
)

from flwr_swarm._exceptions import MemoryDamaged, WireError
from flwr_swarm.chain.signing import recover_certifier, recover_enrolment
from flwr_swarm.encryption import envelope_hash
from flwr_swarm.flower import write
from flwr_swarm.flower.npy import read_npy
from flwr_swarm.flower.read import Fields
from flwr_swarm.flower.records import MODEL, numpy_arrays
from flwr_swarm.flower.state import MEMORY
from flwr_swarm.protocol.hashing import canonical_json, parse_json
from flwr_swarm.protocol.memory_blobs import from_blobs
from flwr_swarm.protocol.messages import (
    EnrolReply,
    Evidence,
    HeldSum,
    NudgeRequest,
    OpenReply,
    RecallReply,
    RecallRequest,
    ReportRequest,
)
from flwr_swarm.protocol.payload import (
    decode_arrays,
    decode_layout,
    encode_arrays,
    encode_layout,
    encode_plain,
    plain_hash,
)
from flwr_swarm.protocol.terms import Terms


def _made(made: Run) -> dict[str, list[Any]]:
    """Messages of every kind: those of a run, and those that an untroubled run has no need of."""
    read = Fields(made.sent["seal"][0])
    place = read.place()
    given = Fields(made.answered["seal"][0]).seal_reply()
    opening = Fields(made.answered["open"][0]).open_reply().opening
    merged = next(
        reply.merged
        for reply in (Fields(content).merge_reply() for content in made.answered["merge"])
        if reply.merged
    )
    held = HeldSum(
        terms=Terms.from_json(place.terms),
        threshold=2,
        included=(0, 1, 2),
        layout=given.layout,
        body=b"b" * 32,
        merged=merged,
    )
    dealing = sealed(1)[1]
    evidence = Evidence(
        round=1,
        dealer=1,
        complaint=frames()["complaint"][0],
        envelope=dealing.envelopes[0],
        envelope_hashes=tuple(map(envelope_hash, dealing.envelopes)),
        proof=dealing.proof,
    )
    model = {"w": np.arange(6, dtype="<f4").reshape(2, 3), "n": np.array(3), "e": np.zeros((0, 2))}
    state = {"m_t/w": np.ones((2, 3))}
    return {
        "enrol_request": list(made.sent["enrol"]),
        "enrol_reply": list(made.answered["enrol"]),
        "seal_request": list(made.sent["seal"]),
        "seal_reply": list(made.answered["seal"]),
        "merge_request": list(made.sent["merge"]),
        "merge_reply": list(made.answered["merge"]),
        "open_request": list(made.sent["open"]),
        "open_reply": [
            *made.answered["open"],
            write.open_reply(OpenReply(member=1, complaints=frames()["complaint"][:2])),
        ],
        "report_request": [write.report_request(ReportRequest(place=place, evidence=evidence))],
        "nudge_request": [write.nudge_request(NudgeRequest(place=place, round=2))],
        "recall_request": [
            write.recall_request(RecallRequest(place=place, round=2, want=frozenset(want)))
            for want in (("given",), ("held", "model"))
        ],
        "recall_reply": [
            write.recall_reply(reply)
            for reply in (
                RecallReply(member=given.member, given=given, held=held, opening=opening),
                RecallReply(member=1, model=(model, state)),
                RecallReply(member=1),
            )
        ],
    }


def _messages(made: Run) -> Iterable[Decoder]:
    for kind, contents in _made(made).items():
        yield Decoder(
            name=kind.replace("_", " "),
            read=reader(kind),
            corpus=tuple(packed(content) for content in contents[:6]),
            mutate=records,
            faithful=faithful(kind),
            refusals=(WireError, NotOurs),
            constant=1 << 18,
            share=3,
        )


# --- what lies in fields and blobs --------------------------------------------------------------


def _layout(data: bytes) -> Any:
    return decode_layout(data), parse_json(data, deepest=3)["asked"]


def _terms(data: bytes) -> Terms:
    """As `Fields.place` and `SwarmMember.accept` read them."""
    try:
        plain = parse_json(data, deepest=4)
        if not isinstance(plain, dict) or canonical_json(plain) != data:
            raise ValueError
    except ValueError:
        raise WireError("not canonical") from None
    return Terms.from_json(plain)


def _header(random: Random, message: bytes, others: Sequence[bytes]) -> bytes:
    """A plaintext payload with another header, whose length is told rightly as a rule."""
    size = int.from_bytes(message[4:8], "big")
    made = document(random, message[8 : 8 + size], [_head(other) for other in others])
    told = random.choice((len(made),) * 8 + (len(made) + 1, 0, 2**24, 2**32 - 1))
    data = message[:4] + told.to_bytes(4, "big") + made + message[8 + size :]
    return blind(random, data, others) if random.random() < 0.1 else data


def _head(payload: bytes) -> bytes:
    return payload[8 : 8 + int.from_bytes(payload[4:8], "big")]


def _plain() -> tuple[bytes, ...]:
    model = {
        "w": np.arange(6, dtype="<f4").reshape(2, 3),
        "b": np.array(2.5),
        "n": np.zeros((0, 9)),
    }
    metrics = {"loss": 0.5, "num-examples": 12, "per-class": [0.25, 0.5]}
    names = ("arrays", "metrics")
    return (encode_plain(model, metrics, names), encode_arrays(model), encode_arrays({}))


def _saved(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _same_array(data: bytes, value: Any) -> bool:
    again = read_npy(_saved(value))
    same = (again.dtype, again.shape) == (value.dtype, value.shape)
    return same and again.tobytes() == value.tobytes() and data.endswith(value.tobytes("A"))


def _arrays_of(data: bytes) -> Any:
    record = unpacked(data).array_records.get(MODEL)
    return {} if record is None else numpy_arrays(record)


def _enrolment(data: bytes) -> str:
    reply: EnrolReply = Fields(unpacked(data)).enrol_reply()
    return recover_enrolment(
        reply.signature,
        run_id=1,
        node_id=2,
        account=reply.account,
        encryption_key=reply.encryption_key,
        seed=reply.commitment,
    )


def _certifier(data: bytes) -> str:
    reply = Fields(unpacked(data)).merge_reply()
    return recover_certifier(77, "0x" + "5a" * 20, reply.certificate, reply.signature)


def _memory(data: bytes) -> Any:
    """A site's own memory, its facts alone bent: the rest are blobs that others read."""
    blobs = {name: bytes(a.data) for name, a in run().state.array_records[MEMORY].items()}
    return from_blobs(blobs | {"facts": data})


def decoders() -> list[Decoder]:
    """All of them."""
    made = run()
    messages = _made(made)
    layouts = (
        Fields(made.answered["seal"][0]).seal_reply().layout,
        encode_layout((("a", 0), ("b", 3)), b"\x07" * 32),
    )
    terms = Fields(made.sent["seal"][0]).place().terms
    arrays = (
        np.arange(6, dtype="<f4").reshape(2, 3),
        np.array(7),
        np.zeros((0, 3)),
        np.eye(3, 2).T,
    )
    facts = bytes(made.state.array_records[MEMORY]["facts"].data)
    recalled = tuple(packed(content) for content in messages["recall_reply"][1:2])
    return [
        *_messages(made),
        Decoder(
            name="layout",
            read=_layout,
            corpus=layouts,
            mutate=document,
            faithful=lambda data, value: encode_layout(value[0], bytes.fromhex(value[1])) == data,
        ),
        Decoder(
            name="terms",
            read=_terms,
            corpus=(dumped(dict(terms)),),
            mutate=document,
            faithful=lambda data, value: value.to_json() == parse_json(data, deepest=4),
        ),
        Decoder(
            name="plain payload", read=plain_hash, corpus=_plain()[:1], mutate=_header, per_byte=128
        ),
        Decoder(
            name="plain arrays",
            read=decode_arrays,
            corpus=_plain()[1:],
            mutate=_header,
            per_byte=128,
        ),
        Decoder(
            name="saved array",
            read=read_npy,
            corpus=tuple(map(_saved, arrays)),
            mutate=array_bytes,
            faithful=_same_array,
            per_byte=4,
        ),
        Decoder(
            name="model",
            read=_arrays_of,
            corpus=recalled,
            mutate=records,
            refusals=(WireError, NotOurs),
            share=8,
        ),
        Decoder(
            name="enrolment signature",
            read=_enrolment,
            corpus=tuple(packed(content) for content in messages["enrol_reply"]),
            mutate=records,
            refusals=(WireError, NotOurs),
            constant=1 << 18,
            share=1,
        ),
        Decoder(
            name="certificate signature",
            read=_certifier,
            corpus=tuple(packed(content) for content in messages["merge_reply"]),
            mutate=records,
            refusals=(WireError, NotOurs),
            constant=1 << 18,
            share=1,
        ),
        Decoder(
            name="own memory",
            read=_memory,
            corpus=(facts,),
            mutate=document,
            refusals=(MemoryDamaged,),
            constant=1 << 20,
            share=2,
        ),
    ]
