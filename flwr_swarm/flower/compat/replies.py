"""Replies that a SuperLink announced, each fetched by itself."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from functools import partial
from typing import Any

from flwr.app import Message


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

    grid = getattr(grid.pull_messages, "__self__", None)  # whose it is, also behind a wrapper
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
