"""A run of a swarm that its members founded before: seats, keys, and members that change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from flwr.app import RecordDict
from founded_support import (
    PASSWORD,
    Founded,
    forget,
    policy_for,
    terms,
    with_keystore,
)
from swarm_bench import inner, same, set_field, twin

from flwr_swarm._exceptions import ConfigurationError, NotAMember, WrongChain
from flwr_swarm.chain.outbox import Outbox, Status
from flwr_swarm.chain.signing import sign_certificate, sign_consent
from flwr_swarm.encryption import ThresholdScheme
from flwr_swarm.flower import write
from flwr_swarm.flower.read import Fields
from flwr_swarm.flower.state import save_keys
from flwr_swarm.keystore import Keystore
from flwr_swarm.keystore.keys import MemberKeys
from flwr_swarm.protocol.ledger import CertifyCall, SealCall
from flwr_swarm.protocol.payload import aggregate_hash
from flwr_swarm.protocol.types import Change, Kind, Phase
from flwr_swarm.report.verify import verify


def test_members_of_a_founded_consortium_train(
    founded: Callable[..., Founded], tmp_path: Path
) -> None:
    swarm = founded(4)
    for _ in range(3):
        assert swarm.bench.round() is not None
    view = swarm.bench.view()
    assert view.contract == swarm.contract
    assert view.current.number == 3
    swarm.bench.swarm._relay.complete_evidence(swarm.bench.model)
    assert verify(tmp_path / "evidence").models == 3


def test_training_goes_on_without_a_removed_member_and_with_a_vacant_seat(
    founded: Callable[..., Founded], tmp_path: Path
) -> None:
    swarm = founded(5)
    assert swarm.bench.round() is not None
    swarm.decide(Change(kind=Kind.REMOVE, seat=1, policy=policy_for(4)), 0, 2, 3, 4)
    for _ in range(3):
        assert swarm.bench.round() is not None
        seals = {seal.member for seal in swarm.bench.view().current.seals}
        assert seals == {0, 2, 3, 4}
    assert "not a member" in swarm.bench.errors["seal", 1]
    swarm.bench.swarm._relay.complete_evidence(swarm.bench.model)
    assert verify(tmp_path / "evidence").models == 4


def test_a_change_that_is_passed_in_mid_round_does_not_cost_the_rounds_sum(
    founded: Callable[..., Founded], tmp_path: Path
) -> None:
    """The admission rules from the certificate on, before any share of the round is opened."""
    swarm = founded(4)
    assert swarm.bench.round() is not None

    def admit_meanwhile(member: int, message: Any) -> Any:
        if member == 0:
            swarm.admit(4, 0, 1, 2, policy=policy_for(5))
            assert len(swarm.bench.view().seated) == 4
        return message

    swarm.bench.to_member["merge"] = admit_meanwhile
    assert swarm.bench.round() is not None
    del swarm.bench.to_member["merge"]
    view = swarm.bench.view()
    assert (len(view.seated), view.epoch, view.policy.threshold) == (5, 2, 4)
    # The fifth is not connected, so four seal; the committee of the round before still proves
    # the model, with as many openings as were needed then.
    assert swarm.bench.round() is not None
    swarm.bench.swarm._relay.complete_evidence(swarm.bench.model)
    assert verify(tmp_path / "evidence").models == 3


def test_a_removal_in_mid_round_voids_the_round_and_nothing_else(
    founded: Callable[..., Founded],
) -> None:
    swarm = founded(5)
    assert swarm.bench.round() is not None
    model = swarm.bench.model

    def remove_meanwhile(member: int, message: Any) -> Any:
        if swarm.bench.view().epoch == 1:
            swarm.decide(Change(kind=Kind.REMOVE, seat=1, policy=policy_for(4)), 0, 2, 3, 4)
        return message

    swarm.bench.to_member["merge"] = remove_meanwhile
    assert swarm.bench.round() is None
    assert swarm.bench.view().current.phase is Phase.VOID
    assert same(swarm.bench.model, model)
    del swarm.bench.to_member["merge"]
    assert swarm.bench.round() is not None


def test_a_suspended_member_trains_on_nothing_and_nobody_waits_for_it(
    founded: Callable[..., Founded],
) -> None:
    swarm = founded(4)
    assert swarm.bench.round() is not None
    swarm.decide(Change(kind=Kind.SUSPEND, seat=2, policy=policy_for(4)), 0, 1, 3)
    before = swarm.time.clock().now()
    assert swarm.bench.round() is not None
    assert swarm.time.clock().now() < before + 60, "sealing closed before its deadline"
    assert swarm.bench.errors["seal", 2].startswith("MemberSuspended")
    swarm.decide(Change(kind=Kind.REINSTATE, seat=2, policy=policy_for(4)), 0, 1, 3)
    assert swarm.bench.round() is not None
    assert {s.member for s in swarm.bench.view().current.seals} == {0, 1, 2, 3}


def test_other_terms_are_refused_before_anything_is_trained(
    founded: Callable[..., Founded],
) -> None:
    swarm = founded(4, clip=3.0)
    with pytest.raises(WrongChain, match="pins terms with hash"):
        swarm.bench.round()


def test_a_stranger_among_the_nodes_is_left_out(founded: Callable[..., Founded]) -> None:
    swarm = founded(5, members=4)
    save_keys(swarm.bench.context(3), MemberKeys.generate())
    assert swarm.bench.round() is not None
    assert {seal.member for seal in swarm.bench.view().current.seals} == {0, 1, 2, 4}


def test_with_too_few_members_among_the_nodes_no_run_starts(
    founded: Callable[..., Founded],
) -> None:
    swarm = founded(4)
    save_keys(swarm.bench.context(3), MemberKeys.generate())
    with pytest.raises(NotAMember, match="3 of the connected nodes are members"):
        swarm.bench.round()


def test_a_strategy_that_trains_fewer_than_the_policy_waits_for_is_refused(
    founded: Callable[..., Founded],
) -> None:
    swarm = founded(4, strategy=inner(3, fraction_train=0.5))
    with pytest.raises(ConfigurationError, match=r"trains 3 of 4 .* waits for 4"):
        swarm.bench.round()


def junk(swarm: Founded, i: int, number: int) -> None:
    """Member `i` opens a round with a model that nobody has."""
    keys, me = swarm.keys[i], swarm.ledger(i).view().members[i]
    swarm.ledger(i).submit(
        SealCall(
            round=number,
            parent=b"j" * 32,
            payload_hash=b"p" * 32,
            shares_hash=b"s" * 32,
            reveal=keys.secret(4242, swarm.contract, me.reveals),
            commitment=keys.commitment(4242, swarm.contract, me.reveals + 1),
            epsilon=0,
            verified=True,
        )
    )


def test_a_member_that_opens_rounds_with_junk_is_suspended_and_training_goes_on(
    founded: Callable[..., Founded], tmp_path: Path
) -> None:
    swarm = founded(4, max_misses=2)
    junk(swarm, 3, 1)  # before the run
    started = swarm.time.clock().now()
    assert swarm.bench.round() is None
    assert swarm.time.clock().now() < started + 60, "nobody waits for its deadline"
    assert swarm.bench.round() is not None
    junk(swarm, 3, 3)
    assert swarm.bench.round() is None
    view = swarm.bench.view()
    assert [m.misses for m in view.members] == [0, 0, 0, 2]
    assert view.members[3].suspended
    for _ in range(2):
        assert swarm.bench.round() is not None
    swarm.bench.swarm._relay.complete_evidence(swarm.bench.model)
    assert verify(tmp_path / "evidence").models == 3


def test_two_nodes_cannot_be_one_member(founded: Callable[..., Founded]) -> None:
    swarm = founded(4)
    save_keys(swarm.bench.context(3), swarm.keys[0])
    with pytest.raises(ConfigurationError, match="both enrolled as member 0"):
        swarm.bench.round()


# --- keys in a keystore --------------------------------------------------------------------------


def test_a_site_signs_with_its_keystore_and_keeps_no_key_in_flowers_state(
    founded: Callable[..., Founded], tmp_path: Path
) -> None:
    swarm = founded(4)
    store = with_keystore(swarm, 2, tmp_path)
    assert swarm.bench.round() is not None
    assert swarm.bench.view().current.seal_of(2) is not None
    assert "flwr_swarm.keys" not in swarm.bench.context(2).state
    sent = Outbox(store.outbox).entries(4242, swarm.keys[2].account, Status.MINED)
    assert len(sent) >= 1, "what the site sends lies in the outbox that its commands use"


def test_a_rotated_site_uses_the_old_keys_until_the_chain_lists_the_new(
    founded: Callable[..., Founded], tmp_path: Path
) -> None:
    swarm = founded(4)
    store = with_keystore(swarm, 2, tmp_path)
    context = swarm.bench.context(2)
    context.node_config |= {"swarm-chain": swarm.server.url, "swarm-contract": swarm.contract}
    assert swarm.bench.round() is not None
    store.rotate(PASSWORD, cost=2)
    assert swarm.bench.round() is not None
    assert swarm.bench.view().current.seal_of(2) is not None
    old = swarm.keys[2]
    swarm.keys[2] = store.unlock(store.newest, PASSWORD)
    card, expires = swarm.card(2), int(swarm.time.clock().now()) + 10**6
    consent = sign_consent(
        swarm.keys[2].account_key, 4242, swarm.contract, seat=2, card=card, expires=expires
    )
    change = Change(kind=Kind.ROTATE, seat=2, card=card, expires=expires, policy=policy_for(4))
    swarm.decide(change, 0, 1, 3, consent=consent)
    assert swarm.bench.view().members[2].account == swarm.keys[2].account != old.account
    for _ in range(2):
        assert swarm.bench.round() is not None
        assert swarm.bench.view().current.seal_of(2) is not None


def test_a_site_without_its_password_names_the_remedy(
    founded: Callable[..., Founded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swarm = founded(4)
    with_keystore(swarm, 2, tmp_path)
    del swarm.bench.context(2).node_config["swarm-password-file"]
    monkeypatch.delenv("FLWR_SWARM_PASSWORD", raising=False)
    with pytest.raises(NotAMember, match="3 of the connected nodes are members"):
        swarm.bench.round()
    assert "swarm-password-file" in swarm.bench.errors["enrol", 2]


# --- what a keystore's account did is not forgotten with the run ----------------------------------


def test_a_keystores_account_signs_no_second_certificate_in_another_run(
    founded: Callable[..., Founded], tmp_path: Path
) -> None:
    swarm = founded(4)
    with_keystore(swarm, 2, tmp_path)
    answers: list[str] = []

    def replay(_: int, message: Any) -> Any:
        if not answers:
            forget(swarm, 2)
            (asked,) = swarm.bench.messages("merge", 2)
            answers.append("")
            again = swarm.bench.refusal(2, twin(asked.content))
            forget(swarm, 2)
            other = twin(asked.content)
            set_field(other, "members", [0, 1, 2])
            answers[:] = [again, swarm.bench.refusal(2, other)]
        return message

    swarm.bench.to_member["open"] = replay
    assert swarm.bench.round() is not None
    again, other = answers
    assert again == "", "the same certificate is signed as often as it is asked for"
    assert "ProtocolError" in other
    assert f"{swarm.keys[2].account} signed in round 1, view 0" in other


def test_a_keystores_account_releases_no_second_set_in_another_run(
    founded: Callable[..., Founded], tmp_path: Path
) -> None:
    """A chain that rewrites its past, or a node that lies, shows a second certificate."""
    swarm = founded(4)
    with_keystore(swarm, 2, tmp_path)
    marks: list[Any] = []

    def mark(_: int, message: Any) -> Any:
        if not marks:
            marks.append(swarm.chain.snapshot())
        return message

    swarm.bench.to_member["open"] = mark
    assert swarm.bench.round() is not None
    swarm.chain.revert(marks[0])
    forget(swarm, 2)
    merges = Fields(swarm.bench.messages("merge")[0].content).merge_request()
    first = Fields(swarm.bench.messages("open", 2)[0].content).open_request()
    merged = ThresholdScheme().merge([merges.updates[i][1] for i in (0, 1, 2)])
    second = replace(
        first.certificate,
        included=(0, 1, 2),
        aggregate_hash=aggregate_hash(terms(), merged),
    )
    signatures = tuple(
        (i, sign_certificate(swarm.keys[i].account_key, 4242, swarm.contract, second))
        for i in range(4)
    )
    swarm.ledger(0).submit(CertifyCall(certificate=second, signatures=signatures))
    request = replace(first, certificate=second, signatures=signatures)
    refusal = swarm.bench.refusal(2, RecordDict(cast(Any, write.open_request(request))))
    assert "AlreadyOpened" in refusal
    assert "shares of round 1 were released" in refusal


# --- what a certificate enacts does not cost the sum that it certified ----------------------------


def rotated_in(swarm: Founded, i: int, store: Keystore, *, keep_account: bool) -> Change:
    """New keys in the keystore, and the change that gives them seat `i`."""
    store.rotate(PASSWORD, keep_account=keep_account, cost=2)
    swarm.keys[i] = store.unlock(store.newest, PASSWORD)
    card = swarm.card(i)
    expires = int(swarm.time.clock().now()) + 10**6
    return Change(kind=Kind.ROTATE, seat=i, card=card, expires=expires, policy=policy_for(4))


@pytest.mark.parametrize("keep_account", [True, False])
@pytest.mark.parametrize("rotated", [0, 2], ids=["who-certifies", "who-comes-after"])
def test_keys_that_are_rotated_in_mid_round_do_not_cost_the_rounds_sum(
    founded: Callable[..., Founded], tmp_path: Path, rotated: int, keep_account: bool
) -> None:
    swarm = founded(4)
    store = with_keystore(swarm, rotated, tmp_path)
    context = swarm.bench.context(rotated)
    context.node_config |= {"swarm-chain": swarm.server.url, "swarm-contract": swarm.contract}
    assert swarm.bench.round() is not None
    others = [i for i in range(4) if i != rotated]
    asked: list[int] = []

    def rotate_meanwhile(member: int, message: Any) -> Any:
        if not asked:
            asked.append(member)
            change = rotated_in(swarm, rotated, store, keep_account=keep_account)
            consent = sign_consent(
                swarm.keys[rotated].account_key,
                4242,
                swarm.contract,
                seat=rotated,
                card=change.card,
                expires=change.expires,
            )
            swarm.decide(change, *others, consent=consent)
            assert swarm.bench.view().epoch == 1
        return message

    swarm.bench.to_member["merge"] = rotate_meanwhile
    swarm.bench.to_member["open"] = lambda i, message: None if i == 3 else message
    assert swarm.bench.round() is not None
    view = swarm.bench.view()
    assert (view.epoch, view.policy.threshold) == (2, 3)
    assert view.members[rotated].encryption_key == swarm.keys[rotated].encryption_key
    swarm.bench.to_member.clear()
    assert swarm.bench.round() is not None
    assert swarm.bench.view().current.seal_of(rotated) is not None


def test_terms_that_are_changed_in_mid_round_do_not_cost_the_rounds_sum(
    founded: Callable[..., Founded],
) -> None:
    swarm = founded(4)
    assert swarm.bench.round() is not None
    new = policy_for(4, terms=terms(clip=3.0).hash(), min_included=1)

    def change_meanwhile(member: int, message: Any) -> Any:
        if member == 0:
            swarm.decide(Change(kind=Kind.POLICY, policy=new), 0, 1, 2)
        return message

    swarm.bench.to_member["merge"] = change_meanwhile
    swarm.bench.to_member["open"] = lambda i, message: None if i == 3 else message
    assert swarm.bench.round() is not None
    assert swarm.bench.view().policy == new
    del swarm.bench.to_member["merge"], swarm.bench.to_member["open"]
    (asked,) = swarm.bench.messages("seal", 0)[-1:]
    assert "WrongChain" in swarm.bench.refusal(0, twin(asked.content)), "nothing new by old terms"
