"""Whatever a node loses, delays or doubles: one effect on the chain, or an error by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from chain_support import key_of, policy_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from outbox_support import LIMIT, Clock, Crash, Faulty, begun, effects, virtual_time

from flwr_swarm._exceptions import ChainUnreachable, LedgerError
from flwr_swarm.chain.client import ChainLedger
from flwr_swarm.chain.deploy import deploy
from flwr_swarm.chain.outbox import Outbox, Status
from flwr_swarm.chain.sender import Sender
from flwr_swarm.protocol.ledger import AbstainCall

PLANS = st.lists(st.sampled_from(Faulty.WORDS), max_size=14)
DYING = st.lists(st.sampled_from(Faulty.WORDS + Faulty.CRASHES), max_size=14)
KEY = key_of(0)


def sender_of(node: Any, outbox: Outbox | None) -> Sender:
    return Sender(node, KEY, chain_id=77, timeout=LIMIT, outbox=outbox)


@settings(max_examples=80)
@given(plans=st.lists(PLANS, min_size=1, max_size=3))
@example(plans=[["ok", "ok", "ok", "lose answer", "stale"]])  # mined, and said to be stale
@example(plans=[["ok", "ok", "ok", "lose answer", "stale", "ok", "ok", "stale"]])
@example(plans=[["ok", "ok", "ok", "steal"]])
def test_a_send_without_an_outbox_has_one_effect_or_says_that_it_may_have(
    plans: list[list[str]],
) -> None:
    chain, contract = begun()
    with virtual_time() as clock:
        for number, plan in enumerate(plans):
            call = bytes([number])
            before, start = effects(chain, contract), clock.now
            try:
                sender_of(Faulty(chain, clock, plan, KEY), None).send(to=contract, data=call)
            except ChainUnreachable:
                assert effects(chain, contract) in (before, [*before, call])
            else:
                assert effects(chain, contract) == [*before, call]
            assert clock.now <= start + LIMIT + 1e-6


@settings(max_examples=60)
@given(plans=st.lists(DYING, min_size=1, max_size=4))
def test_with_an_outbox_a_send_repeated_until_it_returns_has_one_effect_through_every_crash(
    plans: list[list[str]],
) -> None:
    chain, contract = begun()
    with TemporaryDirectory() as folder, virtual_time() as clock:
        for plan in [*plans, []]:
            node = Faulty(chain, clock, plan, KEY)
            start = clock.now
            try:
                sender_of(node, Outbox(Path(folder) / "o")).send(to=contract, data=b"vote")
            except (ChainUnreachable, Crash):
                assert effects(chain, contract) in ([], [b"vote"])
            else:
                assert effects(chain, contract) == [b"vote"]
                break
            assert clock.now <= start + LIMIT + 1e-6
        else:
            pytest.fail("a node that answers everything did not take the call")
        outbox = Outbox(Path(folder) / "o")
        assert outbox.entries(77, KEY.address, Status.PENDING) == []
        assert [e.status for e in outbox.entries(77, KEY.address)].count(Status.MINED) == 1


@settings(max_examples=30)
@given(plan=DYING, other=st.binary(min_size=1, max_size=4))
def test_what_a_crash_left_is_settled_before_anything_new_is_sent(
    plan: list[str], other: bytes
) -> None:
    chain, contract = begun()
    with TemporaryDirectory() as folder, virtual_time() as clock:
        outbox = Outbox(Path(folder) / "o")
        try:
            sender_of(Faulty(chain, clock, plan, KEY), outbox).send(to=contract, data=b"first")
        except (LedgerError, Crash):
            open_before = [e.hash for e in outbox.entries(77, KEY.address, Status.PENDING)]
        else:
            open_before = []
        sender_of(chain, outbox).send(to=contract, data=other)
        seen = effects(chain, contract)
        assert seen[-1] == other
        assert seen[:-1] in ([], [b"first"])
        settled = {e.hash: e.status for e in outbox.entries(77, KEY.address)}
        assert all(settled[h] in {Status.MINED, Status.REPLACED} for h in open_before)
        assert Status.PENDING not in settled.values()


@pytest.mark.parametrize(
    ("act", "answers"),
    [("view", 0), ("connect", 0), *(("submit", n) for n in range(6)), ("deploy", 0), ("deploy", 5)],
)
def test_a_chain_that_dies_is_given_up_exactly_when_the_caller_said(act: str, answers: int) -> None:
    chain, _ = begun()

    class Dying:
        def __init__(self, clock: Clock) -> None:
            self.clock, self.left = clock, answers

        def request(self, method: str, params: Sequence[Any], *, timeout: float) -> Any:
            self.left -= 1
            if self.left < 0 or timeout < 0.5:
                self.clock.now += timeout
                raise ChainUnreachable("dead")
            self.clock.now += 0.5
            if method == "eth_estimateGas":
                return hex(100_000)
            return chain.request(method, params)

    with virtual_time() as clock, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChainLedger, "_check_code", lambda self, end: None)
        node = Dying(clock)
        ledger = ChainLedger(url=node, contract="0x" + "11" * 20, key=KEY, timeout=7)
        acts: dict[str, Callable[[], object]] = {
            "view": ledger.view,
            "connect": ledger.connect,
            "submit": lambda: ledger.submit(AbstainCall(round=1)),
            "deploy": lambda: deploy(node, cards=[], policy=policy_of(1), key=KEY, timeout=7),
        }
        with pytest.raises(ChainUnreachable):
            acts[act]()
        assert clock.now == pytest.approx(1007)
