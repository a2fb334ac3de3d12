"""The development chain over HTTP on the loopback interface, for the members' processes.

For development: no authentication, no durability. It binds 127.0.0.1 and nothing else, answers a
fixed list of methods, and limits the size of a request.
"""

from __future__ import annotations

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from . import jsonrpc
from .embedded import EmbeddedChain
from .jsonrpc import RpcError

MAX_REQUEST: Final = 1 << 20
MAX_NESTING: Final = 64
IDLE_SECONDS: Final = 30
LOOPBACK: Final = "127.0.0.1"
_log = logging.getLogger(__name__)


class ChainServer:
    """Serve `chain` on an ephemeral port of the loopback interface while the context is open.

    Parameters
    ----------
    chain : EmbeddedChain
    port : int
        0 takes a free one.
    """

    def __init__(self, chain: EmbeddedChain, *, port: int = 0) -> None:
        self.chain = chain
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Address for clients; only while the server runs."""
        if self._server is None:
            raise RuntimeError("the chain server does not run; call start() first")
        return f"http://{LOOPBACK}:{self._server.server_port}"

    def start(self) -> Self:
        """Serve from a background thread, which ends with the process."""
        if self._server is None:
            self._server = _Server((LOOPBACK, self._port), _Handler, self.chain)
            self._thread = threading.Thread(
                target=self._server.serve_forever,
                kwargs={"poll_interval": 0.05},
                name="flwr-swarm-chain",
                daemon=True,
            )
            self._thread.start()
            _log.warning("development chain %d at %s; nothing on it lasts", *self._named())
        return self

    def _named(self) -> tuple[int, str]:
        return self.chain.chain_id, self.url

    def stop(self) -> None:
        """Stop serving and free the port; the chain itself stays."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], chain: EmbeddedChain
    ) -> None:
        self.chain = chain
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no event worth a traceback."""
        _log.debug("a connection to the development chain ended early", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
        length = self.headers.get("Content-Length", "")
        if host not in {LOOPBACK, "localhost"}:  # a browser page must not reach us by its name
            self._refuse(403, "this chain serves the loopback interface only")
        elif not length.isascii() or not length.isdigit() or int(length) > MAX_REQUEST:
            self._refuse(413, f"a request has a length of at most {MAX_REQUEST} bytes")
        else:
            answer = _answer(self.server.chain, self.rfile.read(int(length)))
            self._send(200, json.dumps(answer).encode())

    def _refuse(self, status: int, why: str) -> None:
        self.close_connection = True
        self._send(status, json.dumps({"error": why}).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""


def _answer(chain: EmbeddedChain, body: bytes) -> dict[str, Any]:
    identity: Any = None
    try:
        method, params, identity = _parse(body)
        return {"jsonrpc": "2.0", "id": identity, "result": chain.request(method, params)}
    except RpcError as error:
        return {"jsonrpc": "2.0", "id": identity, "error": error.as_object()}


def _parse(body: bytes) -> tuple[str, list[Any], str | int | None]:
    # The EVM engine lifts Python's recursion limit, so deep JSON would overflow the real stack.
    if body.count(b"[") + body.count(b"{") > MAX_NESTING:
        raise RpcError(jsonrpc.BAD_REQUEST, "the request holds too many lists")
    try:
        call = json.loads(body)
    except ValueError as error:
        raise RpcError(jsonrpc.PARSE_ERROR, "the request is not JSON") from error
    if not isinstance(call, dict) or not isinstance(call.get("method"), str):
        raise RpcError(jsonrpc.BAD_REQUEST, "a request is one object with a method")
    params, identity = call.get("params", []), call.get("id")
    if not isinstance(params, list):
        raise RpcError(jsonrpc.BAD_PARAMS, "parameters are a list")
    return call["method"], params, identity if isinstance(identity, str | int) else None
