"""The outbox on disk: its owner's alone, one sender at a time, and no secret in what is said."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from chain_support import key_of
from outbox_support import begun, effects

from flwr_swarm._exceptions import AccountBusy, ConfigurationError, NodeBehind, OutOfFunds
from flwr_swarm.chain.jsonrpc import RpcError
from flwr_swarm.chain.outbox import FILE, Outbox, Status
from flwr_swarm.chain.sender import Sender
from flwr_swarm.chain.server import ChainServer

KEY = key_of(0)
SPAWN = multiprocessing.get_context("spawn")


def sender_of(node: Any, folder: Path | None, timeout: float = 60) -> Sender:
    outbox = Outbox(folder) if folder else None
    return Sender(node, KEY, chain_id=77, timeout=timeout, outbox=outbox)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


def test_folder_and_files_are_the_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "o"
    before = os.umask(0)
    try:
        outbox = Outbox(folder)
        lock = outbox.lock(77, KEY.address)
        assert lock.acquire(end=0)
        with sqlite3.connect(folder / FILE) as reader:  # keeps the write-ahead log in sight
            outbox.add(chain_id=77, account=KEY.address, nonce=0, digest=b"h", raw=b"r")
            assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            found = modes(folder)
        reader.close()
        lock.release()
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {FILE, FILE + "-wal", f"77-{KEY.address.lower()}.lock"} <= set(found)
    assert set(found.values()) == {0o600}


def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(ConfigurationError, match=r"mode 755; .* chmod 700"):
        Outbox(tmp_path)


def test_every_write_is_synchronised(tmp_path: Path) -> None:
    with Outbox(tmp_path / "o")._open() as database:
        assert database.execute("PRAGMA synchronous").fetchone() == (2,)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_accounts_and_chains_do_not_mix(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o")
    other = key_of(1).address
    outbox.add(chain_id=1, account=KEY.address, nonce=4, digest=b"a", raw=b"r")
    outbox.add(chain_id=2, account=KEY.address, nonce=5, digest=b"b", raw=b"r")
    outbox.add(chain_id=1, account=other, nonce=6, digest=b"c", raw=b"r")
    outbox.mark(b"a", Status.MINED)
    assert [e.nonce for e in outbox.entries(1, KEY.address.upper().replace("X", "x"))] == [4]
    assert outbox.entries(1, KEY.address, Status.PENDING) == []
    assert [e.hash for e in Outbox(tmp_path / "o").entries(1, other, Status.PENDING)] == [b"c"]


def test_a_transaction_is_on_record_before_any_node_sees_it(tmp_path: Path) -> None:
    chain, contract = begun()
    recorded: list[int] = []

    class Watching:
        def request(self, method: str, params: Any, *, timeout: float | None = None) -> Any:
            if method == "eth_sendRawTransaction":
                entries = Outbox(tmp_path / "o").entries(77, KEY.address, Status.PENDING)
                recorded.append(["0x" + e.raw.hex() for e in entries].count(params[0]))
            return chain.request(method, params)

    sender_of(Watching(), tmp_path / "o").send(to=contract, data=b"x")
    assert recorded == [1]


def test_neither_key_nor_bytes_are_in_logs_or_texts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chain, contract = begun()
    caplog.set_level(logging.DEBUG)
    data = bytes(range(200, 240))
    sender = sender_of(chain, tmp_path / "o")
    sender.send(to=contract, data=data)
    (entry,) = Outbox(tmp_path / "o").entries(77, KEY.address)
    own = [r.getMessage() for r in caplog.records if r.name.startswith("flwr_swarm")]
    texts = "\n".join([*own, repr(entry), repr(Outbox(tmp_path / "o")), repr(sender)])
    assert data.hex() not in texts
    assert entry.raw.hex() not in texts
    key = bytes(KEY.key)
    for path in (tmp_path / "o").iterdir():
        assert key not in path.read_bytes()
        assert key.hex().encode() not in path.read_bytes()


def hold(folder: str, held: Any, leave: Any) -> None:
    lock = Outbox(Path(folder)).lock(77, KEY.address)
    assert lock.acquire(end=0)
    held.set()
    leave.wait(300)


def test_a_second_process_with_the_key_waits_and_is_refused_by_name(tmp_path: Path) -> None:
    chain, contract = begun()
    held, leave = SPAWN.Event(), SPAWN.Event()
    holder = SPAWN.Process(target=hold, args=(str(tmp_path / "o"), held, leave))
    Outbox(tmp_path / "o")
    holder.start()
    try:
        assert held.wait(240)
        with pytest.raises(AccountBusy, match="another process sends as"):
            sender_of(chain, tmp_path / "o", timeout=0.1).send(to=contract, data=b"x")
        assert effects(chain, contract) == []
    finally:
        holder.kill()  # whatever kills the holder frees the account
        holder.join(240)
        holder.close()
    sender_of(chain, tmp_path / "o").send(to=contract, data=b"x")
    assert effects(chain, contract) == [b"x"]


class Suicidal:
    """A node whose client dies, kill -9, before or after one request has arrived."""

    def __init__(self, url: str, when: str) -> None:
        from flwr_swarm.chain.provider import HttpNode

        self._node, self._when = HttpNode(url, timeout=60), when

    def request(self, method: str, params: Any, *, timeout: float | None = None) -> Any:
        if method == "eth_sendRawTransaction" and self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = self._node.request(method, params, timeout=timeout)
        if method == "eth_sendRawTransaction":
            os.kill(os.getpid(), signal.SIGKILL)
        return result


def vote_and_die(folder: str, url: str, contract: str, when: str) -> None:
    sender_of(Suicidal(url, when), Path(folder)).send(to=contract, data=b"vote")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_call_repeated_after_kill_9_is_the_same_transaction(tmp_path: Path, when: str) -> None:
    chain, contract = begun()
    folder = tmp_path / "o"
    with ChainServer(chain) as server:
        process = SPAWN.Process(target=vote_and_die, args=(str(folder), server.url, contract, when))
        process.start()
        process.join(240)
        assert process.exitcode == -signal.SIGKILL
        process.close()
    assert effects(chain, contract) == ([b"vote"] if when == "after" else [])
    (entry,) = Outbox(folder).entries(77, KEY.address, Status.PENDING)
    receipt = sender_of(chain, folder).send(to=contract, data=b"vote")
    assert receipt["transactionHash"] == "0x" + entry.hash.hex()
    assert effects(chain, contract) == [b"vote"]
    sender_of(chain, folder).send(to=contract, data=b"vote")  # a new one: nothing was open
    assert effects(chain, contract) == [b"vote", b"vote"]


def test_a_chain_begun_anew_is_said_to_be_behind(tmp_path: Path) -> None:
    chain, contract = begun()
    sender_of(chain, tmp_path / "o").send(to=contract, data=b"a")

    class Lost:
        def request(self, method: str, params: Any, *, timeout: float | None = None) -> Any:
            if method == "eth_sendRawTransaction":
                raise KeyboardInterrupt
            return chain.request(method, params)

    with pytest.raises(KeyboardInterrupt):
        sender_of(Lost(), tmp_path / "o").send(to=contract, data=b"b")
    anew, contract = begun()
    with pytest.raises(NodeBehind, match="remove the outbox"):
        sender_of(anew, tmp_path / "o", timeout=0.2).send(to=contract, data=b"c")


def test_a_refusal_by_the_node_is_named_and_leaves_nothing_open(tmp_path: Path) -> None:
    chain, contract = begun()

    class Poor:
        def request(self, method: str, params: Any, *, timeout: float | None = None) -> Any:
            if method == "eth_sendRawTransaction":
                raise RpcError(-32000, "insufficient funds for gas * price + value")
            return chain.request(method, params)

    with pytest.raises(OutOfFunds, match=f"{KEY.address} cannot pay for gas; fund it"):
        sender_of(Poor(), tmp_path / "o", timeout=60).send(to=contract, data=b"x")
    (entry,) = Outbox(tmp_path / "o").entries(77, KEY.address)
    assert entry.status is Status.REFUSED
    sender_of(chain, tmp_path / "o").send(to=contract, data=b"y")
    assert effects(chain, contract) == [b"y"]


def opens_all(folder: Path, number: int, start: Any) -> None:
    start.wait(240)
    for k in range(number):
        Outbox(folder / str(k))


def test_processes_that_open_a_new_outbox_at_once_do_not_disturb_each_other(
    tmp_path: Path,
) -> None:
    context, number = multiprocessing.get_context("spawn"), 40
    start = context.Barrier(4)
    openers = [context.Process(target=opens_all, args=(tmp_path, number, start)) for _ in range(4)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join(240)
    assert [opener.exitcode for opener in openers] == [0, 0, 0, 0]
