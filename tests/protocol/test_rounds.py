"""Tallying, opening and releasing, on the messages of a real round that each test bends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from hypothesis import given
from hypothesis import strategies as st
from swarm_bench import Bench

from flwr_swarm._exceptions import (
    AlreadyOpened,
    NoOffice,
    NotCertified,
    OpeningRejected,
    ProtocolError,
    SealMismatch,
    ShareRefused,
    StaleRound,
)
from flwr_swarm.chain.signing import recover_certifier
from flwr_swarm.flower.read import Fields
from flwr_swarm.flower.replay import replay
from flwr_swarm.flower.state import load_keys, load_memory
from flwr_swarm.protocol.election import quorum
from flwr_swarm.protocol.member import SwarmMember
from flwr_swarm.protocol.memory import Memory
from flwr_swarm.protocol.merge import merge
from flwr_swarm.protocol.messages import MergeReply, MergeRequest, OpenReply, OpenRequest
from flwr_swarm.protocol.open import release
from flwr_swarm.protocol.relay import Merged, at_odds, conclude, tally
from flwr_swarm.protocol.terms import Terms
from flwr_swarm.protocol.types import LedgerView, Phase

MEMBERS = range(4)


@dataclass
class Scene:
    """One real round: what members got and said, and the ledger before and after the merge."""

    merging: LedgerView
    certified: LedgerView
    terms: Terms
    sites: list[SwarmMember]
    merge_requests: list[MergeRequest]
    merges: list[MergeReply]
    open_requests: list[OpenRequest]
    opens: list[OpenReply]

    def tally(self, replies: Any, view: LedgerView | None = None) -> Merged | None:
        return tally(view or self.merging, replies, self.terms, recover_certifier)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    views: list[LedgerView] = []
    with Bench(tmp_path_factory.mktemp("scene")) as bench:

        def look(_: int, message: Message) -> Message:
            views.append(bench.view())
            return message

        bench.to_member["merge"] = look
        assert bench.round() is not None

        def read(kind: str, messages: list[tuple[str, int, Message]], phase: str) -> list[Any]:
            return [getattr(Fields(m.content), kind)() for p, _, m in messages if p == phase]

        keys = [load_keys(bench.context(member)) for member in MEMBERS]
        yield Scene(
            merging=views[0],
            certified=bench.view(),
            terms=bench.swarm._relay.swarm.terms,
            sites=[
                SwarmMember(identity=k, memory=load_memory(bench.context(m)), replay=replay)
                for m, k in zip(MEMBERS, keys, strict=True)
            ],
            merge_requests=read("merge_request", bench.sent, "merge"),
            merges=read("merge_reply", bench.answered, "merge"),
            open_requests=read("open_request", bench.sent, "open"),
            opens=read("open_reply", bench.answered, "open"),
        )


def fresh(site: SwarmMember, **changes: Any) -> SwarmMember:
    return replace(site, memory=replace(site.memory, **changes))


# --- tally ---------------------------------------------------------------------------------------


def test_a_certificate_needs_the_leader_and_a_quorum(scene: Scene) -> None:
    leader = scene.merging.current.leader
    for size in range(5):
        for chosen in combinations(scene.merges, size):
            present = {reply.member for reply in chosen}
            merged = scene.tally(chosen)
            if leader in present and len(present) >= quorum(4) == 3:
                assert merged is not None
                assert {member for member, _ in merged.signatures} == present
            else:
                assert merged is None


@given(at=st.integers(0, 64), mask=st.integers(1, 255), who=st.integers(0, 3))
def test_a_bad_signature_is_dropped_and_harms_no_other(
    scene: Scene, at: int, mask: int, who: int
) -> None:
    changed = bytearray(scene.merges[who].signature)
    changed[at] ^= mask
    bad = replace(scene.merges[who], signature=bytes(changed))
    replies = [bad if i == who else reply for i, reply in enumerate(scene.merges)]
    merged = scene.tally(replies)
    if bad.member == scene.merging.current.leader:
        assert merged is None
    else:
        assert merged is not None
        assert bad.member not in dict(merged.signatures)


def test_a_signature_counts_for_its_signer_only(scene: Scene) -> None:
    by = {reply.member: reply for reply in scene.merges}
    leader = scene.merging.current.leader
    others = [member for member in MEMBERS if member != leader]
    for thief in others:
        stolen = replace(by[leader], member=thief, merged=b"")
        assert scene.tally([by[leader], by[others[0]], stolen]) is None or thief == others[0]
    assert scene.tally([by[leader]] * 4) is None  # one vote, however often it is cast


def test_who_has_no_office_adds_nothing(scene: Scene) -> None:
    current = scene.merging.current
    outsider = next(m for m in MEMBERS if m != current.leader)
    committee = tuple(m for m in current.committee if m != outsider)
    view = replace(scene.merging, current=replace(current, committee=committee))
    merged = scene.tally(scene.merges, view)
    assert merged is not None
    assert {member for member, _ in merged.signatures} == set(committee)


@pytest.mark.parametrize("change", [{"view": 1}, {"round": 2}, {"included": (0, 1, 2)}])
def test_votes_for_another_statement_do_not_count(scene: Scene, change: dict[str, Any]) -> None:
    altered = [
        replace(reply, certificate=replace(reply.certificate, **change)) for reply in scene.merges
    ]
    assert scene.tally(altered) is None


def test_a_sum_that_is_not_the_signed_one_is_no_result(scene: Scene) -> None:
    leader = scene.merging.current.leader
    for wrong in (b"", b"x", scene.open_requests[0].envelopes[0]):
        replies = [replace(r, merged=wrong) if r.member == leader else r for r in scene.merges]
        assert scene.tally(replies) is None


# --- merge and release ---------------------------------------------------------------------------


def test_merging_again_gives_the_same_reply_and_another_set_is_not_signed(scene: Scene) -> None:
    site, request = scene.sites[1], scene.merge_requests[1]
    memory, reply = merge(site, request, scene.merging)
    assert reply == next(r for r in scene.merges if r.member == 1)
    assert memory.signed == site.memory.signed
    fewer = replace(request, updates={m: u for m, u in request.updates.items() if m != 3})
    with pytest.raises(ProtocolError, match="already signed another merge"):
        merge(site, fewer, scene.merging)
    merge(fresh(site, signed={}), fewer, scene.merging)  # it is the memory that refuses


def test_who_has_no_office_merges_nothing(scene: Scene) -> None:
    current = scene.merging.current
    outsider = next(m for m in MEMBERS if m != current.leader)
    committee = tuple(m for m in current.committee if m != outsider)
    view = replace(scene.merging, current=replace(current, committee=committee))
    with pytest.raises(NoOffice):
        merge(scene.sites[outsider], scene.merge_requests[0], view)


def test_too_few_matching_payloads_are_not_merged(scene: Scene) -> None:
    request = scene.merge_requests[0]
    two = replace(request, updates={m: request.updates[m] for m in (0, 1)})
    with pytest.raises(SealMismatch, match="2 of 4 payloads match"):
        merge(scene.sites[1], two, scene.merging)


@pytest.fixture(params=MEMBERS)
def member(request: pytest.FixtureRequest) -> int:
    return request.param


def test_a_release_repeats_itself_and_never_serves_another_set(scene: Scene, member: int) -> None:
    """Even if the ledger itself lied, shares for two sets would never leave one honest site."""
    site, request = scene.sites[member], scene.open_requests[member]
    memory, reply = release(site, request, scene.certified)
    assert reply == scene.opens[member]
    assert memory.opened == site.memory.opened
    other = replace(request.certificate, included=(0, 1, 2))
    lying = replace(scene.certified, current=replace(scene.certified.current, certificate=other))
    with pytest.raises(AlreadyOpened):
        release(site, replace(request, certificate=other), lying)
    # Without that memory the lying ledger would be believed: what is tested is the memory.
    _, leaked = release(fresh(site, opened={}), replace(request, certificate=other), lying)
    assert leaked != reply


def test_nothing_is_released_for_another_certificate_than_the_ledgers(scene: Scene) -> None:
    site, request = fresh(scene.sites[0], opened={}), scene.open_requests[0]
    for change in ({"included": (0, 1, 2)}, {"aggregate_hash": bytes(32)}, {"view": 1}):
        forged = replace(request, certificate=replace(request.certificate, **change))
        with pytest.raises(NotCertified):
            release(site, forged, scene.certified)
    for view in (scene.merging, replace(scene.merging, current=replace(
        scene.merging.current, phase=Phase.VOID))):  # fmt: skip
        with pytest.raises(StaleRound):
            release(site, request, view)
    unsaid = replace(scene.certified.current, certificate=None)
    with pytest.raises(NotCertified):
        release(site, request, replace(scene.certified, current=unsaid))


def test_a_share_of_another_holder_sender_or_round_is_not_used(scene: Scene) -> None:
    site, request = fresh(scene.sites[0], opened={}), scene.open_requests[0]
    others = [
        (ShareRefused, {**request.envelopes, 1: scene.open_requests[2].envelopes[1]}),
        (SealMismatch, {**request.envelopes, 1: request.envelopes[2]}),
        (SealMismatch, {m: e for m, e in request.envelopes.items() if m != 1}),
    ]
    for error, envelopes in others:
        with pytest.raises(error):
            release(site, replace(request, envelopes=envelopes), scene.certified)


# --- conclude ------------------------------------------------------------------------------------


def merged_of(scene: Scene) -> Merged:
    merged = scene.tally(scene.merges)
    assert merged is not None
    return merged


def test_any_t_openings_give_the_same_sum_and_fewer_give_none(scene: Scene) -> None:
    assert scene.certified.policy.threshold == 3
    sums = []
    for size in range(5):
        for chosen in combinations(scene.opens, size):
            if size >= 3:
                opened = conclude(scene.certified, merged_of(scene), chosen, scene.terms)
                assert len(opened.openings) == 3
                sums.append(opened.lanes)
            else:
                with pytest.raises(OpeningRejected, match="3 are needed"):
                    conclude(scene.certified, merged_of(scene), chosen, scene.terms)
    assert len(sums) == 5
    assert all(np.array_equal(lanes, sums[0]) for lanes in sums)


def false_openings(scene: Scene, liar: int) -> Iterator[bytes]:
    """What a faulty holder may answer: garbage, another's opening, that of another set."""
    yield b"garbage"
    yield scene.opens[(liar + 1) % 4].opening
    request = scene.open_requests[liar]
    other = replace(request.certificate, included=(0, 1, 2))
    lying = replace(scene.certified, current=replace(scene.certified.current, certificate=other))
    site = fresh(scene.sites[liar], opened={})
    yield release(site, replace(request, certificate=other), lying)[1].opening


@pytest.mark.parametrize("liar", MEMBERS)
def test_one_faulty_holder_is_tolerated_and_the_sum_is_right(scene: Scene, liar: int) -> None:
    honest = conclude(scene.certified, merged_of(scene), scene.opens, scene.terms).lanes
    for false in false_openings(scene, liar):
        replies = [replace(r, opening=false) if r.member == liar else r for r in scene.opens]
        opened = conclude(scene.certified, merged_of(scene), replies, scene.terms)
        assert np.array_equal(opened.lanes, honest)
        assert liar not in opened.openings
        tried = liar < 3  # the lowest three are tried first; a fourth is not needed
        assert opened.false == ((liar,) if tried else ())


@given(
    liars=st.sets(st.integers(0, 6), max_size=3),
    order=st.permutations(list(combinations(range(7), 4))),
)
def test_no_honest_holder_is_said_to_be_at_odds(
    liars: set[int], order: list[tuple[int, ...]]
) -> None:
    failed: list[set[int]] = []
    for subset in order:
        if liars.isdisjoint(subset):
            among_agreeing = {m for m in liars if any(f - {m} <= {*subset} for f in failed)}
            assert set(at_odds(failed, subset)) == among_agreeing
            return
        failed.append(set(subset))


def test_two_faulty_holders_of_four_leave_the_sum_sealed(scene: Scene) -> None:
    replies = [
        replace(r, opening=list(false_openings(scene, r.member))[2]) if r.member < 2 else r
        for r in scene.opens
    ]
    with pytest.raises(OpeningRejected, match="no 3 of the 4 openings open the sum"):
        conclude(scene.certified, merged_of(scene), replies, scene.terms)


def test_a_member_forgets_nothing_it_said(scene: Scene) -> None:
    for member, site in zip(MEMBERS, scene.sites, strict=True):
        assert site.memory != Memory()
        assert list(site.memory.signed) == [(1, 0)]
        assert list(site.memory.opened) == [1]
        assert site.memory.pending is None, member  # certified, and opened
        assert site.memory.held.included == (0, 1, 2, 3), member
