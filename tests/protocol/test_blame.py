"""Blame: what the ledger alone proves, what it does not, and the vote that follows."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import pytest
from crooked import crooked, random_share
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm.encryption import (
    Dealt,
    RoundContext,
    ThresholdScheme,
    envelope_hash,
    generate_encryption_key,
    shares_hash,
)
from flwr_swarm.encryption.complaint import complain
from flwr_swarm.encryption.dealing import deal
from flwr_swarm.encryption.dealing_wire import Complaint, read_proof, write_complaint
from flwr_swarm.encryption.parameters import DEFAULT
from flwr_swarm.encryption.randomness import uniform
from flwr_swarm.protocol.blame import complainer, evidence_from, vote_on
from flwr_swarm.protocol.ledger import ProposeCall, VoteCall
from flwr_swarm.protocol.messages import Evidence, OpenReply, SealReply
from flwr_swarm.protocol.relay import accepted_seals
from flwr_swarm.protocol.types import (
    ZERO_ACCOUNT,
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

MEMBERS = range(4)
DEALER, VICTIMS = 2, (0, 1)
PARENT = b"m" * 32
CONTRACT = "0x" + "5a" * 20
POLICY = Policy(threshold=3, min_included=3, witnesses=0, close_at=4, seal_seconds=100)
OPENED = 1_000_000


@dataclass
class Scene:
    """A certified round 7 in which member 2 dealt badly to members 0 and 1."""

    keys: list[tuple[bytes, bytes]]
    seals: dict[int, SealReply]
    view: LedgerView

    def dealt(self, dealer: int, holder: int) -> Dealt:
        seal = self.seals[dealer]
        return Dealt(
            envelope=seal.envelopes[holder],
            hashes=tuple(envelope_hash(e) for e in seal.envelopes),
            proof=seal.proof,
        )

    def replies(self, *holders: int) -> list[OpenReply]:
        return [
            OpenReply(
                member=holder,
                complaints=tuple(
                    ThresholdScheme()
                    .complaints(
                        {dealer: self.dealt(dealer, holder) for dealer in MEMBERS},
                        context=context(),
                        receiver=holder,
                        private_keys=[self.keys[holder][0]],
                        pinned=self.keys[holder][1],
                    )
                    .values()
                ),
            )
            for holder in holders
        ]

    def told(self, dealer: int, holder: int, **changes: Any) -> bytes:
        """A complaint that an honest holder would not make."""
        options = {"context": context(), "dealer": dealer, "private_key": self.keys[holder][0]}
        return complain(self.dealt(dealer, holder), parameters=DEFAULT, **(options | changes))

    def evidence(self, dealer: int, holder: int, complaint: bytes | None = None) -> Evidence:
        dealt = self.dealt(dealer, holder)
        return Evidence(
            round=7,
            dealer=dealer,
            complaint=self.told(dealer, holder) if complaint is None else complaint,
            envelope=dealt.envelope,
            envelope_hashes=dealt.hashes,
            proof=dealt.proof,
        )


def context(**changes: Any) -> RoundContext:
    fields = {"chain_id": 1337, "contract": CONTRACT, "round": 7, "anchor": PARENT}
    return RoundContext(**(fields | changes))


def build(number: int = 7) -> Scene:
    keys = [generate_encryption_key(os.urandom) for _ in MEMBERS]
    seals, fixed = {}, []
    for sender in MEMBERS:
        options: dict[str, Any] = {}
        if sender == DEALER:
            options = {"victims": VICTIMS, "share": random_share}
        envelopes, proof = (crooked if options else deal)(
            uniform(os.urandom, 4096),
            context=context(round=number),
            sender=sender,
            holders=[public for _, public in keys],
            threshold=3,
            random=os.urandom,
            parameters=DEFAULT,
            **options,
        )
        seals[sender] = SealReply(
            round=number, member=sender, layout=b"", payload=b"", envelopes=envelopes, proof=proof
        )
        fixed.append(
            Seal(
                member=sender,
                parent=PARENT,
                payload_hash=b"p" * 32,
                shares_hash=shares_hash([envelope_hash(e) for e in envelopes], proof),
                epsilon=0,
                verified=False,
            )
        )
    members = tuple(
        Member(
            index=i, account="0x" + f"{i + 1:040x}", encryption_key=keys[i][1], commitment=bytes(32)
        )
        for i in MEMBERS
    )
    current = Round(
        number=number,
        phase=Phase.CERTIFIED,
        parent=PARENT,
        seal_deadline=OPENED + POLICY.seal_seconds,
        seals=tuple(fixed),
    )
    view = LedgerView(
        chain_id=1337,
        contract=CONTRACT,
        now=OPENED + 50,
        policy=POLICY,
        members=members,
        current=current,
        final=None,
        epoch=3,
    )
    return Scene(keys=keys, seals=seals, view=view)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return build()


# --- evidence ------------------------------------------------------------------------------------


def test_a_bad_dealer_is_named_once_however_many_complain(scene: Scene) -> None:
    found = evidence_from(scene.view, scene.seals, scene.replies(*MEMBERS))
    assert [(e.round, e.dealer) for e in found] == [(7, DEALER)]
    assert complainer(scene.view, found[0]) == 0
    alone = evidence_from(scene.view, scene.seals, scene.replies(1))
    assert complainer(scene.view, alone[0]) == 1
    assert evidence_from(scene.view, scene.seals, scene.replies(2, 3)) == ()


def test_lying_holders_get_nobody_blamed(scene: Scene) -> None:
    """Each opens its own share from each honest dealer, or says it need not."""
    for holder in MEMBERS:
        for dealer in MEMBERS:
            if dealer == DEALER and holder in VICTIMS:
                continue
            claims = [
                scene.told(dealer, holder),
                scene.told(dealer, holder, private_key=scene.keys[(holder + 1) % 4][0]),
                write_complaint(
                    Complaint(
                        dealer=dealer, holder=holder, context=context().digest(), revealed=None
                    ),
                    DEFAULT,
                ),
                b"junk",
            ]
            reply = OpenReply(member=holder, complaints=tuple(claims))
            assert evidence_from(scene.view, scene.seals, [reply]) == ()
            for claim in claims:
                assert complainer(scene.view, scene.evidence(dealer, holder, claim)) is None


def test_a_complaint_is_taken_from_its_own_holder_only(scene: Scene) -> None:
    (honest,) = scene.replies(0)
    for thief in (1, 2, 3):
        stolen = replace(honest, member=thief)
        assert evidence_from(scene.view, scene.seals, [stolen]) == ()


def test_false_complaints_do_not_hide_a_true_one(scene: Scene) -> None:
    junk = OpenReply(member=3, complaints=(b"x", scene.told(DEALER, 3), scene.told(0, 3)))
    found = evidence_from(scene.view, scene.seals, [junk, *scene.replies(1)])
    assert [complainer(scene.view, e) for e in found] == [1]


# --- a hostile relay -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proven(scene: Scene) -> Evidence:
    evidence = scene.evidence(DEALER, 0)
    assert complainer(scene.view, evidence) == 0
    return evidence


@settings(max_examples=40)
@given(st.data())
def test_evidence_with_any_bit_turned_proves_nothing(
    scene: Scene, proven: Evidence, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(["complaint", "envelope", "proof", "hashes"]))
    if name == "hashes":
        hashes = [bytearray(h) for h in proven.envelope_hashes]
        hashes[data.draw(st.integers(0, 3))][data.draw(st.integers(0, 31))] ^= 1
        changed = replace(proven, envelope_hashes=tuple(bytes(h) for h in hashes))
    else:
        raw = bytearray(getattr(proven, name))
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        changed = replace(proven, **{name: bytes(raw)})
    assert complainer(scene.view, changed) is None


def test_parts_of_other_dealings_prove_nothing(scene: Scene, proven: Evidence) -> None:
    """A proof that is not of these envelopes would look like a visible fault."""
    other = scene.evidence(1, 0)
    for part in ("complaint", "envelope", "envelope_hashes", "proof"):
        assert complainer(scene.view, replace(proven, **{part: getattr(other, part)})) is None
        assert complainer(scene.view, replace(other, **{part: getattr(proven, part)})) is None
    assert complainer(scene.view, replace(proven, dealer=1)) is None
    assert complainer(scene.view, replace(proven, dealer=255)) is None
    assert complainer(scene.view, replace(proven, envelope_hashes=())) is None
    assert complainer(scene.view, replace(proven, proof=b"")) is None
    assert complainer(scene.view, replace(other, complaint=scene.told(DEALER, 0))) is None


def test_who_copies_a_bad_dealing_is_not_blamed_for_its_author(
    scene: Scene, proven: Evidence
) -> None:
    """The relay leaves such a seal out; a complaint names the dealer that it is about."""
    seals = list(scene.view.current.seals)
    seals[1] = replace(seals[1], shares_hash=seals[DEALER].shares_hash)
    copied = replace(scene.view, current=replace(scene.view.current, seals=tuple(seals)))
    assert complainer(copied, proven) == 0
    assert complainer(copied, replace(proven, dealer=1)) is None


def test_evidence_of_another_round_contract_or_chain_proves_nothing(
    scene: Scene, proven: Evidence
) -> None:
    view, current = scene.view, scene.view.current
    others = [
        replace(view, contract="0x" + "5b" * 20),
        replace(view, chain_id=1),
        replace(view, current=replace(current, parent=b"n" * 32)),
        replace(view, current=replace(current, number=8)),
        replace(view, current=replace(current, seals=build().view.current.seals)),
        replace(view, current=replace(current, seals=())),
    ]
    assert all(complainer(other, proven) is None for other in others)
    assert complainer(view, replace(proven, round=8)) is None
    # Replayed as evidence of the next round, whose number the relay writes into it.
    next_round = replace(view, current=replace(current, number=8))
    assert complainer(next_round, replace(proven, round=8)) is None


def test_evidence_stays_good_while_the_ledger_knows_the_round(
    scene: Scene, proven: Evidence
) -> None:
    fresh = Round(number=8, phase=Phase.SEALING)
    later = replace(scene.view, current=fresh, final=scene.view.current)
    assert complainer(later, proven) == 0
    assert complainer(replace(later, final=None), proven) is None


def test_nobody_answers_for_who_had_the_seat_before(scene: Scene, proven: Evidence) -> None:
    def with_member(index: int, **changes: Any) -> LedgerView:
        members = list(scene.view.members)
        members[index] = replace(members[index], **changes)
        return replace(scene.view, members=tuple(members))

    assert complainer(with_member(DEALER, since=7), proven) == 0
    assert complainer(with_member(DEALER, since=8), proven) is None
    assert complainer(with_member(DEALER, account=ZERO_ACCOUNT), proven) is None
    assert complainer(with_member(0, since=8), proven) is None
    assert complainer(with_member(0, account=ZERO_ACCOUNT), proven) is None


def test_a_holder_that_rotates_its_key_in_the_round_gets_nobody_blamed(scene: Scene) -> None:
    """What was sealed to the old key does not open under the new one; that proves nothing."""
    private, public = generate_encryption_key(os.urandom)
    members = list(scene.view.members)
    members[3] = replace(members[3], encryption_key=public)
    rotated = replace(scene.view, members=tuple(members))
    for key in (private, scene.keys[3][0]):
        for dealer in (0, 1, DEALER):
            complaint = scene.told(dealer, 3, private_key=key)
            assert complainer(rotated, scene.evidence(dealer, 3, complaint)) is None


# --- what the relay accepts ----------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["proof", "threshold", "key", "none"])
def test_a_dealing_that_looks_wrong_is_left_out_of_the_sum(
    scene: Scene, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flwr_swarm.protocol import relay
    from flwr_swarm.protocol.terms import Terms

    monkeypatch.setattr(relay, "payload_hash", lambda *_: b"p" * 32)  # not about payloads
    terms = Terms(encryption="threshold", members=4, max_weight=100.0)
    merging = replace(scene.view.current, phase=Phase.MERGING)
    view, reply = replace(scene.view, current=merging), scene.seals[0]
    assert sorted(accepted_seals(view, scene.seals.values(), terms)) == list(MEMBERS)
    if fault == "proof":
        reply = replace(reply, proof=scene.seals[1].proof)
    elif fault == "none":
        reply = replace(reply, proof=b"")
    elif fault == "threshold":
        view = replace(view, policy=replace(POLICY, threshold=4))
    else:
        members = list(view.members)
        members[3] = replace(members[3], encryption_key=os.urandom(32))
        view = replace(view, members=tuple(members))
    hashes = [envelope_hash(e) for e in reply.envelopes]
    seals = list(view.current.seals)
    seals[0] = replace(seals[0], shares_hash=shares_hash(hashes, reply.proof))
    view = replace(view, current=replace(view.current, seals=tuple(seals)))
    assert 0 not in accepted_seals(view, [reply], terms)
    assert read_proof(scene.seals[0].proof, DEFAULT).threshold == 3


# --- the vote ------------------------------------------------------------------------------------

SUSPEND = Change(kind=Kind.SUSPEND, policy=POLICY, seat=DEALER)


def proposal(number: int = 1, **changes: Any) -> Proposal:
    fields: dict[str, Any] = {
        "id": number,
        "epoch": 3,
        "proposer": 0,
        "status": Status.OPEN,
        "closes": OPENED + 10 + POLICY.vote_seconds,
        "supporters": (0,),
        "opponents": (),
        "change": SUSPEND,
    }
    return Proposal(**(fields | changes))


def test_the_first_proposes_and_the_others_vote_once(scene: Scene, proven: Evidence) -> None:
    assert vote_on(scene.view, proven, [], 0) == ProposeCall(change=SUSPEND)
    assert vote_on(scene.view, proven, [proposal()], 1) == VoteCall(proposal=1, support=True)
    assert vote_on(scene.view, proven, [proposal()], 0) is None
    assert vote_on(scene.view, proven, [proposal(opponents=(1,))], 1) is None


def test_votes_gather_on_one_proposal(scene: Scene, proven: Evidence) -> None:
    two = [proposal(2, proposer=1, supporters=(1,)), proposal(1)]
    assert vote_on(scene.view, proven, two, 3) == VoteCall(proposal=1, support=True)
    two[0] = replace(two[0], supporters=(1, 3))
    assert vote_on(scene.view, proven, two, 0) == VoteCall(proposal=2, support=True)


def test_no_vote_goes_to_a_proposal_that_would_change_anything_else(
    scene: Scene, proven: Evidence
) -> None:
    """Suspension may be bundled with a policy: a hostile member waits for honest votes on it."""
    trap = replace(SUSPEND, policy=replace(POLICY, threshold=2))
    others = [
        proposal(1, change=trap, supporters=(0, 3)),
        proposal(2, change=replace(SUSPEND, kind=Kind.REMOVE)),
        proposal(3, change=replace(SUSPEND, seat=1)),
        proposal(4, epoch=2),
        proposal(5, status=Status.WITHDRAWN),
        proposal(6, closes=scene.view.now - 1),
    ]
    assert vote_on(scene.view, proven, others, 1) == ProposeCall(change=SUSPEND)


def test_a_dealer_that_is_suspended_or_voted_back_is_left_alone(
    scene: Scene, proven: Evidence
) -> None:
    members = list(scene.view.members)
    members[DEALER] = replace(members[DEALER], suspended=True)
    suspended = replace(scene.view, members=tuple(members))
    assert vote_on(suspended, proven, [proposal()], 1) is None
    assert vote_on(replace(scene.view, pending=4), proven, [proposal()], 1) is None
    assert vote_on(scene.view, proven, [], DEALER) is None
    # Replayed after the members voted it back: they have heard of this already.
    past = [
        proposal(1, epoch=1, status=Status.ENACTED),
        proposal(2, epoch=2, status=Status.ENACTED, change=replace(SUSPEND, kind=Kind.REINSTATE)),
    ]
    assert vote_on(scene.view, proven, past, 1) is None
    assert vote_on(scene.view, proven, past[:1], 1) is None
    assert vote_on(scene.view, proven, [proposal(status=Status.REJECTED)], 1) is None
    # What was decided before the round says nothing about it.
    early = [replace(p, closes=OPENED - 1 + POLICY.vote_seconds) for p in past]
    assert vote_on(scene.view, proven, early, 1) == ProposeCall(change=SUSPEND)
