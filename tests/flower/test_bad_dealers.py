"""A member that deals badly: the right model or none, its name, its suspension, and on it goes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from crooked import crooked, off_by_one, random_share
from flwr.app import Message, RecordDict
from hostile import only
from swarm_bench import Bench, inner, same, set_blob, set_field, twin, values

from flwr_swarm.chain.client import ChainLedger
from flwr_swarm.encryption import RoundContext, scheme
from flwr_swarm.encryption.complaint import complain
from flwr_swarm.encryption.dealing import Dealt
from flwr_swarm.encryption.parameters import DEFAULT
from flwr_swarm.flower import write
from flwr_swarm.flower.read import Fields
from flwr_swarm.flower.records import BLOBS
from flwr_swarm.flower.state import load_keys
from flwr_swarm.protocol.ledger import ProposeCall, VoteCall
from flwr_swarm.protocol.messages import Evidence, ReportRequest
from flwr_swarm.protocol.types import Change, Kind, Phase, Status

DEALER = 2
KINDS: dict[str, dict[str, Any]] = {
    "off the polynomial": {"share": random_share},
    "off by one": {"share": off_by_one(17)},
    "garbage": {"sealed": lambda sealed: os.urandom(len(sealed))},
}


class Crook:
    """What member 2 does instead of dealing honestly, while it does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.options: dict[str, Any] | None = None
        honest = scheme.deal

        def dealing(secret: np.ndarray, *, sender: int, **rest: Any) -> Any:
            if sender == DEALER and self.options is not None:
                return crooked(secret, sender=sender, **rest, **self.options)
            return honest(secret, sender=sender, **rest)

        monkeypatch.setattr(scheme, "deal", dealing)


@pytest.fixture
def crook(monkeypatch: pytest.MonkeyPatch) -> Crook:
    return Crook(monkeypatch)


def ledger_of(swarm: Bench, member: int) -> ChainLedger:
    place = swarm.swarm._relay.swarm.place
    return ChainLedger(
        url=place.chain_url,
        contract=place.contract,
        key=load_keys(swarm.context(member)).account_key,
        chain_id=place.chain_id,
    )


def proposals(swarm: Bench) -> list[Any]:
    ledger = ledger_of(swarm, 0)
    return [ledger.proposal(number) for number in range(1, ledger.proposals() + 1)]


def suspended(swarm: Bench) -> list[int]:
    return [member.index for member in swarm.view().members if member.suspended]


def said(caplog: pytest.LogCaptureFixture, part: str) -> list[str]:
    return [r.getMessage() for r in caplog.records if part in r.getMessage()]


def close(left: Any, right: Any) -> bool:
    a, b = values(left), values(right)
    return all(np.allclose(a[n], b[n], atol=1e-3) for n in a)


@pytest.mark.parametrize("kind", KINDS)
def test_with_enough_good_shares_the_round_is_right_and_the_dealer_is_out(
    bench: Callable[..., Bench], crook: Crook, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    swarm = bench()
    swarm.round()
    crook.options = {"victims": (0,), **KINDS[kind]}
    before = swarm.model
    assert swarm.round() is not None
    assert swarm.view().current.certificate.included == (0, 1, 2, 3)
    assert not same(swarm.model, before)
    assert said(caplog, "dealt shares") == [
        "round 2: member 2 dealt shares that do not open; proven by member 0's complaint"
    ]
    assert suspended(swarm) == [DEALER]
    (proposal,) = proposals(swarm)
    assert proposal.change == Change(kind=Kind.SUSPEND, policy=swarm.view().policy, seat=DEALER)
    assert proposal.supporters == (0, 1, 3)
    assert swarm.round() is not None
    assert swarm.view().current.certificate.included == (0, 1, 3)
    assert swarm.errors["seal", DEALER].startswith("MemberSuspended")


def test_the_sum_that_opens_in_spite_of_a_bad_dealer_is_the_true_one(
    tmp_path: Any, crook: Crook
) -> None:
    models = []
    for options in (None, {"victims": (1,), "share": random_share}):
        crook.options = options
        with Bench(tmp_path / str(options is None)) as swarm:
            assert swarm.round() is not None
            models.append(swarm.model)
    assert close(*models)


@pytest.mark.parametrize("kind", KINDS)
def test_with_too_few_good_shares_the_model_stays_and_the_next_round_goes_on(
    bench: Callable[..., Bench], crook: Crook, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    swarm = bench()
    first = swarm.model
    crook.options = {"victims": (1, 3), **KINDS[kind]}
    assert swarm.round() is None
    assert same(swarm.model, first)
    assert swarm.view().current.phase is Phase.CERTIFIED
    assert said(caplog, "dealt shares") == [
        "round 1: member 2 dealt shares that do not open; proven by member 1's complaint"
    ]
    assert suspended(swarm) == [DEALER]
    for _ in range(2):
        assert swarm.round() is not None
        assert swarm.view().current.certificate.included == (0, 1, 3)
    assert all(seal.verified for seal in swarm.view().current.seals)
    assert not same(swarm.model, first)


def test_a_complaining_holder_releases_nothing(bench: Callable[..., Bench], crook: Crook) -> None:
    swarm = bench()
    crook.options = {"victims": (1,), "share": random_share}
    swarm.round()
    answers = {m: Fields(a.content).open_reply() for p, m, a in swarm.answered if p == "open"}
    assert [bool(answers[m].opening) for m in range(4)] == [True, False, True, True]
    assert [len(answers[m].complaints) for m in range(4)] == [0, 1, 0, 0]
    answer = next(a for p, m, a in swarm.answered if (p, m) == ("open", 1))
    assert list(answer.content.array_records[BLOBS]) == ["complaint/0"]


def test_a_dealing_that_looks_wrong_is_left_out_before_any_merge(
    bench: Callable[..., Bench], crook: Crook
) -> None:
    swarm = bench()
    crook.options = {"proof": lambda proof: replace(proof, signature=bytes(64))}
    assert swarm.round() is not None
    assert swarm.view().current.seal_of(DEALER) is not None
    assert swarm.view().current.certificate.included == (0, 1, 3)


# --- who did nothing wrong -----------------------------------------------------------------------


def complaint_by(swarm: Bench, holder: int, dealer: int) -> tuple[bytes, Evidence]:
    """A complaint that opens an honest share, from what trip 3 brought to the holder."""
    message = swarm.messages("open", holder)[-1]
    request = Fields(message.content).open_request()
    current = swarm.view().current
    view = swarm.view()
    dealt = Dealt(
        envelope=request.envelopes[dealer],
        hashes=request.envelope_hashes[dealer],
        proof=request.proofs[dealer],
    )
    complaint = complain(
        dealt,
        context=RoundContext(
            chain_id=view.chain_id,
            contract=view.contract,
            round=current.number,
            anchor=current.parent,
        ),
        dealer=dealer,
        private_key=load_keys(swarm.context(holder)).share_key_bytes,
        parameters=DEFAULT,
    )
    evidence = Evidence(
        round=current.number,
        dealer=dealer,
        complaint=complaint,
        envelope=dealt.envelope,
        envelope_hashes=dealt.hashes,
        proof=dealt.proof,
    )
    return complaint, evidence


def test_a_lying_holder_gets_nobody_suspended(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    swarm = bench()

    def blame(holder: int, message: Message) -> Message:
        lies = [complaint_by(swarm, holder, dealer)[0] for dealer in (0, 1)]
        message.content.array_records.pop(BLOBS)
        blobs = {f"complaint/{at}": lie for at, lie in enumerate(lies)}
        fields = {"member": holder, "complaints": len(lies)}
        lying = RecordDict(write.swarm_records("open", fields, blobs))
        for name in list(lying):
            message.content[name] = lying[name]
        return message

    swarm.to_relay["open"] = only(3, blame)
    assert swarm.round() is not None
    assert suspended(swarm) == []
    assert proposals(swarm) == []
    assert said(caplog, "dealt shares") == []
    assert swarm.messages("report") == []


def reported(swarm: Bench, evidence: Evidence, member: int) -> str:
    request = ReportRequest(place=swarm.swarm._relay.swarm.place, evidence=evidence)
    return swarm.refusal(member, RecordDict(write.report_request(request)))


def test_a_hostile_relay_cannot_have_an_honest_dealer_suspended(
    bench: Callable[..., Bench],
) -> None:
    swarm = bench()
    swarm.round()
    _, evidence = complaint_by(swarm, 3, 0)
    _, other = complaint_by(swarm, 3, 1)
    forged = [
        evidence,
        replace(evidence, dealer=1),
        replace(evidence, proof=other.proof),
        replace(evidence, complaint=other.complaint),
        replace(evidence, round=2),
        replace(evidence, round=0),
    ]
    for one in forged:
        for member in (1, 2, 3):
            assert "proves nothing" in reported(swarm, one, member)
    assert proposals(swarm) == []


def test_true_evidence_serves_once_and_for_its_own_round_and_contract(
    bench: Callable[..., Bench], crook: Crook, tmp_path: Any
) -> None:
    swarm = bench()
    crook.options = {"victims": (1,), "share": random_share}
    assert swarm.round() is not None
    crook.options = None
    (message, *_) = swarm.messages("report")
    request = Fields(twin(message.content)).report_request()
    assert suspended(swarm) == [DEALER]
    # The members vote it back; the relay shows the same evidence again.
    policy = swarm.view().policy
    change = Change(kind=Kind.REINSTATE, policy=policy, seat=DEALER)
    ledger_of(swarm, 0).submit(ProposeCall(change=change))
    number = ledger_of(swarm, 0).proposals()
    for voter in (1, 3):
        ledger_of(swarm, voter).submit(VoteCall(proposal=number, support=True))
    assert suspended(swarm) == []
    count = len(proposals(swarm))
    for member in (0, 1, 3):
        assert reported(swarm, request.evidence, member) == ""
    assert len(proposals(swarm)) == count
    assert suspended(swarm) == []
    # In the next round it is evidence of the last one still, and then of none.
    assert swarm.round() is not None
    assert swarm.view().current.certificate.included == (0, 1, 2, 3)
    for member in (0, 1, 3):
        assert "proves nothing" in reported(swarm, replace(request.evidence, round=2), member)
        reported(swarm, request.evidence, member)
    assert swarm.round() is not None
    assert "proves nothing" in reported(swarm, request.evidence, 0)
    assert len(proposals(swarm)) == count
    assert suspended(swarm) == []
    with Bench(tmp_path / "other") as other:
        other.round()
        for member in (0, 1, 3):
            assert "proves nothing" in reported(other, request.evidence, member)
        assert proposals(other) == []


def test_a_bundled_change_of_policy_gets_no_honest_vote(
    bench: Callable[..., Bench], crook: Crook
) -> None:
    """Member 3 waits with a proposal that would also lower what protects everybody."""
    swarm = bench()
    assert swarm.round() is not None
    lower = replace(swarm.view().policy, witnesses=0)
    trap = Change(kind=Kind.SUSPEND, policy=lower, seat=DEALER)
    ledger_of(swarm, 3).submit(ProposeCall(change=trap))
    crook.options = {"victims": (0,), "share": random_share}
    swarm.to_member["report"] = only(3, lambda *_: None)
    swarm.round()
    first, second = proposals(swarm)
    assert (first.change, first.supporters) == (trap, (3,))
    assert second.change.policy == swarm.view().policy
    assert second.supporters == (0, 1)


# --- sites that vote by hand, or not at all ------------------------------------------------------


def test_a_site_may_keep_its_vote_to_itself(
    bench: Callable[..., Bench], crook: Crook, caplog: pytest.LogCaptureFixture
) -> None:
    swarm = bench()
    assert swarm.round() is not None
    swarm.context(0).node_config["swarm-votes"] = "manual"
    crook.options = {"victims": (0,), "share": random_share}
    assert swarm.round() is not None
    (proposal,) = proposals(swarm)
    assert (proposal.status, proposal.supporters) == (Status.OPEN, (1, 3))
    assert len(said(caplog, "votes by hand")) == 1
    assert said(caplog, "not suspended yet") == ["member 2 is not suspended yet"]
    ledger_of(swarm, 0).submit(VoteCall(proposal=1, support=True))
    assert suspended(swarm) == [DEALER]


def test_a_setting_that_nobody_knows_is_an_error_and_no_vote(
    bench: Callable[..., Bench], crook: Crook
) -> None:
    swarm = bench()
    assert swarm.round() is not None
    swarm.context(1).node_config["swarm-votes"] = "maybe"
    crook.options = {"victims": (0,), "share": random_share}
    assert swarm.round() is not None
    assert "swarm-votes" in swarm.errors["report", 1]
    assert proposals(swarm)[0].supporters == (0, 3)


@pytest.mark.parametrize("silent", [(0,), (0, 1), (1, 3)])
def test_silent_sites_delay_the_report_and_nothing_else(
    bench: Callable[..., Bench], crook: Crook, silent: tuple[int, ...]
) -> None:
    swarm = bench()
    assert swarm.round() is not None
    crook.options = {"victims": (0,), "share": random_share}
    swarm.to_member["report"] = lambda m, message: None if m in silent else message
    assert swarm.round() is not None
    (proposal,) = proposals(swarm)
    assert proposal.supporters == tuple(m for m in (0, 1, 3) if m not in silent)


def test_two_dealers_are_reported_each(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = scheme.deal

    def dealing(secret: np.ndarray, *, sender: int, **rest: Any) -> Any:
        if sender in {2, 5}:
            return crooked(secret, sender=sender, **rest, victims=(sender - 2,), share=random_share)
        return honest(secret, sender=sender, **rest)

    monkeypatch.setattr(scheme, "deal", dealing)
    swarm = bench(nodes=7, strategy=inner(7))
    assert swarm.round() is not None
    assert suspended(swarm) == [2, 5]
    assert swarm.round() is not None
    assert swarm.view().current.certificate.included == (0, 1, 3, 4, 6)


def test_a_damaged_complaint_is_dropped(
    bench: Callable[..., Bench], crook: Crook, caplog: pytest.LogCaptureFixture
) -> None:
    swarm = bench()
    crook.options = {"victims": (0,), "share": random_share}

    def damage(_: int, message: Message) -> Message:
        set_blob(message.content, "complaint/0", b"junk")
        return message

    swarm.to_relay["open"] = only(0, damage)
    assert swarm.round() is not None
    assert said(caplog, "dealt shares") == []
    assert suspended(swarm) == []

    def neither(_: int, message: Message) -> Message:
        set_field(message.content, "complaints", 0)
        return message

    swarm.to_relay["open"] = only(0, neither)
    assert swarm.round() is not None
    assert len(said(caplog, "an open reply holds")) == 1
