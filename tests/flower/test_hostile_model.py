"""A hostile relay before training: a crafted model, old or doubled messages, another swarm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apps
import pytest
from flwr.app import Message, RecordDict
from hostile import EVERYONE, counting_app, crafted, only
from swarm_bench import (
    Bench,
    blob_of,
    flipped,
    inner,
    same,
    set_blob,
    set_field,
    shifted,
    twin,
)

from flwr_swarm.flower.read import Fields
from flwr_swarm.flower.records import FIELDS
from flwr_swarm.protocol.hashing import canonical_json, model_hash
from flwr_swarm.protocol.terms import Terms
from flwr_swarm.protocol.types import Phase

# --- the model ---------------------------------------------------------------------------------


def test_a_crafted_model_for_one_member_is_refused_and_the_others_go_on(
    bench: Callable[..., Bench],
) -> None:
    trained: list[int] = []
    swarm = bench(app=dict.fromkeys(range(4), counting_app(trained)))
    for victim in (2, 1):  # in round 1 the ledger alone tells, in round 2 the last sum as well
        trained.clear()
        swarm.to_member["seal"] = only(victim, crafted)
        assert swarm.round() is not None
        assert set(swarm.errors) == {("seal", victim)}
        assert swarm.errors["seal", victim].startswith("ModelRefused: ")
        assert set(trained) == EVERYONE - {victim}
        current = swarm.view().current
        assert current.phase is Phase.CERTIFIED
        assert set(current.certificate.included) == EVERYONE - {victim}
    swarm.to_member.clear()
    assert swarm.round() is not None
    assert set(swarm.view().current.certificate.included) == EVERYONE


def test_a_victim_that_seals_first_is_alone_on_the_crafted_model(
    bench: Callable[..., Bench],
) -> None:
    """Before anyone merged a sum the first model counts: the round is void, nothing is opened."""
    swarm = bench(nodes=3)
    first = swarm.model
    swarm.to_member["seal"] = only(0, crafted)
    assert swarm.round() is None
    assert {who: e.split(":")[0] for (_, who), e in swarm.errors.items()} == {
        1: "ModelRefused",
        2: "ModelRefused",
    }
    assert swarm.view().current.phase is Phase.VOID
    assert [seal.member for seal in swarm.view().current.seals] == [0]
    assert swarm.messages("merge") == swarm.messages("open") == []
    swarm.to_member.clear()
    assert swarm.round() is not None
    assert not same(swarm.model, first)


def test_a_crafted_model_for_all_is_refused_by_all_and_training_goes_on(
    bench: Callable[..., Bench],
) -> None:
    trained: list[int] = []
    swarm = bench(app=dict.fromkeys(range(4), counting_app(trained)))
    swarm.round()
    before, seen = swarm.model, len(trained)
    assert swarm.round(shifted(before)) is None  # the relay itself offers it
    assert {phase_member: e.split(":")[0] for phase_member, e in swarm.errors.items()} == {
        ("seal", member): "ModelRefused" for member in EVERYONE
    }
    assert "trains on no other" in swarm.errors["seal", 0]
    assert len(trained) == seen
    assert swarm.view().current.number == 1  # nothing was sealed
    assert swarm.round() is not None
    assert not same(swarm.model, before)
    assert set(swarm.view().current.certificate.included) == EVERYONE


def test_a_crafted_model_for_evaluation_is_refused(bench: Callable[..., Bench]) -> None:
    seen: list[int] = []
    options = {"fraction_evaluate": 1.0, "min_evaluate_nodes": 3}
    swarm = bench(app=dict.fromkeys(range(3), counting_app(seen)), strategy=inner(3, **options))
    swarm.round()
    seen.clear()
    swarm.evaluate()
    assert swarm.errors == {}
    assert sorted(seen) == [0, 1, 2]
    seen.clear()
    swarm.evaluate(shifted(swarm.model))
    assert seen == []
    assert {e.split(":")[0] for e in swarm.errors.values()} == {"ModelRefused"}
    assert len(swarm.errors) == 3


# --- one swarm, many forged requests -------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A swarm after two rounds. Forgeries are refused, so tests can share it."""
    with Bench(tmp_path_factory.mktemp("trained")) as swarm:
        swarm.round()
        swarm.round()
        swarm.honest = list(swarm.sent)
        yield swarm


def expect(swarm: Bench, content: RecordDict, *parts: str, member: int = 1) -> None:
    """Refused by name; neither the ledger nor the site's memory changes."""
    before = swarm.view()
    state = twin(swarm.context(member).state)
    error = swarm.refusal(member, content)
    for part in parts:
        assert part in error, error
    after = swarm.view()
    assert replace(after, now=0) == replace(before, now=0)
    memory = "flwr_swarm.memory"
    assert swarm.context(member).state.array_records[memory] == state.array_records[memory]


def test_a_stripped_or_altered_proof_is_refused(trained: Bench) -> None:
    plan = trained.plan()
    for holder in plan[1].config_records[FIELDS]["proof_holders"]:
        altered = twin(plan[1])
        set_blob(altered, f"proof/{holder}", flipped(blob_of(altered, f"proof/{holder}")))
        expect(trained, altered, "ModelRefused", "do not open its sum")
    stripped = twin(plan[1])
    set_field(stripped, "proof_holders", [])
    expect(trained, stripped, "ModelRefused")
    missing = twin(plan[1])
    set_field(missing, "proof_holders", missing.config_records[FIELDS]["proof_holders"][:-1])
    expect(trained, missing, "ModelRefused")
    late = twin(plan[1])
    set_field(late, "proof_round", 1)
    expect(trained, late, "ModelRefused", "openings of round 1")


def test_the_proof_of_an_older_round_is_refused(trained: Bench) -> None:
    """Openings of round 1, relabelled as those of round 2."""
    first = [m for p, _, m in trained.answered if p == "open"][:4]
    altered = trained.plan()[1]
    holders = altered.config_records[FIELDS]["proof_holders"]
    openings = {Fields(r.content).open_reply().member: r for r in first}
    for holder in holders:
        set_blob(altered, f"proof/{holder}", blob_of(openings[holder].content, "opening"))
    expect(trained, altered, "ModelRefused")


@pytest.mark.parametrize("phase", ["seal", "merge", "open"])
def test_a_replayed_message_of_an_old_round_is_refused(trained: Bench, phase: str) -> None:
    old = [m for p, who, m in trained.honest if (p, who) == (phase, 1)]
    assert len(old) == 2
    for message in old if phase == "seal" else old[:1]:
        expect(trained, twin(message.content), "StaleRound")


def test_the_last_opening_asked_again_is_the_same_opening(trained: Bench) -> None:
    _, message = (m for p, who, m in trained.honest if (p, who) == ("open", 1))
    _, reply, *_ = (m for p, who, m in trained.answered if (p, who) == ("open", 1))
    assert trained.ask(1, twin(message.content)).content == reply.content


def test_a_round_out_of_order_is_refused(trained: Bench) -> None:
    plan = trained.plan()[1]
    for number in (0, 1, 2, 4, 2**63 - 1):
        altered = twin(plan)
        set_field(altered, "round", number)
        expect(trained, altered, "StaleRound")


@pytest.mark.parametrize("phase", ["seal", "merge", "open", "nudge", "evaluate"])
def test_another_place_is_refused_in_every_phase(trained: Bench, phase: str) -> None:
    plan = trained.plan()[1]
    recorded = trained.messages(phase, member=1)
    honest = twin(recorded[-1].content) if recorded else plan
    set_field(honest, "phase", phase)
    terms = Terms.from_json(Fields(plan).place().terms)

    def with_fields(**fields: Any) -> RecordDict:
        altered = twin(honest)
        for name, value in fields.items():
            set_field(altered, name, value)
        return altered

    looser = canonical_json(replace(terms, clip=1000.0).to_json())
    expect(trained, with_fields(terms=looser), "WrongChain", "terms")
    plain = canonical_json(replace(terms, encryption="none").to_json())
    expect(trained, with_fields(terms=plain), "WrongChain", "terms")
    expect(trained, with_fields(chain_url="http://10.0.0.1:8545"), "WrongChain", "not on this")
    expect(trained, with_fields(chain_url="http://127.0.0.1.example.org:80"), "WrongChain")
    expect(trained, with_fields(chain_id=1), "WrongChain", "chain id")
    expect(trained, with_fields(contract="0x" + "11" * 20), "NoContract", "no contract")


def test_a_second_swarm_cannot_take_over_a_site(trained: Bench, tmp_path: Path) -> None:
    with Bench(tmp_path, nodes=3) as other:
        fields = other.plan()[1].config_records[FIELDS]
        altered = trained.plan()[1]
        for name in ("chain_url", "chain_id", "contract", "terms"):
            set_field(altered, name, fields[name])
        expect(trained, altered, "WrongChain", "this site joined contract")


def test_after_all_forgeries_an_honest_round_succeeds(trained: Bench) -> None:
    before = trained.model
    assert trained.round() is not None
    assert not same(trained.model, before)
    assert set(trained.view().current.certificate.included) == EVERYONE


def test_a_site_believes_its_own_node_config_not_the_relay(bench: Callable[..., Bench]) -> None:
    swarm = bench(nodes=3, grid={"node_config": {"swarm-contract": "0x" + "22" * 20}})
    assert swarm.round() is None
    assert {e.split(":")[0] for e in swarm.errors.values()} == {"WrongChain"}
    assert len(swarm.errors) == 3


# --- duplicates ----------------------------------------------------------------------------------


def test_duplicated_messages_change_nothing(bench: Callable[..., Bench]) -> None:
    swarm = bench(nodes=3)
    outcomes: dict[str, list[str]] = {}

    def again(phase: str) -> Callable[[int, Message], Message]:
        def repeat(member: int, message: Message) -> Message:
            asked = swarm.messages(phase, member)[-1]
            twice = Message(twin(asked.content), 1000 + member, "train")
            try:
                reply = swarm.grid._apps[1000 + member](twice, swarm.context(member))
            except Exception as error:
                outcomes.setdefault(phase, []).append(type(error).__name__)
            else:
                equal = reply.content == message.content
                outcomes.setdefault(phase, []).append("same" if equal else "another")
            return message

        return repeat

    for phase in ("enrol", "seal", "merge", "open"):
        swarm.to_relay[phase] = again(phase)
    assert swarm.round() is not None
    assert swarm.round() is not None
    assert swarm.view().current.number == 2
    assert {phase: set(seen) for phase, seen in outcomes.items()} == {
        "enrol": {"same"},
        "seal": {"same"},  # the same bytes: a one-time key is never used twice
        "merge": {"same"},
        "open": {"same"},
    }


def test_the_parent_in_the_ledger_is_the_model_that_was_sent(bench: Callable[..., Bench]) -> None:
    """What the members pin is what they were given, not what the relay says."""
    swarm = bench(nodes=3)
    swarm.round()
    arrays = {n: a.numpy() for n, a in apps.initial_model().items()}
    assert swarm.view().current.parent == model_hash(arrays, {})
