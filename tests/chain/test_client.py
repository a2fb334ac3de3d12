"""A member's client over HTTP: right about refusals, lost answers, wrong chains and silence."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from chain_support import Swarm, digest, key_of, policy_of, refused
from held_port import held_port

from flwr_swarm._exceptions import (
    ChainUnreachable,
    ConfigurationError,
    NoContract,
    NodeBehind,
    NotAMember,
    TransactionRefused,
    WrongChain,
    WrongContract,
)
from flwr_swarm.chain.client import ChainLedger, ReadOnlyLedger
from flwr_swarm.chain.deploy import deploy
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.server import ChainServer
from flwr_swarm.protocol.ledger import AbstainCall, CloseCall
from flwr_swarm.protocol.types import Phase

SOON = 0.3  # seconds: the time limit of calls that must fail


@pytest.fixture
def served(chain: EmbeddedChain) -> Iterator[ChainServer]:
    with ChainServer(chain) as server:
        yield server


def test_a_round_over_http_with_every_member_sealing_at_once(served: ChainServer) -> None:
    swarm = Swarm(served.chain, 5, endpoint=served.url)
    view = swarm.view
    calls = [swarm.seal_call(i, 1, view) for i in range(5)]
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda i: swarm.ledgers[i].submit(calls[i]), range(5)))
    assert swarm.view.current.phase is Phase.MERGING
    assert swarm.certify().current.phase is Phase.CERTIFIED
    refused("WrongReveal", swarm.ledgers[0], swarm.seal_call(0, 2, reveal=digest("guess")))


def test_one_account_in_many_threads_and_connections_loses_no_transaction(
    served: ChainServer,
) -> None:
    swarm = Swarm(served.chain, 3, endpoint=served.url)
    other = swarm.ledger(swarm.keys[0])

    def act(ledger: ChainLedger) -> str:
        try:
            ledger.submit(AbstainCall(round=1))
        except TransactionRefused as error:
            return error.reason
        return "done"

    with ThreadPoolExecutor(4) as pool:
        outcomes = sorted(pool.map(act, [swarm.ledgers[0], other] * 2))
    assert outcomes == ["AlreadyAbstained"] * 3 + ["done"]


class Losing:
    """A node in front of another, where `when(method, count)` says what to lose.

    "request" is lost on its way there, "answer" on its way back.
    """

    def __init__(self, node: EmbeddedChain, method: str, what: str, times: int = 1) -> None:
        self._node, self._method, self._what, self.left = node, method, what, times
        self.asked: list[str] = []

    def request(self, method: str, params: Sequence[Any], *, timeout: float | None = None) -> Any:
        self.asked.append(method)
        lose = method == self._method and self.left > 0
        if lose:
            self.left -= 1
            if self._what == "request":
                raise ChainUnreachable("lost")
        result = self._node.request(method, params)
        if lose:
            raise ChainUnreachable("lost")
        return result


@pytest.mark.parametrize("what", ["request", "answer"])
@pytest.mark.parametrize(
    "method",
    [
        "eth_chainId",
        "eth_estimateGas",
        "eth_getTransactionCount",
        "eth_sendRawTransaction",
        "eth_getTransactionReceipt",
    ],
)
def test_a_lost_message_neither_loses_nor_doubles_a_transaction(
    chain: EmbeddedChain, method: str, what: str
) -> None:
    swarm = Swarm(chain, 2)
    node = Losing(chain, method, what, times=2)
    ledger = ChainLedger(url=node, contract=swarm.contract, key=swarm.keys[0], timeout=60)
    ledger.submit(swarm.seal_call(0, 1))
    assert node.left < 2
    assert swarm.view.members[0].reveals == 1
    assert chain.request("eth_getTransactionCount", [ledger.account, "latest"]) == "0x1"


class Behind(Losing):
    """A node that tells an old nonce once, as when another process just used it."""

    def request(self, method: str, params: Sequence[Any], *, timeout: float | None = None) -> Any:
        result = self._node.request(method, params)
        if method == self._method and self.left > 0:
            self.left -= 1
            return hex(int(result, 16) - 1)
        return result


def test_a_nonce_that_another_process_used_is_replaced(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 3)
    swarm.abstain(0, 1)
    swarm.seal_all(1, 1, 2)
    node = Behind(chain, "eth_getTransactionCount", "answer")
    ledger = ChainLedger(url=node, contract=swarm.contract, key=swarm.keys[0], timeout=60)
    chain.advance_clock(601)
    swarm.advance(1, 0, i=1)
    ledger.submit(swarm.certify_call(swarm.certificate(), swarm.officers()))
    assert node.left == 0
    assert swarm.view.current.phase is Phase.CERTIFIED


class Racing(Losing):
    """A node where another member's transaction slips in between simulation and sending."""

    def __init__(self, node: EmbeddedChain, race: Any) -> None:
        super().__init__(node, "eth_sendRawTransaction", "nothing")
        self._race = race

    def request(self, method: str, params: Sequence[Any], *, timeout: float | None = None) -> Any:
        if method == self._method and self.left > 0:
            self.left -= 1
            self._race()
        return self._node.request(method, params)


def test_a_transaction_that_lost_a_race_says_by_which_rule(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 2)
    swarm.seal(0, 1)
    chain.advance_clock(601)
    node = Racing(chain, lambda: swarm.close(1, i=1))
    ledger = ChainLedger(url=node, contract=swarm.contract, key=swarm.keys[0], timeout=60)
    with pytest.raises(TransactionRefused) as caught:
        ledger.submit(CloseCall(round=1))
    assert caught.value.reason == "SealingClosed"


def test_a_seal_that_becomes_the_last_by_a_race_has_gas_for_the_draw(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 24, close_at=24)
    view = swarm.seal_all(1, *range(22))
    calls = {i: swarm.seal_call(i, 1, view) for i in (22, 23)}
    node = Racing(chain, lambda: swarm.ledgers[23].submit(calls[23]))
    ledger = ChainLedger(url=node, contract=swarm.contract, key=swarm.keys[22], timeout=60)
    ledger.submit(calls[22])
    assert swarm.view.current.phase is Phase.MERGING


# --- wrong places ----------------------------------------------------------------------------


def test_a_refused_connection_is_unreachable_and_says_where() -> None:
    with held_port() as port:
        url = f"http://user:secret@127.0.0.1:{port}/token"
        ledger = ReadOnlyLedger(url=url, contract="0x" + "11" * 20, timeout=SOON)
        with pytest.raises(ChainUnreachable, match=r"127\.0\.0\.1") as caught:
            ledger.view()
    assert "secret" not in str(caught.value)
    assert "token" not in str(caught.value)


def test_a_chain_that_comes_up_late_is_waited_for(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 1)
    with held_port() as port, ThreadPoolExecutor(1) as pool:
        url = f"http://127.0.0.1:{port}"
        ledger = ReadOnlyLedger(url=url, contract=swarm.contract, timeout=120)
        waiting = pool.submit(ledger.view)
        with ChainServer(chain, port=port):
            assert [m.account for m in waiting.result().members] == [swarm.keys[0].address]


def test_a_node_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(ChainUnreachable, match=r"within 0\.3 s"):
            deploy(url, cards=[], policy=policy_of(1), key=key_of(0), timeout=SOON)


def test_another_chain_is_refused(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 1)
    ledger = ChainLedger(
        url=chain, contract=swarm.contract, key=swarm.keys[0], chain_id=chain.chain_id + 1
    )
    with pytest.raises(WrongChain, match="chain id is 77, pinned is 78"):
        ledger.connect()
    with pytest.raises(WrongChain):
        ledger.submit(AbstainCall(round=1))


def test_an_address_without_the_contract_is_refused(chain: EmbeddedChain) -> None:
    with pytest.raises(NoContract, match="no contract at"):
        ReadOnlyLedger(url=chain, contract=key_of(0).address).connect()


def test_a_node_that_is_catching_up_is_no_wrong_chain(chain: EmbeddedChain) -> None:
    class Syncing:
        def request(self, method: str, params: Sequence[Any], *, timeout: float) -> Any:
            if method == "eth_syncing":
                return {"currentBlock": "0x1", "highestBlock": "0x9"}
            return chain.request(method, params)

    with pytest.raises(NodeBehind, match="catching up"):
        ReadOnlyLedger(url=Syncing(), contract=key_of(0).address).connect()


def test_another_contract_is_refused(chain: EmbeddedChain) -> None:
    # 60 00 60 00 f3 returns nothing; this init code returns one byte, so a contract "00".
    code = "0x600160006000396001" + "6000f3"
    signed = key_of(0).sign_transaction(
        {
            "type": 2,
            "chainId": chain.chain_id,
            "nonce": 0,
            "gas": 200_000,
            "maxFeePerGas": 0,
            "maxPriorityFeePerGas": 0,
            "data": code,
        }
    )
    sent = chain.request("eth_sendRawTransaction", ["0x" + bytes(signed.raw_transaction).hex()])
    receipt = chain.request("eth_getTransactionReceipt", [sent])
    assert receipt["status"] == "0x1"
    with pytest.raises(WrongContract, match="install the version"):
        ReadOnlyLedger(url=chain, contract=receipt["contractAddress"]).connect()


def test_the_relay_reads_and_cannot_write(chain: EmbeddedChain) -> None:
    swarm = Swarm(chain, 1)
    assert [m.account for m in swarm.reader.view().members] == [swarm.keys[0].address]
    with pytest.raises(NotAMember, match="read-only"):
        swarm.reader.submit(AbstainCall(round=1))
    with pytest.raises(NotAMember):
        _ = swarm.reader.account


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "ftp://host"}, "http://"),
        ({"url": "host:8545"}, "http://"),
        ({"contract": "0x12"}, "40 hex digits"),
        ({"timeout": 0}, "timeout must be > 0"),
        ({"key": b"\x01" * 31}, "got 31 bytes"),
        ({"key": b"\xff" * 32}, "below the curve's order"),
    ],
)
def test_bad_configuration_is_refused_before_anything_is_asked(
    changes: dict[str, Any], message: str
) -> None:
    good = {"url": "http://127.0.0.1:1", "contract": "0x" + "11" * 20, "key": key_of(0)}
    with pytest.raises(ConfigurationError, match=message) as caught:
        ChainLedger(**{**good, **changes})
    assert "ff" * 32 not in str(caught.value)
