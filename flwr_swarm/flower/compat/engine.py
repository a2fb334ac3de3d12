"""The deployment engine: SuperLink, its Control API, SuperNodes and apps.

Flower is imported where it is used: SuperLink and its client bring a web server and a database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..._exceptions import ConfigurationError, FlowerRunError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True, kw_only=True)
class Node:
    """A SuperNode that a SuperLink knows; `public_key` is PEM."""

    number: int
    public_key: bytes
    status: str


class Control:
    """A SuperLink's Control API, by which a relay says whose nodes may connect.

    Parameters
    ----------
    address : str
        Host and port.
    root : bytes
        Trust root of its TLS certificate, PEM.
    """

    def __init__(self, address: str, root: bytes) -> None:
        from flwr.supercore.control import ControlHttpClient  # noqa: PLC0415
        from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor  # noqa: PLC0415

        self._client = ControlHttpClient.from_server_address(
            server_address=address,
            insecure=False,
            root_certificates=root,
            interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr-swarm")],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def nodes(self) -> list[Node]:
        """All nodes that are registered, connected or not."""
        from flwr.proto.control_pb2 import ListNodesRequest  # noqa: PLC0415

        with _answered("list nodes"):
            found = self._client.ListNodes(ListNodesRequest()).nodes_info
        return [
            Node(number=info.node_id, public_key=info.public_key, status=info.status)
            for info in found
            if info.status != "unregistered"
        ]

    def register(self, public_key: bytes, name: str) -> int:
        """Let the node with this public key (PEM) connect; returns its number."""
        from flwr.proto.control_pb2 import RegisterNodeRequest  # noqa: PLC0415

        with _answered("register a node"):
            request = RegisterNodeRequest(public_key=public_key, name=name)
            return int(self._client.RegisterNode(request).node_id)

    def unregister(self, number: int) -> None:
        """Shut a node out."""
        from flwr.proto.control_pb2 import UnregisterNodeRequest  # noqa: PLC0415

        with _answered("unregister a node"):
            self._client.UnregisterNode(UnregisterNodeRequest(node_id=number))


def deactivate_node(
    address: str, root: bytes, key: ec.EllipticCurvePrivateKey, number: int
) -> None:
    """Tell a SuperLink that a SuperNode of ours is gone, as one that ends in order does itself.

    Until it knows, it refuses the same key for a minute, and nobody hears that what the node
    had received is lost.
    """
    from flwr.proto.fleet_pb2 import DeactivateNodeRequest  # noqa: PLC0415
    from flwr.supercore.interceptors.http.runtime_version import (  # noqa: PLC0415
        RuntimeVersionHttpInterceptor,
    )
    from flwr.supernode.fleet_http_client import FleetHttpClient  # noqa: PLC0415
    from flwr.supernode.node_auth_http_interceptor import (  # noqa: PLC0415
        NodeAuthHttpInterceptor,
    )

    with (
        FleetHttpClient.from_server_address(
            address,
            False,
            root,
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="SuperNode"),
                NodeAuthHttpInterceptor(key, key.public_key()),
            ],
        ) as client,
        _answered("deactivate the node"),
    ):
        client.DeactivateNode(DeactivateNodeRequest(node_id=number))


def app_hash(app: Path) -> str:
    """What a SuperNode knows an app by: SHA-256 of the bundle that `flwr run` makes of its folder.

    Raises
    ------
    ConfigurationError
        The folder holds no app.
    """
    from flwr.cli.build import build_fab_from_disk  # noqa: PLC0415

    try:
        return hashlib.sha256(build_fab_from_disk(app)).hexdigest()
    except Exception as error:  # click's, TOML's, or the system's
        raise ConfigurationError(
            f"{app} holds no Flower app that can be bundled ({type(error).__name__})"
        ) from None


def run_supernode(apps: frozenset[str]) -> None:
    """`flower-supernode`, whose arguments are `sys.argv`. It returns when Flower gives up.

    Flower's own command then stays, without a connection, for ever.

    Parameters
    ----------
    apps : frozenset of str
        Hashes of the apps that may run here; empty for whatever a relay sends.
    """
    from flwr.supernode import start_client_internal  # noqa: PLC0415
    from flwr.supernode.cli.flower_supernode import flower_supernode  # noqa: PLC0415

    if apps:
        node: Any = start_client_internal
        pull = node._pull_and_store_message

        def pull_checked(**given: Any) -> Any:
            get_fab = given["get_fab"]

            def fetched(fab_hash: str, run_id: int) -> Any:
                fab = get_fab(fab_hash, run_id)
                return replace(fab, verifications={"valid_license": "pinned"})

            # Flower then asks `_verify_fab`, and answers for an app that fails without running it.
            return pull(**{**given, "get_fab": fetched, "trusted_entities": {"pinned": ""}})

        def is_pinned(fab: Any, _: object) -> bool:
            return hashlib.sha256(fab.content).hexdigest() in apps

        node._pull_and_store_message = pull_checked
        node._verify_fab = is_pinned
    flower_supernode()


def run_superlink(guard: Any) -> None:
    """`flower-superlink`, whose arguments are `sys.argv`, behind a middleware.

    Parameters
    ----------
    guard : callable
        ASGI middleware that sees every request first.
    """
    from flwr.superlink import extensions  # noqa: PLC0415
    from flwr.superlink.cli.flower_superlink import flower_superlink  # noqa: PLC0415
    from starlette.middleware import Middleware  # noqa: PLC0415

    theirs = extensions.get_middleware
    extensions.get_middleware = lambda: (Middleware(guard), *theirs())
    flower_superlink()


@contextmanager
def _answered(what: str) -> Iterator[None]:
    """Turn the errors of Flower's HTTP client into ours."""
    import httpx  # noqa: PLC0415
    from flwr.supercore.error import FlowerError  # noqa: PLC0415

    try:
        yield
    except httpx.HTTPStatusError as error:
        told = FlowerError.from_json(error.response.text)
        why = f"HTTP {error.response.status_code}" if told is None else told.message
        raise FlowerRunError(f"the SuperLink refused to {what}: {why}") from None
    except httpx.HTTPError as error:
        raise FlowerRunError(
            f"no answer from the SuperLink when asked to {what} ({type(error).__name__})"
        ) from None


def parse_config(texts: list[str]) -> dict[str, Any]:
    """Overrides of a run config, as `flwr run --run-config` reads them.

    Raises
    ------
    ConfigurationError
        Flower would refuse them.
    """
    from flwr.common.config import parse_config_args  # noqa: PLC0415

    try:
        return dict(parse_config_args(texts))
    except Exception as error:  # click's, or the TOML parser's
        raise ConfigurationError(
            f"the run config {texts} is not key=value with TOML values ({type(error).__name__})"
        ) from None
