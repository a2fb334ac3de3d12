"""One JSON-RPC request to a node, with a time limit and no hidden retry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol, cast
from urllib.parse import urlsplit

import requests
from eth_typing import URI
from web3 import HTTPProvider
from web3.types import RPCEndpoint

from flwr_swarm._exceptions import ChainUnreachable, ConfigurationError

from .jsonrpc import RpcError

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Node(Protocol):
    """Whatever answers Ethereum's JSON-RPC."""

    def request(self, method: str, params: Sequence[Any]) -> Any:
        """Answer one request, or raise `RpcError` or `ChainUnreachable`."""
        ...


class HttpNode:
    """A node behind a URL, asked through web3's HTTP provider.

    web3's own retries are off: they skip refused connections, and they repeat a transaction
    without looking whether the first one arrived. Whoever calls knows what may be repeated.
    """

    def __init__(self, url: str, *, timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigurationError(
                f"chain URL must be http:// or https://, got {shown(url)!r}; "
                "give the JSON-RPC address of a node of the consortium's chain"
            )
        self._shown = shown(url)
        self._timeout = timeout
        session = requests.Session()
        session.trust_env = parts.hostname not in _LOOPBACK  # a proxy cannot reach our loopback
        self._provider = HTTPProvider(
            URI(url),
            request_kwargs={"timeout": timeout, "allow_redirects": False},
            session=session,
            exception_retry_configuration=None,
        )

    def __repr__(self) -> str:
        return f"HttpNode({self._shown})"

    def request(self, method: str, params: Sequence[Any]) -> Any:
        """Answer one request."""
        try:
            answer = self._provider.make_request(RPCEndpoint(method), list(params))
        except (requests.RequestException, OSError, ValueError) as error:
            raise ChainUnreachable(
                f"{self._shown} gave no answer to {method} within {self._timeout:g} s "
                f"({type(error).__name__}); check that the node runs and the URL is right"
            ) from error
        if not isinstance(answer, dict):
            raise ChainUnreachable(f"{self._shown} answered {method} with no JSON-RPC object")
        error_object = answer.get("error")
        if error_object is not None:
            fields = cast("dict[str, Any]", error_object)
            if not isinstance(fields, dict):
                fields = {"message": str(error_object)}
            raise RpcError(
                int(fields.get("code", 0)), str(fields.get("message", "")), fields.get("data")
            )
        return answer.get("result")


def shown(url: str) -> str:
    """Return `url` without what may be a password or a token."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}"


def node_of(endpoint: str | Node, *, timeout: float) -> Node:
    """Return the node behind a URL, or the chain that was given."""
    return HttpNode(endpoint, timeout=timeout) if isinstance(endpoint, str) else endpoint
