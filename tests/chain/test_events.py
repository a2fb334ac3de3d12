"""The table of events: every event once, through crashes, lost answers, and other chains."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from chain_support import Swarm, digest, frozen_chain
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import (
    ChainReorganised,
    ChainUnreachable,
    ConfigurationError,
    NodeBehind,
    TransactionRefused,
    WrongChain,
)
from flwr_swarm.chain import events as events_module
from flwr_swarm.chain.codec import decode_event
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.events import EventStore, Logged
from flwr_swarm.chain.jsonrpc import RpcError


def grown(chain: EmbeddedChain) -> Swarm:
    """A swarm's certified round and the next one's first seal."""
    swarm = Swarm(chain, 3)
    swarm.whole_round(1)
    swarm.seal(0, 2)
    return swarm


@pytest.fixture(scope="module")
def swarm() -> Swarm:
    return grown(frozen_chain())


def raw_events(swarm: Swarm) -> list[tuple[int, int, str]]:
    wanted = {"address": swarm.contract, "fromBlock": "0x0", "toBlock": "latest"}
    return [
        (
            int(log["blockNumber"], 16),
            int(log["logIndex"], 16),
            decode_event(
                [bytes.fromhex(t[2:]) for t in log["topics"]], bytes.fromhex(log["data"][2:])
            )[0],
        )
        for log in swarm.chain.request("eth_getLogs", [wanted])
    ]


def store(path: Path, node: Any, swarm: Swarm, **options: Any) -> EventStore:
    return EventStore(path=path, url=node, contract=swarm.contract, timeout=0.001, **options)


def places(found: list[Logged]) -> list[tuple[int, int, str]]:
    return [(e.block, e.index, e.name) for e in found]


def test_every_event_is_read_with_its_fields_as_json(swarm: Swarm, tmp_path: Path) -> None:
    events = store(tmp_path / "e", swarm.chain, swarm, chain_id=swarm.chain.chain_id)
    assert events.block is None
    assert events.sync() == len(raw_events(swarm)) > 4
    assert places(events.events()) == raw_events(swarm)
    sealed = [e for e in events.events() if digest("payload", 1, 2).hex() in str(e.fields)]
    assert len(sealed) == 1
    assert f"0x{digest('payload', 1, 2).hex()}" in sealed[0].fields.values()
    assert events.events(sealed[0].name) == [e for e in events.events() if e.name == sealed[0].name]
    assert events.events("NoSuchEvent") == []
    assert events.sync() == 0
    assert events.block == int(swarm.chain.request("eth_blockNumber", []), 16)


class Crash(BaseException):
    """The process dies here."""


class Failing:
    """A node, and a disk, that fail at the steps they are told to."""

    def __init__(self, chain: EmbeddedChain, plan: list[str]) -> None:
        self.chain, self.plan = chain, plan

    def request(self, method: str, params: Sequence[Any], *, timeout: float | None = None) -> Any:
        word = self.plan.pop(0) if self.plan else "ok"
        if word == "lose":
            raise ChainUnreachable("lost")
        if word == "crash":
            raise Crash
        if word == "too wide" and method == "eth_getLogs":
            raise RpcError(-32005, "query returned more than 10000 results")
        return self.chain.request(method, params)


@settings(max_examples=25)
@given(
    plans=st.lists(
        st.lists(st.sampled_from(["ok", "lose", "crash", "too wide"]), max_size=12), max_size=4
    ),
    span=st.integers(1, 5),
    more=st.integers(0, 2),
)
def test_whatever_interrupts_it_every_event_is_there_once(
    swarm: Swarm, plans: list[list[str]], span: int, more: int
) -> None:
    chain = swarm.chain
    mark = chain.snapshot()
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(events_module, "BLOCKS_AT_ONCE", span)
        try:
            for number, plan in enumerate(plans):
                with suppress(ChainUnreachable, Crash, TransactionRefused):
                    store(Path(folder) / "e", Failing(chain, plan), swarm).sync()
                seen = places(store(Path(folder) / "e", chain, swarm).events())
                assert seen == raw_events(swarm)[: len(seen)]
                if number < more:
                    swarm.seal(number + 1, 2)
            last = store(Path(folder) / "e", chain, swarm)
            last.sync()
            assert places(last.events()) == raw_events(swarm)
        finally:
            if more:
                chain.revert(mark)


def test_a_crash_between_events_and_cursor_leaves_neither(swarm: Swarm, tmp_path: Path) -> None:
    events = store(tmp_path / "e", swarm.chain, swarm)
    with sqlite3.connect(tmp_path / "e") as database:
        database.execute(
            "CREATE TRIGGER t BEFORE INSERT ON cursor BEGIN SELECT raise(FAIL, 'dies'); END"
        )
    database.close()
    with pytest.raises(sqlite3.IntegrityError, match="dies"):
        events.sync()
    assert events.events() == []
    with sqlite3.connect(tmp_path / "e") as database:
        database.execute("DROP TRIGGER t")
    database.close()
    events.sync()
    assert places(events.events()) == raw_events(swarm)


def test_two_readers_of_one_file_double_nothing(swarm: Swarm, tmp_path: Path) -> None:
    other = store(tmp_path / "e", swarm.chain, swarm)

    class Overtaken(Failing):
        def request(
            self, method: str, params: Sequence[Any], *, timeout: float | None = None
        ) -> Any:
            answer = super().request(method, params, timeout=timeout)
            if method == "eth_getLogs":
                other.sync()
            return answer

    events = store(tmp_path / "e", Overtaken(swarm.chain, []), swarm)
    assert events.sync() == 0
    assert places(events.events()) == raw_events(swarm)


def test_a_chain_that_lost_a_block_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    chain = frozen_chain()
    swarm = Swarm(chain, 3)
    mark = chain.snapshot()
    swarm.seal(0, 1)
    events = store(tmp_path / "e", chain, swarm)
    events.sync()
    seen = events.events()
    chain.revert(mark)
    with pytest.raises(ChainReorganised, match=r"is missing now; .* remove e"):
        events.sync()
    swarm.seal(1, 1)
    with pytest.raises(ChainReorganised, match="when its events were read"):
        events.sync()
    assert events.events() == seen

    class Behind(Failing):
        def request(
            self, method: str, params: Sequence[Any], *, timeout: float | None = None
        ) -> Any:
            return (
                {"currentBlock": "0x1"}
                if method == "eth_syncing"
                else super().request(method, params)
            )

    chain.revert(mark)
    with pytest.raises(NodeBehind):
        store(tmp_path / "e", Behind(chain, []), swarm).sync()


def test_another_chain_or_contract_is_refused(swarm: Swarm, tmp_path: Path) -> None:
    store(tmp_path / "e", swarm.chain, swarm).sync()
    with pytest.raises(WrongChain, match="pinned is 5"):
        store(tmp_path / "e", swarm.chain, swarm, chain_id=5).sync()
    with pytest.raises(WrongChain, match="its own file"):
        store(tmp_path / "e", frozen_chain(78), swarm).sync()
    elsewhere = EventStore(path=tmp_path / "e", url=swarm.chain, contract="0x" + "11" * 20)
    with pytest.raises(WrongChain, match="its own file"):
        elsewhere.sync()
    with pytest.raises(ConfigurationError, match="40 hex digits"):
        EventStore(path=tmp_path / "f", url=swarm.chain, contract="0x12")
