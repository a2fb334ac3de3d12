"""The one module that knows Flower's private parts; everything else uses its public API.

Measured with Flower 1.41.0; pyproject pins the minor version.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from flwr.app import Error, Message, RecordDict
from flwr.app.metadata import Metadata
from flwr.common.constant import ErrorCode
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.supercore.task_identity import TaskIdentity

from .._exceptions import ConfigurationError, FlowerRunError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec


def bind_process(*, run_id: int, node_id: int) -> None:
    """Name run, task and node of this process, as Flower's own entry points do."""
    TaskIdentity.run_id = run_id
    TaskIdentity.task_id = run_id
    TaskIdentity.node_id = node_id


def detached_message(content: RecordDict) -> Message:
    """A message that belongs to no run: a strategy only reads its content."""
    metadata = Metadata(
        run_id=0,
        message_id="",
        src_node_id=0,
        dst_node_id=0,
        reply_to_message_id="",
        group_id="",
        created_at=0.0,
        ttl=0.0,
        message_type="train",
    )
    return with_content(content, metadata)


def with_content(content: RecordDict, metadata: Metadata) -> Message:
    """A message with other content on the same errand."""
    return cast(Message, cast(Any, Message)(content=content, metadata=metadata))


_LOST = frozenset(
    {
        ErrorCode.MESSAGE_UNAVAILABLE,
        ErrorCode.REPLY_MESSAGE_UNAVAILABLE,
        ErrorCode.NODE_UNAVAILABLE,
        ErrorCode.CLIENT_APP_CRASHED,
    }
)


def is_lost(message: Message) -> bool:
    """Whether a reply says that the node, or its ClientApp, died over the message."""
    return message.has_error() and message.error.code in _LOST


def as_from(message: Message, node: int) -> Message:
    """`message` with `node` as its source: a SuperLink answers for a dead node in its own name."""
    message.metadata.__dict__["_src_node_id"] = node
    return message


@dataclass(frozen=True, kw_only=True)
class Announced:
    """A reply that a SuperLink announced: the id that it answers, and what fetches it."""

    answers: str
    fetch: Callable[[], Iterable[Message]]


def announced(
    grid: Any, asked: Set[str], *, given_up: Callable[[], bool]
) -> list[Announced] | None:
    """Replies to these messages, each to be fetched by itself; None if `grid` is not by HTTP.

    A reply is announced once. Fetching blocks until its content has come, or until `given_up`.
    """
    from flwr.proto.runtime_pb2 import (  # noqa: PLC0415
        PullAppMessagesRequest,
        PullAppMessagesResponse,
    )
    from flwr.superlink.grid.http_grid import HttpGrid  # noqa: PLC0415

    if type(grid) is not HttpGrid:
        return None
    if not asked:
        return []
    client = grid._runtime_client
    found = client.PullMessages(PullAppMessagesRequest(message_ids=asked))
    replies = []
    for message, tree in zip(found.messages_list, found.message_object_trees, strict=True):
        one = PullAppMessagesResponse(messages_list=[message], message_object_trees=[tree])
        alone: Any = copy.copy(grid)
        alone._client = _OneReply(client, one, given_up)
        answers = message.metadata.reply_to_message_id
        replies.append(Announced(answers=answers, fetch=partial(alone.pull_messages, [answers])))
    return replies


class _OneReply:
    """A SuperLink's client that announces one reply, and ends its transfer when told to."""

    def __init__(self, client: Any, reply: Any, given_up: Callable[[], bool]) -> None:
        self._client = client
        self._reply = reply
        self._given_up = given_up

    def PullMessages(self, request: Any) -> Any:  # noqa: N802 - Flower's name
        return self._reply

    def PullObject(self, request: Any) -> Any:  # noqa: N802
        from flwr.proto.message_pb2 import PullObjectResponse  # noqa: PLC0415

        if self._given_up():
            return PullObjectResponse(object_found=False)
        return self._client.PullObject(request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def unreadable(answers: str) -> Message:
    """The reply to message `answers` as Flower writes one whose content is gone."""
    metadata = Metadata(
        run_id=0,
        message_id="",
        src_node_id=0,
        dst_node_id=0,
        reply_to_message_id=answers,
        group_id="",
        created_at=0.0,
        ttl=0.0,
        message_type="train",
    )
    error = Error(code=ErrorCode.MESSAGE_UNAVAILABLE, reason="the reply could not be read")
    return cast(Message, cast(Any, Message)(error=error, metadata=metadata))


def carried(message: Message, *, message_id: str) -> Message:
    """`message` as its receiver sees it: numbered, and serialised on the way.

    Stock strategies share one record among all messages; only serialising separates them.
    """
    message.metadata.__dict__["_message_id"] = message_id
    if message.has_error():
        return cast(Message, cast(Any, Message)(error=message.error, metadata=message.metadata))
    content = recorddict_from_proto(recorddict_to_proto(message.content))
    return with_content(content, message.metadata)


# --- the deployment engine --------------------------------------------------------------------
# Imported where they are used: SuperLink and its client bring a web server and a database.


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
