"""The development chain's loopback server: small, strict, and for development only."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from chain_support import Swarm, frozen_chain, key_of

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.chain import endpoint
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.jsonrpc import RpcError
from flwr_swarm.chain.server import ChainServer


@pytest.fixture
def served(chain: EmbeddedChain) -> Iterator[ChainServer]:
    with ChainServer(chain) as server:
        yield server


def ask(url: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(url, data=body, headers=headers or {})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def rpc(method: Any, *params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 5, "method": method, "params": params}).encode()


def test_the_server_says_that_it_is_for_development(
    chain: EmbeddedChain, caplog: pytest.LogCaptureFixture
) -> None:
    with ChainServer(chain) as server:
        assert "FOR DEVELOPMENT ONLY" in caplog.text
        status, answer = ask(server.url, rpc("web3_clientVersion"))
    assert status == 200
    assert answer["id"] == 5
    assert "for development only" in answer["result"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\xff\x00", -32700),
        (b"[" * 100_000, -32600),
        (b"[]", -32600),
        (b'{"method": 5}', -32600),
        (b'{"method": "eth_chainId", "params": {}}', -32602),
        (rpc("eth_sign", "0x"), -32601),
        (rpc("personal_unlockAccount"), -32601),
        (rpc("__init__"), -32601),
        (rpc("eth_call"), -32602),
        (rpc("eth_call", 5), -32602),
        (rpc("eth_call", {"to": "0x12"}), -32602),
        (rpc("eth_getTransactionByHash", 7), -32602),
        (rpc("eth_getBlockByNumber", "x"), -32602),
        (rpc("eth_getLogs", {"address": "0x", "topics": [7]}), -32602),
        (rpc("eth_sendRawTransaction", "0x02ff"), -32000),
        (rpc("eth_sendRawTransaction", "0x"), -32000),
    ],
)
def test_malformed_requests_get_an_error_and_the_server_lives(
    served: ChainServer, body: bytes, code: int
) -> None:
    status, answer = ask(served.url, body)
    assert (status, answer["error"]["code"]) == (200, code)
    assert ask(served.url, rpc("eth_chainId"))[1]["result"] == hex(77)


def test_oversized_requests_and_foreign_hosts_are_refused(
    served: ChainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "MAX_REQUEST", 100)
    assert ask(served.url, b"x" * 101)[0] == 413
    assert ask(served.url, rpc("eth_chainId"), {"Host": "evil.example"})[0] == 403


def test_a_stopped_server_hangs_up_on_connections_that_it_kept_open(chain: EmbeddedChain) -> None:
    with ChainServer(chain) as server:
        port = int(server.url.rsplit(":", 1)[1])
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        idle = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        idle.connect()
        kept.request("POST", "/", rpc("eth_chainId"))
        assert json.loads(kept.getresponse().read())["result"] == hex(77)
        held = kept.sock
    for connection in (held, idle.sock):
        assert connection.recv(1) == b""
        connection.close()


def test_a_request_in_hand_is_answered_before_the_server_hangs_up(chain: EmbeddedChain) -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow:
        chain_id = chain.chain_id

        def request(self, method: str, params: Sequence[Any]) -> Any:
            entered.set()
            assert leave.wait(60)
            return chain.request(method, params)

    server = ChainServer(Slow()).start()  # type: ignore[arg-type]
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(ask, server.url, rpc("eth_chainId"))
        assert entered.wait(60)
        stopping = pool.submit(server.stop)
        leave.set()
        assert answer.result()[1]["result"] == hex(77)
        stopping.result()


def test_a_port_that_is_taken_is_refused_by_name(served: ChainServer) -> None:
    port = int(served.url.rsplit(":", 1)[1])
    with pytest.raises(ConfigurationError, match=f"port {port} .* choose another"):
        ChainServer(served.chain, port=port).start()


def test_a_stopped_server_frees_its_thread(chain: EmbeddedChain) -> None:
    before = set(threading.enumerate())  # other tests of this process may have servers too
    server = ChainServer(chain).start()
    url = server.url
    own = {t for t in threading.enumerate() if t.name == "flwr-swarm-chain"} - before
    assert len(own) == 1
    server.stop()
    server.stop()
    assert not own & set(threading.enumerate())
    with pytest.raises(urllib.error.URLError):
        ask(url, rpc("eth_chainId"))
    with pytest.raises(RuntimeError):
        _ = server.url


def test_a_transaction_for_another_chain_is_refused_by_the_chain(chain: EmbeddedChain) -> None:
    fields = {
        "type": 2,
        "chainId": chain.chain_id + 1,
        "nonce": 0,
        "to": key_of(1).address,
        "value": 0,
        "gas": 21_000,
        "maxFeePerGas": 0,
        "maxPriorityFeePerGas": 0,
    }
    raw = "0x" + bytes(key_of(0).sign_transaction(fields).raw_transaction).hex()
    with pytest.raises(RpcError, match="invalid chain id"):
        chain.request("eth_sendRawTransaction", [raw])


def test_the_largest_founding_leaves_gas_free() -> None:
    """A block that is more than half full would raise the base fee, and nobody has money here."""
    swarm = Swarm(frozen_chain(), 64)
    assert swarm.view.current.number == 0
    newest = swarm.chain.request("eth_getBlockByNumber", ["latest", False])
    assert int(newest["gasUsed"], 16) > 15_000_000
    assert newest["baseFeePerGas"] == "0x0"
    swarm.seal(63, 1)
    assert swarm.view.current.seal_of(63) is not None
