"""The clients against every engine: the embedded chain, its server, and a real node (anvil).

Members are processes of their own, each with its key; nothing here knows which engine it is on.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chain_support import Swarm, digest, key_of, refused
from engine_support import ENGINES, Engine, send_all, submit
from eth_account import Account
from eth_utils.address import to_checksum_address
from outbox_support import ECHO, effects

from flwr_swarm._exceptions import NoContract, OutOfFunds, WrongChain
from flwr_swarm.chain.client import ChainLedger, ReadOnlyLedger
from flwr_swarm.chain.events import EventStore
from flwr_swarm.chain.history import export
from flwr_swarm.chain.replay import replay
from flwr_swarm.chain.sender import Sender
from flwr_swarm.protocol.ledger import AbstainCall, AdvanceCall, CloseCall
from flwr_swarm.protocol.types import Phase

PROCESSES = 4
CHAIN_OTHER = 4712


@pytest.fixture(scope="module")
def members() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(
        PROCESSES, mp_context=multiprocessing.get_context("spawn")
    ) as processes:
        yield processes


@pytest.fixture(
    scope="module", params=["embedded", "serve", pytest.param("anvil", marks=pytest.mark.node)]
)
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    with ENGINES[request.param](tmp_path_factory.mktemp(request.param)) as engine:
        for account in (Account.from_key(digest("founder")), *(key_of(i) for i in range(6))):
            engine.fund(account.address)
        yield engine


def swarm_on(engine: Engine, n: int, **policy: Any) -> Swarm:
    return Swarm(engine, n, endpoint=engine.url, **policy)  # type: ignore[arg-type]


def key_bytes(i: int) -> bytes:
    return bytes(key_of(i).key)


def test_a_round_whose_members_are_processes_that_seal_at_once(
    engine: Engine, members: ProcessPoolExecutor, tmp_path: Path
) -> None:
    swarm = swarm_on(engine, 4)
    view = swarm.view
    outcomes = [
        members.submit(
            submit,
            engine.url,
            swarm.contract,
            key_bytes(i),
            swarm.seal_call(i, 1, view),
            str(tmp_path / str(i)),
        )
        for i in range(4)
    ]
    assert [outcome.result() for outcome in outcomes] == ["done"] * 4
    assert swarm.view.current.phase is Phase.MERGING
    current = swarm.certify().current
    assert current.phase is Phase.CERTIFIED
    assert [seal.payload_hash for seal in sorted(current.seals, key=lambda s: s.member)] == [
        digest("payload", 1, i) for i in range(4)
    ]


def test_of_processes_that_close_at_once_one_does_and_the_others_are_told_by_name(
    engine: Engine, members: ProcessPoolExecutor
) -> None:
    swarm = swarm_on(engine, 4)
    swarm.seal_all(1, 0, 1, 2)
    engine.advance_clock(601)
    outcomes = [
        members.submit(submit, engine.url, swarm.contract, key_bytes(i), CloseCall(round=1), None)
        for i in range(4)
    ]
    assert sorted(o.result() for o in outcomes) == ["SealingClosed"] * 3 + ["done"]
    assert swarm.view.current.phase is Phase.MERGING


@pytest.mark.parametrize("kept", [True, False])
def test_processes_that_share_a_key_double_and_lose_nothing(
    engine: Engine, members: ProcessPoolExecutor, tmp_path: Path, kept: bool
) -> None:
    key = digest("shared", kept)
    engine.fund(Account.from_key(key).address)
    founder = Sender(engine, Account.from_key(key), chain_id=engine.chain_id, timeout=60)
    contract = to_checksum_address(founder.send(to=None, data=ECHO)["contractAddress"])
    outbox = str(tmp_path / "o") if kept else None
    datas = [[bytes([process, k]) for k in range(3)] for process in range(3)]
    sent = [members.submit(send_all, engine.url, contract, key, d, outbox) for d in datas]
    assert [s.result() for s in sent] == [3, 3, 3]
    found = effects(engine, contract)  # type: ignore[arg-type]
    assert sorted(found) == sorted(data for d in datas for data in d)
    for d in datas:
        assert [data for data in found if data in d] == d  # each process's own order holds


def test_time_passes_a_leader_is_replaced_and_the_history_replays(
    engine: Engine, tmp_path: Path
) -> None:
    swarm = swarm_on(engine, 4)
    swarm.abstain(3, 1)
    swarm.seal_all(1, 0, 1, 2)
    refused("DeadlineNotReached", swarm.ledgers[0], AdvanceCall(round=1, view=0))
    engine.advance_clock(61)
    swarm.advance(1, 0, i=3)
    swarm.certify(i=1)
    swarm.seal(0, 2)
    engine.advance_clock(601)
    swarm.close(2, i=2)
    assert swarm.view.current.phase is Phase.VOID
    history = export(engine.url, swarm.contract)
    proved = replay(history)
    assert replace(proved.view, now=0) == replace(swarm.view, now=0)
    assert [record.round.phase for record in proved.rounds] == [Phase.CERTIFIED, Phase.VOID]
    events = EventStore(path=tmp_path / "e", url=engine.url, contract=swarm.contract)
    assert events.sync() == sum(len(entry["events"]) for entry in history["transactions"])
    assert {e.transaction for e in events.events()} == {e["hash"] for e in history["transactions"]}


def test_refusals_have_their_names(engine: Engine) -> None:
    swarm = swarm_on(engine, 3)
    swarm.seal(0, 1)
    swarm.abstain(1, 1)
    refused("AlreadySealed", swarm.ledgers[0], swarm.seal_call(0, 1))
    refused("AlreadyAbstained", swarm.ledgers[1], AbstainCall(round=1))
    refused("ParentMismatch", swarm.ledgers[2], swarm.seal_call(2, 1, parent=digest("other")))
    refused("WrongReveal", swarm.ledgers[2], swarm.seal_call(2, 1, reveal=digest("guess")))
    refused("DeadlineNotReached", swarm.ledgers[2], CloseCall(round=1))
    refused("NotAMember", swarm.ledgers[5], AbstainCall(round=1))


def test_wrong_places_have_their_names(engine: Engine) -> None:
    swarm = swarm_on(engine, 1)
    wrong = ChainLedger(
        url=engine.url, contract=swarm.contract, key=key_of(0), chain_id=CHAIN_OTHER
    )
    with pytest.raises(WrongChain, match=f"pinned is {CHAIN_OTHER}"):
        wrong.submit(AbstainCall(round=1))
    with pytest.raises(NoContract):
        ReadOnlyLedger(url=engine.url, contract=key_of(0).address).connect()
    # The node itself refuses a signature for another chain.
    stray = Sender(engine, key_of(0), chain_id=CHAIN_OTHER, timeout=60)
    with pytest.raises(WrongChain, match="node of the swarm's own chain"):
        stray.send(to=None, data=ECHO)


def test_an_account_without_money_is_told_so_where_gas_costs(engine: Engine) -> None:
    if int(engine.request("eth_gasPrice", []), 16) == 0:
        pytest.skip("gas is free on this engine")
    poor = Account.create()
    sender = Sender(engine, poor, chain_id=engine.chain_id, timeout=60)
    with pytest.raises(OutOfFunds, match=f"{poor.address} cannot pay for gas; fund it"):
        sender.send(to=None, data=ECHO)
