"""A relay that lies: it sends a model of its own making where the strategy meant another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from flwr.app import ArrayRecord, Message
from flwr.serverapp import Grid

from flwr_swarm.flower.records import OURS

from .crossing import RecordingGrid
from .views import State


class CraftingGrid(RecordingGrid):
    """Puts `crafted` in the place of the model in messages to train, and records what comes back.

    Parameters
    ----------
    grid : Grid
    crafted : State
    victims : collection of int, optional
        Nodes to lie to; all by default.
    since : callable
        Takes the round that a message names, and says whether to lie in it.
    """

    def __init__(
        self,
        grid: Grid,
        crafted: State,
        *,
        victims: Collection[int] | None = None,
        since: Callable[[int], bool] = lambda turn: turn > 1,
    ) -> None:
        super().__init__(grid)
        self._crafted = ArrayRecord(dict(crafted))
        self._victims = victims
        self._since = since

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Push, with lies."""
        return super().push_messages([self._bent(message) for message in messages])

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send and receive, with lies."""
        return super().send_and_receive([self._bent(m) for m in messages], timeout=timeout)

    def _bent(self, message: Message) -> Message:
        if self._victims is not None and message.metadata.dst_node_id not in self._victims:
            return message
        turns = [
            int(record["server-round"])  # type: ignore[arg-type]
            for record in message.content.config_records.values()
            if "server-round" in record
        ]
        if message.metadata.message_type == "train" and turns and self._since(turns[0]):
            for name in [n for n in message.content.array_records if n not in OURS]:
                message.content[name] = self._crafted
        return message
