"""JSON-RPC over HTTP for the development chain: loopback only, small requests, fixed methods.

It answers who names the loopback interface as its host, so no web page can reach it through a
name of its own. Only what the chain has kept is acknowledged.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from flwr_swarm._exceptions import ChainUnreachable

from . import jsonrpc
from .durable import DurableChain
from .embedded import EmbeddedChain
from .jsonrpc import RpcError

MAX_REQUEST: Final = 1 << 20
MAX_NESTING: Final = 64
IDLE_SECONDS: Final = 30
LOOPBACK: Final = "127.0.0.1"
_DRAIN_SECONDS: Final = 5
_log = logging.getLogger(__name__)


class Endpoint(ThreadingHTTPServer):
    """The listening socket; one thread a connection.

    Parameters
    ----------
    address : tuple
        Host and port.
    chain : EmbeddedChain or DurableChain
    on_failure : callable or None
        Called once the chain has stopped because it could not keep a block.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        chain: EmbeddedChain | DurableChain,
        on_failure: Callable[[], None] | None,
    ) -> None:
        self.chain = chain
        self.on_failure = on_failure
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def hang_up(self) -> None:
        """Read no more from any client; wait until all are answered, then cut what is left."""
        with self._changed:
            for how in (socket.SHUT_RD, socket.SHUT_RDWR):
                for connection in self._open:
                    _shut(connection, how)
                if self._changed.wait_for(lambda: not self._open, timeout=_DRAIN_SECONDS):
                    return

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no event worth a traceback."""
        _log.debug("a connection to the development chain ended early", exc_info=True)


def _shut(connection: socket.socket, how: int) -> None:
    try:
        connection.shutdown(how)
    except OSError:  # the client was faster
        _log.debug("a connection was closed by its client")


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint
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
            try:
                answer = _answer(self.server.chain, self.rfile.read(int(length)))
            except ChainUnreachable:  # nobody knows whether the block is kept: say nothing
                self.close_connection = True
                if self.server.on_failure is not None:
                    self.server.on_failure()
            else:
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


def _answer(chain: EmbeddedChain | DurableChain, body: bytes) -> dict[str, Any]:
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
