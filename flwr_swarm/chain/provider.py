"""JSON-RPC requests to a node, with a time limit that holds and no hidden retry."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import requests
from urllib3 import Timeout
from urllib3.exceptions import HTTPError

from flwr_swarm._exceptions import ChainUnreachable, ConfigurationError
from flwr_swarm.protocol.hashing import parse_json

from .answers import checked
from .jsonrpc import RpcError

PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 1.0
MAX_ANSWER: Final = 1 << 28
MAX_NESTING: Final = 64
_CHUNK: Final = 1 << 16
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
# Not compressed: the limit of an answer's size holds for what is read.
_HEADERS: Final = {"Content-Type": "application/json", "Accept-Encoding": "identity"}


class Node(Protocol):
    """Whatever answers Ethereum's JSON-RPC."""

    def request(self, method: str, params: Sequence[Any], *, timeout: float | None = None) -> Any:
        """Answer one request within `timeout` seconds, or raise `RpcError` or `ChainUnreachable`.

        After `ChainUnreachable` nobody knows whether the node got the request.
        """
        ...


class HttpNode:
    """A node behind a URL; one request is one HTTP request.

    web3's provider is not used: its retries skip refused connections, and repeat a transaction
    without looking whether the first one arrived; and its time limit is for each step of a
    request, not for the request. Whoever calls knows what may be repeated, and until when.

    Parameters
    ----------
    url : str
    timeout : float
        Seconds for one request, from the connection to the last byte of the answer. A node
        that sends its headers byte by byte can exceed it.
    """

    def __init__(self, url: str, *, timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigurationError(
                f"chain URL must be http:// or https://, got {shown(url)!r}; "
                "give the JSON-RPC address of a node of the consortium's chain"
            )
        self._url = url
        self._shown = shown(url)
        self._timeout = timeout
        self._session = requests.Session()
        # A proxy cannot reach our loopback.
        self._session.trust_env = parts.hostname not in _LOOPBACK

    def __repr__(self) -> str:
        return f"HttpNode({self._shown})"

    def request(self, method: str, params: Sequence[Any], *, timeout: float | None = None) -> Any:
        """Answer one request."""
        limit = self._timeout if timeout is None else min(timeout, self._timeout)
        end = time.monotonic() + limit
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        try:
            with self._session.post(
                self._url,
                data=json.dumps(call),
                headers=_HEADERS,
                timeout=Timeout(total=max(limit, 0.001)),  # type: ignore[arg-type]
                allow_redirects=False,
                stream=True,
            ) as response:
                status, body = response.status_code, _body(response, end)
            answer = parse_json(body, deepest=MAX_NESTING)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise ChainUnreachable(
                f"{self._shown} gave no answer to {method} within {self._timeout:g} s "
                f"({type(error).__name__}); check that the node runs and the URL is right"
            ) from error
        problem = answer.get("error") if isinstance(answer, dict) else None
        if isinstance(problem, dict):
            code = problem.get("code")
            raise RpcError(
                code if isinstance(code, int) else 0,
                str(problem.get("message", "")),
                problem.get("data"),
            )
        if status != requests.codes.ok or not isinstance(answer, dict) or "result" not in answer:
            raise ChainUnreachable(
                f"{self._shown} answered {method} with HTTP status {status} and no result; check "
                "that the URL is a node's JSON-RPC address"
            )
        return answer["result"]


def _body(response: requests.Response, end: float) -> bytes:
    body = bytearray()
    while chunk := response.raw.read1(_CHUNK):
        body += chunk
        if time.monotonic() > end or len(body) > MAX_ANSWER:
            raise TimeoutError("the answer is too slow or too long")
    return bytes(body)


def shown(url: str) -> str:
    """Return `url` without what may be a password or a token."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}"


def node_of(endpoint: str | Node, *, timeout: float) -> Node:
    """Return the node behind a URL, or the chain that was given."""
    return HttpNode(endpoint, timeout=timeout) if isinstance(endpoint, str) else endpoint


def ask(node: Node, method: str, params: list[Any], *, end: float) -> Any:
    """Ask what changes nothing, again and again while the node cannot be reached.

    Parameters
    ----------
    end : float
        When to give up, on the monotonic clock.

    Raises
    ------
    ChainUnreachable
        No answer until then.
    WireError
        The answer has not the form of one.
    RpcError
        The node refuses.
    """
    pause = PAUSE
    while True:
        left = end - time.monotonic()
        try:
            return checked(method, node.request(method, params, timeout=max(left, 0)))
        except ChainUnreachable:
            if (left := end - time.monotonic()) <= 0:
                raise
        time.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_PAUSE)
