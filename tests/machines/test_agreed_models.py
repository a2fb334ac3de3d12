"""A member need not see a model proven twice; it takes its own word for that very model only."""

from __future__ import annotations

from dataclasses import replace

import pytest
from machine_bends import bend
from machine_world import World
from test_each_way import SWARM, Run
from test_resumed_anywhere import asked, interrupted

from flwr_swarm._exceptions import ModelRefused
from flwr_swarm.protocol import lineage
from flwr_swarm.protocol.hashing import model_hash
from flwr_swarm.protocol.lineage import recomputed
from flwr_swarm.protocol.member import SwarmMember
from flwr_swarm.protocol.messages import ModelProof

UNOPENED = ModelProof(round=2)
UNPROVEN = (UNOPENED, ModelProof(round=1), ModelProof(), ModelProof(round=2, openings={0: b"x"}))
"""What a relay says that lost the openings of round 2, or never had them."""


def agreed() -> tuple[Run, SwarmMember, bytes]:
    """Round 2 was opened, and members train on its model in round 3; one of them, and the model."""
    run = interrupted(6, SWARM, False)
    asked(run, run.relay.act()[:1])
    return run, run.sites[0].member, model_hash(run.relay.model, run.relay.state)


def known(world: World, site: SwarmMember, offered: bytes, proof: ModelProof) -> bool:
    return recomputed(site, offered, proof, world.view(), world.terms)


@pytest.mark.parametrize("proof", UNPROVEN, ids=str)
def test_who_agreed_to_a_model_knows_it_again_without_proof(proof: ModelProof) -> None:
    run, site, model = agreed()
    assert known(run.world, site, model, proof)


@pytest.mark.parametrize("proof", UNPROVEN, ids=str)
def test_no_other_model_is_known_by_it(proof: ModelProof) -> None:
    run, site, _ = agreed()
    crafted = model_hash(run.world.crafted(run.relay.model), run.relay.state)
    with pytest.raises(ModelRefused):
        known(run.world, site, crafted, proof)


def test_a_model_of_before_the_certificate_proves_nothing() -> None:
    """Until it agrees to the next one, a member's word is about the model of the round itself."""
    run = interrupted(6, SWARM, False)
    site = run.sites[0].member
    assert site.memory.parent is not None
    with pytest.raises(ModelRefused):
        known(run.world, site, site.memory.parent.hash, UNPROVEN[-1])


def test_a_sum_that_was_merged_since_says_nothing_of_the_model() -> None:
    """As when the chain forks: the sum of another certificate is not what the model came from."""
    run, site, model = agreed()
    memory = replace(site.memory, pending=site.memory.held, held=None)
    with pytest.raises(ModelRefused):
        known(run.world, replace(site, memory=memory), model, UNOPENED)


def test_who_never_merged_the_sum_knows_nothing() -> None:
    run, site, model = agreed()
    memory = replace(site.memory, held=None)
    assert not known(run.world, replace(site, memory=memory), model, UNOPENED)


@pytest.mark.parametrize("then", [True, False], ids=["then", "now"])
def test_plaintext_rounds_leave_no_such_word(then: bool) -> None:
    """Their sums are in nobody's openings, so no member recomputed a model from them."""
    run, site, model = agreed()
    held = site.memory.held
    assert held is not None
    plain = replace(run.world.terms, encryption="none")
    if then:
        memory = replace(site.memory, held=replace(held, terms=plain))
        with pytest.raises(ModelRefused):
            known(run.world, replace(site, memory=memory), model, UNOPENED)
    else:
        assert not recomputed(site, model, UNOPENED, run.world.view(), plain)


@pytest.mark.parametrize("believes", [False, True])
def test_a_member_that_takes_any_model_on_its_word_is_found(
    believes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It agreed to the model of round 3, which came to nothing; now it is offered another."""
    run, _, _ = agreed()
    run.world.clock = run.world.deadline + 1
    asked(run, run.relay.act())
    another_model = bend(run.world, run.relay, run.relay.offers(4)[0], 0)
    if believes:
        monkeypatch.setattr(
            lineage, "_agreed", lambda site, held, offered, terms: held is site.memory.held
        )
        with pytest.raises(AssertionError, match="than the honest model"):
            run.sites[0].start(another_model)
    else:
        assert run.sites[0].start(another_model) is None
        assert run.world.reached["ModelRefused"] == 1
