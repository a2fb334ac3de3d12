"""Run a Flower app in this process, message by message: for tests of apps, mods and strategies."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from .flower.compat import bind_process, carried

Tamper = Callable[[Message], Message | None]
"""Sees every message on its way; returns it, another one, or None to drop it."""


class InProcessGrid(Grid):
    """A grid whose nodes are ClientApps in this process, answering in turn.

    Every message is serialised on its way, as in Flower's own runtimes, so that nodes share no
    state. A ClientApp that raises answers with an error, as a SuperNode does.

    Parameters
    ----------
    app : ClientApp, or mapping of int to ClientApp
        What each node runs.
    nodes : int
        How many nodes, if `app` is one ClientApp.
    node_config : mapping, optional
        Added to every node's config beside ``partition-id`` and ``num-partitions``.
    run_config : mapping, optional
        The run's config at every node.
    to_node, to_relay : callable, optional
        See `Tamper`: a hostile network.
    """

    def __init__(
        self,
        app: ClientApp | Mapping[int, ClientApp],
        *,
        nodes: int = 4,
        run_id: int = 1,
        node_config: Mapping[str, Any] | None = None,
        run_config: Mapping[str, Any] | None = None,
        to_node: Tamper = lambda message: message,
        to_relay: Tamper = lambda message: message,
    ) -> None:
        bind_process(run_id=run_id, node_id=1)
        apps = dict(app) if isinstance(app, Mapping) else dict.fromkeys(range(nodes), app)
        self._run_id = run_id
        self._numbers = itertools.count(1)
        self._apps = {1000 + partition: one for partition, one in apps.items()}
        self.contexts = {
            1000 + partition: Context(
                run_id=run_id,
                node_id=1000 + partition,
                node_config={
                    "partition-id": partition,
                    "num-partitions": len(apps),
                    **(node_config or {}),
                },
                state=RecordDict(),
                run_config=dict(run_config or {}),
            )
            for partition in apps
        }
        self.to_node = to_node
        self.to_relay = to_relay
        self.offline: set[int] = set()
        """Nodes that answer nothing."""
        self._replies: dict[str, Message] = {}

    @property
    def run(self) -> Any:
        """Only what a strategy reads of a run: its id."""
        return _Run(self._run_id)

    def set_run(self, run: Any) -> None:
        """Take the run's id."""
        self._run_id = run.run_id

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        """Not needed: construct `Message` itself, as Flower's documentation asks."""
        raise TypeError("construct flwr.app.Message instead")

    def get_node_ids(self) -> Iterable[int]:
        """Nodes that are online."""
        return [node for node in self._apps if node not in self.offline]

    def get_nodes(self) -> Iterable[Any]:
        """Not offered here; strategies use `get_node_ids`."""
        raise TypeError("InProcessGrid lists nodes with get_node_ids()")

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Deliver each message and keep its reply."""
        ids = []
        for message in messages:
            message_id = f"message-{next(self._numbers)}"
            sent = carried(message, message_id=message_id)
            message.metadata.__dict__["_message_id"] = message_id
            ids.append(message_id)
            reply = self._deliver(sent)
            if reply is not None:
                self._replies[message_id] = reply
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Hand out the replies that exist, once."""
        found = [self._replies.pop(i) for i in list(message_ids) if i in self._replies]
        return found

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Push and pull; nothing here takes longer than the nodes do."""
        return self.pull_messages(self.push_messages(messages))

    def _deliver(self, message: Message) -> Message | None:
        node = message.metadata.dst_node_id
        if node in self.offline:
            return None
        tampered = self.to_node(message)
        if tampered is None:
            return None
        try:
            answer = self._apps[node](tampered, self.contexts[node])
        except Exception as error:
            answer = Message(
                Error(code=1, reason=f"{type(error).__name__}: {error}"), reply_to=message
            )
        reply = carried(answer, message_id=f"message-{next(self._numbers)}")
        return self.to_relay(reply)


class _Run:
    def __init__(self, run_id: int) -> None:
        self.run_id = run_id
