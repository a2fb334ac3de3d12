"""Messages as Flower makes and carries them."""

from __future__ import annotations

from typing import Any, cast

from flwr.app import Error, Message, RecordDict
from flwr.app.metadata import Metadata
from flwr.common.constant import ErrorCode
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.supercore.task_identity import TaskIdentity


def bind_process(*, run_id: int, node_id: int) -> None:
    """Name run, task and node of this process, as Flower's own entry points do."""
    TaskIdentity.run_id = run_id
    TaskIdentity.task_id = run_id
    TaskIdentity.node_id = node_id


def detached_message(content: RecordDict) -> Message:
    """A message that belongs to no run: a strategy only reads its content."""
    return with_content(content, _of_no_run())


def _of_no_run(answers: str = "") -> Metadata:
    return Metadata(
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


def unreadable(answers: str) -> Message:
    """The reply to message `answers` as Flower writes one whose content is gone."""
    error = Error(code=ErrorCode.MESSAGE_UNAVAILABLE, reason="the reply could not be read")
    return cast(Message, cast(Any, Message)(error=error, metadata=_of_no_run(answers)))


def carried(message: Message, *, message_id: str) -> Message:
    """`message` as its receiver sees it: numbered, and serialised on the way.

    Stock strategies share one record among all messages; only serialising separates them.
    """
    message.metadata.__dict__["_message_id"] = message_id
    if message.has_error():
        return cast(Message, cast(Any, Message)(error=message.error, metadata=message.metadata))
    content = recorddict_from_proto(recorddict_to_proto(message.content))
    return with_content(content, message.metadata)
