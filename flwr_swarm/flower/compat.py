"""The one module that knows Flower's private parts; everything else uses its public API.

Measured with Flower 1.41.0; pyproject pins the minor version.
"""

from __future__ import annotations

from typing import Any, cast

from flwr.app import Message, RecordDict
from flwr.app.metadata import Metadata
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.supercore.task_identity import TaskIdentity


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


def carried(message: Message, *, message_id: str) -> Message:
    """`message` as its receiver sees it: numbered, and serialised on the way.

    Stock strategies share one record among all messages; only serialising separates them.
    """
    message.metadata.__dict__["_message_id"] = message_id
    if message.has_error():
        return cast(Message, cast(Any, Message)(error=message.error, metadata=message.metadata))
    content = recorddict_from_proto(recorddict_to_proto(message.content))
    return with_content(content, message.metadata)
