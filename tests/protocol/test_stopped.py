"""A study that its members stopped: everyone refuses to train, and opens what was certified."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from progress_support import TERMS, ledger

from flwr_swarm._exceptions import StudyStopped, WrongChain
from flwr_swarm.flower.replay import replay
from flwr_swarm.protocol.member import SwarmMember
from flwr_swarm.protocol.memory import Memory
from flwr_swarm.protocol.messages import Place
from flwr_swarm.protocol.stopped import is_stopped, stopped_terms
from flwr_swarm.protocol.stopping import first_reason
from flwr_swarm.protocol.terms import Terms
from flwr_swarm.protocol.types import LedgerView, Member
from flwr_swarm.stopping import Finished, Plateau, Progress, Vote


def test_the_first_rule_with_a_reason_gives_it() -> None:
    rounds = tuple(Finished(number=n, metrics={"val-loss": 1.0}) for n in (1, 2))
    stalled = Progress(view=ledger([0] * 4), terms=TERMS, rounds=rounds)
    assert first_reason([], stalled) is None
    assert first_reason([Plateau(patience=9), Plateau(patience=1)], stalled) is not None
    stopped = replace(stalled.view.policy, terms=stopped_terms(TERMS.hash()))
    voted = replace(stalled, view=replace(stalled.view, policy=stopped, epoch=4))
    reason = first_reason([Vote(), Plateau(patience=1)], voted)
    assert reason == "the members voted to stop this study (the swarm is in epoch 4)"
    assert Vote().reason(stalled) is None


@st.composite
def other_terms(draw: Any) -> Terms:
    return Terms(
        encryption="threshold",
        members=draw(st.integers(4, 64)),
        clip=draw(st.floats(0.5, 50)),
        max_weight=draw(st.integers(1, 10**5).map(float)),
    )


@given(other_terms(), other_terms())
def test_a_stop_is_of_one_study_and_no_relay_can_name_its_terms(one: Terms, other: Terms) -> None:
    view = ledger([0] * 4, terms=stopped_terms(one.hash()))
    assert is_stopped(view, one)
    assert is_stopped(view, other) == (one == other)
    assert not is_stopped(ledger([0] * 4, terms=one.hash()), one)
    assert len({one.hash(), stopped_terms(one.hash()), stopped_terms(other.hash())}) == (
        2 if one == other else 3
    )


class Me:
    """As much of an identity as `accept` asks for."""

    def __init__(self, member: Member) -> None:
        self.account, self.encryption_key = member.account, member.encryption_key


def site(view: LedgerView, who: int, pinned: Place | None) -> SwarmMember:
    identity: Any = Me(view.members[who])
    return SwarmMember(identity=identity, memory=Memory(place=pinned), replay=replay)


def place_of(view: LedgerView, terms: Terms) -> Place:
    return Place(
        chain_url="", chain_id=view.chain_id, contract=view.contract, terms=terms.to_json()
    )


@given(other_terms(), other_terms(), st.integers(0, 3), st.booleans(), st.integers(1, 99))
def test_every_member_refuses_to_train_in_a_stopped_study_and_opens_what_it_certified(
    terms: Terms, other: Terms, who: int, knows: bool, epoch: int
) -> None:
    going = ledger([0] * 4, terms=terms.hash(), epoch=epoch)
    place = place_of(going, terms)
    member = site(going, who, place if knows else None)
    member.accept(place, going)
    stopped = replace(
        going, policy=replace(going.policy, terms=stopped_terms(terms.hash())), epoch=epoch + 1
    )
    with pytest.raises(StudyStopped, match=rf"voted to stop .* epoch {epoch + 1}\).*--restart"):
        member.accept(place, stopped)
    memory, accepted, me = member.accept(place, stopped, settling=True)
    assert (memory.place, accepted, me.index) == (place, terms, who)
    if other != terms:  # no other terms pass for those of the stopped study
        with pytest.raises(WrongChain):
            member.accept(place_of(going, other), stopped)
        with pytest.raises(WrongChain):
            member.accept(place_of(going, other), stopped, settling=True)
    member.accept(place, replace(stopped, policy=going.policy, epoch=epoch + 2))
