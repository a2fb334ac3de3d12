"""Bad days: a message a day late, a clock two minutes off, a full disk, a key that was revoked."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Message
from founded_support import PASSWORD, Founded, with_keystore
from swarm_bench import twin

from flwr_swarm.chain.signing import sign_consent
from flwr_swarm.keystore import Keystore
from flwr_swarm.keystore.keys import MemberKeys
from flwr_swarm.protocol.types import Change, Kind, Phase

DAY = 86_400


# --- late ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["seal", "merge", "open"])
def test_a_message_a_day_late_is_refused_by_name_and_changes_nothing(
    founded: Callable[..., Founded], phase: str
) -> None:
    swarm = founded(4)
    assert swarm.bench.round() is not None
    late = [twin(message.content) for message in swarm.bench.messages(phase)]
    assert swarm.bench.round() is not None
    swarm.time.reach(swarm.time.clock().now() + DAY)
    before = swarm.bench.view()
    for member, content in zip(range(4), late, strict=True):
        refusal = swarm.bench.refusal(member, content)
        assert refusal.startswith("StaleRound: "), refusal
        assert "round 1" in refusal
        assert "round 2 (certified)" in refusal
    assert replace(swarm.bench.view(), now=0) == replace(before, now=0)
    assert swarm.bench.round() is not None


def test_an_update_that_is_ready_a_day_late_is_in_no_sum_and_its_cost_is_on_record(
    founded: Callable[..., Founded],
) -> None:
    """The site trains past the deadline; the others went on, and it comes back."""
    swarm = founded(4)
    assert swarm.bench.round() is not None

    def slow(member: int, message: Message) -> Message | None:
        return None if member == 2 else message

    swarm.bench.to_member["seal"] = slow
    content = swarm.bench.plan()[2]
    assert swarm.bench.round() is not None
    swarm.bench.to_member.clear()
    swarm.time.reach(swarm.time.clock().now() + DAY)
    assert swarm.bench.refusal(2, content).startswith("StaleRound: ")
    assert swarm.bench.view().current.certificate.included == (0, 1, 3)
    assert swarm.bench.round() is not None
    assert swarm.bench.view().current.certificate.included == (0, 1, 2, 3)


# --- clocks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [-120.0, 120.0])
@pytest.mark.parametrize("phase", ["seal", "merge"])
def test_a_clock_two_minutes_off_costs_no_round_and_no_two_minutes(
    founded: Callable[..., Founded], skew: float, phase: str
) -> None:
    """The chain's deadlines are kept by the chain's clock, whatever the relay's shows."""
    swarm = founded(4, skew=skew)
    assert swarm.bench.round() is not None

    def drop(member: int, message: Message) -> Message | None:
        current = swarm.bench.view().current
        gone = 1 if phase == "seal" else current.succession[0]
        return None if member == gone else message

    swarm.bench.to_member[phase] = drop
    start = swarm.time.clock().now()
    assert swarm.bench.round() is not None
    assert swarm.bench.view().current.phase is Phase.CERTIFIED
    seconds = swarm.time.clock().now() - start
    assert seconds < 60 + 60 + 30, "deadlines of the policy, and a little"


# --- disks ---------------------------------------------------------------------------------------


def test_a_site_whose_disk_is_full_seals_nothing_says_so_and_the_others_go_on(
    founded: Callable[..., Founded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swarm = founded(4)
    with_keystore(swarm, 2, tmp_path)
    assert swarm.bench.round() is not None
    real, memory = os.fsync, str(Keystore(tmp_path / "keys").memory)

    def full(handle: int) -> None:
        if str(Path(f"/proc/self/fd/{handle}").readlink()).startswith(memory):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert swarm.bench.round() is not None
    assert swarm.bench.errors["seal", 2].startswith("MemoryDamaged: ")
    assert "free the disk" in swarm.bench.errors["seal", 2]
    view = swarm.bench.view()
    assert view.current.certificate.included == (0, 1, 3)
    assert view.current.abstained == (2,), "nobody waited for it"
    assert swarm.bench.round() is not None
    assert swarm.bench.view().current.certificate.included == (0, 1, 2, 3)


# --- keys ----------------------------------------------------------------------------------------


def test_a_revoked_account_is_told_so_and_the_others_go_on(
    founded: Callable[..., Founded], tmp_path: Path
) -> None:
    """The members rotate a stolen key; the site that still has the old one takes no part."""
    swarm = founded(4)
    store = with_keystore(swarm, 2, tmp_path)
    assert swarm.bench.round() is not None
    revoke(swarm, 2)
    assert swarm.bench.round() is not None
    refusal = swarm.bench.errors["seal", 2]
    assert refusal.startswith("NotAMember: ")
    assert "ask the consortium to admit it" in refusal
    assert str(store.newest.account) in refusal
    assert swarm.bench.view().current.certificate.included == (0, 1, 3)


def revoke(swarm: Founded, seat: int) -> None:
    swarm.keys[seat] = MemberKeys.generate()
    card, expires = swarm.card(seat), int(swarm.time.clock().now()) + 10**6
    consent = sign_consent(
        swarm.keys[seat].account_key, 4242, swarm.contract, seat=seat, card=card, expires=expires
    )
    policy = swarm.bench.view().policy
    change = Change(kind=Kind.ROTATE, seat=seat, card=card, expires=expires, policy=policy)
    swarm.decide(change, *(i for i in range(4) if i != seat), consent=consent)


def test_a_revoked_site_whose_keystore_holds_no_listed_key_says_which_it_holds(
    founded: Callable[..., Founded], tmp_path: Path
) -> None:
    swarm = founded(4)
    store = with_keystore(swarm, 2, tmp_path)
    context = swarm.bench.context(2)
    context.node_config |= {"swarm-chain": swarm.server.url, "swarm-contract": swarm.contract}
    assert swarm.bench.round() is not None
    store.rotate(PASSWORD, cost=2)
    revoke(swarm, 2)
    assert swarm.bench.round() is not None
    assert swarm.bench.errors["seal", 2].split(":")[0] in {"NotAMember", "KeystoreError"}
    assert swarm.bench.view().current.certificate.included == (0, 1, 3)
