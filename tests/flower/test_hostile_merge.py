"""A hostile relay after sealing: altered payloads, sums, shares and certificates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from flwr.app import Message
from hostile import EVERYONE, only
from swarm_bench import (
    Bench,
    blob_of,
    flipped,
    same,
    set_blob,
    set_field,
    twin,
)

from flwr_swarm._exceptions import SwarmError
from flwr_swarm.encryption import ThresholdScheme
from flwr_swarm.flower.read import Fields
from flwr_swarm.flower.records import BLOBS, FIELDS
from flwr_swarm.flower.state import load_keys
from flwr_swarm.protocol.payload import aggregate_hash
from flwr_swarm.protocol.types import Phase

# --- trip 2 --------------------------------------------------------------------------------------


def swap_payloads(_: int, message: Message) -> Message:
    content = message.content
    first, second = blob_of(content, "payload/0"), blob_of(content, "payload/1")
    set_blob(content, "payload/0", second)
    set_blob(content, "payload/1", first)
    return message


def flip_payload(_: int, message: Message) -> Message:
    set_blob(message.content, "payload/2", flipped(blob_of(message.content, "payload/2")))
    return message


def flip_layout(_: int, message: Message) -> Message:
    set_blob(message.content, "layout/2", b'[["other_loss",0]]')
    return message


def test_payloads_swapped_between_members_are_never_merged(bench: Callable[..., Bench]) -> None:
    swarm = bench(merge_seconds=2)
    swarm.to_member["merge"] = swap_payloads
    assert swarm.round() is None
    assert {e.split(":")[0] for e in swarm.errors.values()} == {"SealMismatch"}
    assert set(swarm.errors) == {("merge", member) for member in EVERYONE}
    assert swarm.view().current.phase is Phase.VOID
    assert swarm.messages("open") == []  # nothing was opened
    swarm.to_member.clear()
    assert swarm.round() is not None


@pytest.mark.parametrize("bend", [flip_payload, flip_layout])
def test_an_altered_payload_is_left_out_and_the_rest_is_merged(
    bench: Callable[..., Bench], bend: Callable[[int, Message], Message]
) -> None:
    swarm = bench()
    swarm.to_member["merge"] = bend
    assert swarm.round() is not None
    assert swarm.view().current.certificate.included == (0, 1, 3)


def test_an_officer_who_is_shown_another_payload_agrees_with_nobody(
    bench: Callable[..., Bench],
) -> None:
    swarm = bench(merge_seconds=2)
    leader: list[int] = []

    def deceive(member: int, message: Message) -> Message:
        current = swarm.view().current
        if current.view > 0:
            return message
        leader[:] = [current.leader]
        return flip_payload(member, message) if member == current.leader else message

    swarm.to_member["merge"] = deceive
    assert swarm.round() is not None
    certificate = swarm.view().current.certificate
    assert certificate.view == 1
    assert swarm.view().current.leader not in leader
    assert certificate.included == (0, 1, 2, 3)


def other_sum(message: Message, swarm: Bench) -> bytes:
    """A well-formed sum, of other members than the certified."""
    request = Fields(swarm.messages("merge")[0].content).merge_request()
    return ThresholdScheme().merge([payload for _, payload in request.updates.values()][:2])


@pytest.mark.parametrize("signed", [False, True], ids=["sum swapped", "sum swapped and signed"])
def test_a_wrong_sum_from_the_leader_is_never_opened(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture, signed: bool
) -> None:
    """The relay alters it, or the leader itself signs it: the next leader takes over."""
    swarm = bench(merge_seconds=2)
    wrong: list[bytes] = []
    leaders: list[int] = []

    def lie(member: int, message: Message) -> Message:
        view = swarm.view()
        if view.current.view > 0 or member != view.current.leader:
            return message
        leaders.append(member)
        merged = other_sum(message, swarm)
        wrong.append(aggregate_hash(swarm.swarm._relay.swarm.terms, merged))
        set_blob(message.content, "merged", merged)
        if signed:
            keys = load_keys(swarm.context(member))
            assert keys is not None
            certificate = Fields(message.content).certificate()
            forged = replace(certificate, aggregate_hash=wrong[0])
            set_field(message.content, "aggregate_hash", wrong[0])
            signature = keys.sign(view.chain_id, view.contract, forged)
            set_field(message.content, "signature", signature)
        return message

    swarm.to_relay["merge"] = lie
    assert swarm.round() is not None
    certificate = swarm.view().current.certificate
    assert len(wrong) == 1
    assert certificate.view == 1
    assert certificate.aggregate_hash != wrong[0]
    said = [r.getMessage() for r in caplog.records]
    others = [[m for m in EVERYONE if m not in leaders], leaders]
    groups = " / ".join(map(str, sorted(others)))
    differ = f"merge of round 1: members signed different sums: {groups}; the leader is"
    assert any(line.startswith(differ) for line in said) is signed
    assert any("signed different sums" in line for line in said) is signed
    unlike = f"the sum of leader {leaders[0]} is not the one that it signed"
    assert any(unlike in line for line in said) is not signed


def test_a_leader_whose_sums_never_arrive_right_leaves_the_round_void(
    bench: Callable[..., Bench],
) -> None:
    swarm = bench(nodes=3, merge_seconds=2)

    def garble(_: int, message: Message) -> Message:
        if message.has_content() and "merged" in message.content.array_records.get(BLOBS, {}):
            set_blob(message.content, "merged", flipped(blob_of(message.content, "merged")))
        return message

    swarm.to_relay["merge"] = garble
    assert swarm.round() is None
    assert swarm.view().current.phase is Phase.VOID
    assert swarm.messages("open") == []


# --- trip 3 --------------------------------------------------------------------------------------


def flip_envelope(_: int, message: Message) -> Message:
    set_blob(message.content, "envelope/1", flipped(blob_of(message.content, "envelope/1")))
    return message


def swap_envelopes(_: int, message: Message) -> Message:
    content = message.content
    first, second = blob_of(content, "envelope/0"), blob_of(content, "envelope/1")
    set_blob(content, "envelope/0", second)
    set_blob(content, "envelope/1", first)
    return message


def drop_envelope(_: int, message: Message) -> Message:
    del message.content.array_records[BLOBS]["envelope/1"]
    return message


def flip_hashes(_: int, message: Message) -> Message:
    fields = message.content.config_records[FIELDS]
    fields["hashes/1"] = flipped(fields["hashes/1"])
    return message


def shorten_hashes(_: int, message: Message) -> Message:
    fields = message.content.config_records[FIELDS]
    fields["hashes/1"] = fields["hashes/1"][:-32]
    return message


BAD_SHARES = [flip_envelope, swap_envelopes, drop_envelope, flip_hashes, shorten_hashes]


def asked_first(
    swarm: Bench, holder: int, bends: list[Callable[[int, Message], Message]], told: list[str]
) -> Callable[[int, Message], Message]:
    """Before the honest request, every bent one; what the holder answers goes to `told`."""

    def ask(member: int, message: Message) -> Message:
        if member == holder and not told:
            before = swarm.view().current
            for bend in bends:
                bent = bend(member, Message(twin(message.content), 1000 + member, "train"))
                with pytest.raises(SwarmError) as caught:
                    swarm.grid._apps[1000 + member](bent, swarm.context(member))
                told.append(type(caught.value).__name__)
                assert swarm.view().current == before
        return message

    return ask


def test_altered_shares_are_refused_by_the_holder(bench: Callable[..., Bench]) -> None:
    swarm, told = bench(nodes=3), list[str]()
    swarm.to_member["open"] = asked_first(swarm, 2, BAD_SHARES, told)
    assert swarm.round() is not None
    assert told == ["WireError"] + ["SealMismatch"] * 4  # a flipped bit breaks its checksum


def test_a_holder_that_got_altered_shares_does_not_stop_the_others(
    bench: Callable[..., Bench],
) -> None:
    swarm = bench()
    swarm.to_member["open"] = only(3, flip_envelope)
    assert swarm.round() is not None
    assert set(swarm.errors) == {("open", 3)}


def test_altered_shares_at_all_holders_release_nothing(bench: Callable[..., Bench]) -> None:
    swarm = bench()
    first = swarm.model
    swarm.to_member["open"] = flip_envelope
    assert swarm.round() is None
    assert set(swarm.errors) == {("open", member) for member in EVERYONE}
    assert [m for p, _, m in swarm.answered if p == "open" and m.has_content()] == []
    # The round is certified but unopened: the members know, and train on the old model again.
    swarm.to_member.clear()
    assert swarm.view().current.phase is Phase.CERTIFIED
    assert swarm.round() is not None
    assert not same(swarm.model, first)
    assert all(seal.verified for seal in swarm.view().current.seals)


def drop_signatures(_: int, message: Message) -> Message:
    set_field(message.content, "signers", [])
    return message


def drop_one_signature(_: int, message: Message) -> Message:
    signers = message.content.config_records[FIELDS]["signers"]
    set_field(message.content, "signers", signers[:1])
    return message


def fewer_included(_: int, message: Message) -> Message:
    set_field(message.content, "included", [0, 1])
    return message


def another_sum(_: int, message: Message) -> Message:
    set_field(message.content, "aggregate_hash", bytes(32))
    return message


def another_view(_: int, message: Message) -> Message:
    set_field(message.content, "view", 1)
    return message


FORGED = [drop_signatures, drop_one_signature, fewer_included, another_sum, another_view]


def test_no_share_is_released_before_a_certificate_is_on_chain(
    bench: Callable[..., Bench],
) -> None:
    """The forged requests come first, when the ledger knows no certificate yet."""
    swarm, told = bench(nodes=3), list[str]()
    swarm.to_member["open"] = asked_first(swarm, 0, FORGED, told)
    assert swarm.round() is not None
    assert told == ["StaleRound"] * len(FORGED)


def test_another_certificate_than_the_ledgers_opens_nothing(bench: Callable[..., Bench]) -> None:
    swarm, told = bench(nodes=3), list[str]()
    bends = [fewer_included, another_sum, another_view]
    swarm.to_member["open"] = asked_first(swarm, 2, bends, told)
    assert swarm.round() is not None
    assert told == ["NotCertified"] * len(bends)
