"""Messages as records: what is written is read, and whatever else comes is a WireError."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from swarm_bench import twin

from flwr_swarm._exceptions import MemoryDamaged, WireError
from flwr_swarm.flower import write
from flwr_swarm.flower.read import Fields
from flwr_swarm.flower.records import BLOBS, FIELDS, STYPE
from flwr_swarm.flower.state import MEMORY, load_memory, save_memory
from flwr_swarm.protocol.memory import Given, Held, Memory, Parent
from flwr_swarm.protocol.memory_blobs import from_blobs, to_blobs
from flwr_swarm.protocol.messages import (
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
from flwr_swarm.protocol.terms import Terms
from flwr_swarm.protocol.types import Certificate

counts = st.integers(0, 2**40)
who = st.integers(0, 255)
hashes = st.binary(min_size=32, max_size=32)
signatures = st.binary(min_size=65, max_size=65)
blobs = st.binary(max_size=40)
addresses = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
views = st.integers(0, 7)
words = st.text(max_size=12)
json_values = st.recursive(
    st.one_of(st.integers(-9, 9), st.floats(allow_nan=False, allow_infinity=False), words),
    lambda inner: st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
places = st.builds(
    Place,
    chain_url=words,
    chain_id=counts,
    contract=addresses,
    terms=st.dictionaries(words, json_values, max_size=3),
)
members = st.lists(who, unique=True, max_size=4).map(sorted).map(tuple)
certificates = st.builds(
    Certificate, round=counts, view=views, included=members, aggregate_hash=hashes
)
proofs = st.builds(ModelProof, round=counts, openings=st.dictionaries(who, blobs, max_size=3))


seal_replies = st.builds(
    SealReply,
    round=counts,
    member=counts,
    layout=blobs,
    payload=blobs,
    envelopes=st.lists(blobs, max_size=3).map(tuple),
    proof=blobs,
)
some_terms = st.builds(Terms, encryption=st.just("threshold"), members=st.integers(1, 64))
held_sums = st.builds(
    HeldSum,
    terms=some_terms,
    threshold=counts,
    included=members,
    layout=blobs,
    body=blobs,
    merged=blobs,
)


@st.composite
def recall_replies(draw: Any) -> RecallReply:
    """A member speaks of its own seal only."""
    given = draw(st.none() | seal_replies)
    return RecallReply(
        member=draw(counts) if given is None else given.member,
        given=given,
        held=draw(st.none() | held_sums),
        opening=draw(blobs),
    )


@st.composite
def open_requests(draw: Any) -> OpenRequest:
    certificate = draw(certificates)
    return OpenRequest(
        place=draw(places),
        certificate=certificate,
        signatures=tuple((m, draw(signatures)) for m in draw(members)),
        envelopes={m: draw(blobs) for m in certificate.included},
        envelope_hashes={
            m: tuple(draw(st.lists(hashes, max_size=3))) for m in certificate.included
        },
        proofs={m: draw(blobs) for m in certificate.included},
    )


KINDS: dict[str, tuple[Any, Any]] = {
    "enrol_request": (
        st.builds(EnrolRequest, run_id=counts, node_id=counts, chain_id=counts, contract=addresses),
        write.enrol_request,
    ),
    "enrol_reply": (
        st.builds(
            EnrolReply,
            account=addresses,
            encryption_key=hashes,
            commitment=hashes,
            signature=signatures,
            label=st.sampled_from(["site 0", "Ålesund"]),
        ),
        write.enrol_reply,
    ),
    "seal_request": (
        st.builds(SealRequest, place=places, round=counts, proof=proofs),
        write.seal_request,
    ),
    "seal_reply": (seal_replies, write.seal_reply),
    "merge_request": (
        st.builds(
            MergeRequest,
            place=places,
            round=counts,
            view=counts,
            updates=st.dictionaries(who, st.tuples(blobs, blobs), max_size=3),
        ),
        write.merge_request,
    ),
    "merge_reply": (
        st.builds(
            MergeReply, member=counts, certificate=certificates, signature=signatures, merged=blobs
        ),
        write.merge_reply,
    ),
    "open_request": (open_requests(), write.open_request),
    "open_reply": (
        st.one_of(
            st.builds(OpenReply, member=counts, opening=blobs.filter(bool)),
            st.builds(
                OpenReply,
                member=counts,
                complaints=st.lists(blobs, min_size=1, max_size=3).map(tuple),
            ),
        ),
        write.open_reply,
    ),
    "report_request": (
        st.builds(
            ReportRequest,
            place=places,
            evidence=st.builds(
                Evidence,
                round=counts,
                dealer=counts,
                complaint=blobs,
                envelope=blobs,
                envelope_hashes=st.lists(hashes, max_size=3).map(tuple),
                proof=blobs,
            ),
        ),
        write.report_request,
    ),
    "nudge_request": (st.builds(NudgeRequest, place=places, round=counts), write.nudge_request),
    "recall_request": (
        st.builds(
            RecallRequest,
            place=places,
            round=counts,
            want=st.sets(st.sampled_from(["given", "held", "opening", "model"]), min_size=1).map(
                frozenset
            ),
            model=hashes,
        ),
        write.recall_request,
    ),
    "recall_reply": (recall_replies(), write.recall_reply),
}
BY_KIND = pytest.mark.parametrize("kind", KINDS)


@BY_KIND
@settings(max_examples=20)
@given(data=st.data())
def test_what_is_written_is_read(kind: str, data: st.DataObject) -> None:
    values, writer = KINDS[kind]
    message = data.draw(values)
    assert getattr(Fields(twin(RecordDict(writer(message)))), kind)() == message


anything = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.booleans(),
    st.text(max_size=20),
    st.binary(max_size=80),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
    st.lists(st.floats(), max_size=3),
    st.lists(st.binary(max_size=4), max_size=3),
    st.just(b"[" * 100_000),
    st.just(b'{"a":' * 50_000),
    st.just(b'{"a":NaN}'),
)
stypes = st.sampled_from([STYPE, "numpy.ndarray", ""])


@BY_KIND
@settings(max_examples=50)
@given(data=st.data())
def test_a_malformed_message_is_a_wire_error_and_nothing_else(
    kind: str, data: st.DataObject
) -> None:
    values, writer = KINDS[kind]
    content = RecordDict(writer(data.draw(values)))
    fields = content.config_records[FIELDS]
    for name in data.draw(st.lists(st.sampled_from(sorted(fields)), max_size=2)):
        if data.draw(st.booleans()):
            fields.pop(name, None)
        else:
            fields[name] = data.draw(anything)
    record = content.array_records.get(BLOBS)
    if record and data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(record)))
        raw = data.draw(blobs)
        record[name] = Array(dtype="uint8", shape=(9,), stype=data.draw(stypes), data=raw)
    elif record is not None and data.draw(st.booleans()):
        del content[BLOBS]
    with suppress(WireError):
        getattr(Fields(content), kind)()


@pytest.mark.parametrize(
    ("complaints", "named"),
    [(0, []), (1, ["opening"]), (1, []), (2, ["complaint/0"]), (257, ["complaint/0"]), (-1, [])],
)
def test_an_open_reply_is_an_opening_or_complaints(complaints: int, named: list[str]) -> None:
    fields = {"member": 1, "complaints": complaints}
    content = RecordDict(write.swarm_records("open", fields, dict.fromkeys(named, b"data")))
    with pytest.raises(WireError):
        Fields(content).open_reply()


@BY_KIND
def test_an_empty_message_is_refused(kind: str) -> None:
    for content in (RecordDict(), RecordDict({FIELDS: ConfigRecord()})):
        with pytest.raises(WireError):
            getattr(Fields(content), kind)()


# --- a member's memory ---------------------------------------------------------------------------

models = st.dictionaries(
    st.text(max_size=5),
    hnp.arrays(
        dtype=st.sampled_from(["float32", "float64", "int64"]),
        shape=hnp.array_shapes(min_dims=0, max_dims=2, max_side=3),
    ),
    max_size=3,
)
parents = st.builds(Parent, round=counts, hash=hashes, model=models, state=models)
slots = st.tuples(st.integers(0, 2**40), st.integers(0, 7))


@st.composite
def memories(draw: Any) -> Memory:
    """Parents of the three places are often one and the same."""
    pool = draw(st.lists(parents, min_size=1, max_size=3, unique_by=lambda p: (p.round, p.hash)))
    parent = st.sampled_from(pool)
    held = st.builds(
        Held,
        parent=parent,
        terms=some_terms,
        threshold=st.integers(1, 64),
        included=members,
        layout=blobs,
        body=hashes,
        merged=blobs,
    )
    given = st.builds(
        Given,
        reply=seal_replies,
        parent=hashes,
        payload_hash=hashes,
        shares_hash=hashes,
        position=counts,
        epoch=counts,
        epsilon=counts,
        verified=st.booleans(),
    )
    return Memory(
        place=draw(st.none() | places),
        parent=draw(st.none() | parent),
        intended=draw(counts),
        given=draw(st.none() | given),
        opening=draw(st.none() | st.tuples(counts, blobs)),
        pending=draw(st.none() | held),
        held=draw(st.none() | held),
        signed=draw(st.dictionaries(slots, hashes, max_size=3)),
        opened=draw(st.dictionaries(st.integers(0, 2**40), hashes, max_size=3)),
    )


def plain(parent: Parent | None) -> Any:
    if parent is None:
        return None
    arrays = [
        {n: (a.dtype.str, a.shape, a.tobytes()) for n, a in one.items()}
        for one in (parent.model, parent.state)
    ]
    return parent.round, parent.hash, arrays


def shown(memory: Memory) -> Any:
    helds = [
        held
        and (
            plain(held.parent),
            held.terms,
            held.threshold,
            held.included,
            held.layout,
            held.body,
            held.merged,
        )
        for held in (memory.pending, memory.held)
    ]
    rest = replace(memory, parent=None, pending=None, held=None)
    return rest, plain(memory.parent), helds


def empty_context() -> Context:
    return Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config={})


@settings(max_examples=40)
@given(first=memories(), second=memories())
def test_a_memory_survives_the_state_and_replaces_the_one_before(
    first: Memory, second: Memory
) -> None:
    context = empty_context()
    assert shown(load_memory(context)) == shown(Memory())
    for memory in (first, second, first):
        save_memory(context, memory)
        context.state = twin(context.state)
        assert shown(load_memory(context)) == shown(memory)


@given(memory=memories())
def test_an_equal_parent_is_stored_once(memory: Memory) -> None:
    context = empty_context()
    save_memory(context, memory)
    stored = [n for n in context.state.array_records[MEMORY] if n.endswith(".model")]
    held = [memory.parent, *(h and h.parent for h in (memory.pending, memory.held))]
    assert len(stored) == len({(p.round, p.hash) for p in held if p is not None})


def test_the_users_own_state_is_left_alone() -> None:
    context = empty_context()
    context.state["mine"] = ConfigRecord({"epoch": 3})
    context.state["weights"] = ArrayRecord({"w": Array(np.ones(2))})
    save_memory(context, Memory())
    assert context.state.config_records["mine"]["epoch"] == 3
    assert "weights" in context.state


@settings(max_examples=30)
@given(model=models, state=models)
def test_a_recalled_model_is_the_same_to_the_bit(model: Any, state: Any) -> None:
    reply = RecallReply(member=1, model=(model, state))
    read = Fields(twin(RecordDict(write.recall_reply(reply)))).recall_reply()
    assert read.model is not None
    for sent, got in zip((model, state), read.model, strict=True):
        assert list(got) == list(sent)
        for name, array in sent.items():
            assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape)
            assert got[name].tobytes() == array.tobytes()


@given(memory=memories(), data=st.data())
def test_a_damaged_memory_is_refused_by_name(memory: Memory, data: st.DataObject) -> None:
    blobs_ = to_blobs(memory)
    name = data.draw(st.sampled_from(sorted(blobs_)))
    if data.draw(st.booleans()):
        blobs_[name] = blobs_[name][: data.draw(st.integers(0, len(blobs_[name])))]
    else:
        del blobs_[name]
    with suppress(MemoryDamaged):
        from_blobs(blobs_)
