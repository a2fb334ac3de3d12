"""What outlives a site's crash, and how it comes back: as the bytes that were written."""

from __future__ import annotations

from dataclasses import dataclass, field

from flwr.app import Context, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto

from flwr_swarm.flower.state import load_memory, save_memory
from flwr_swarm.protocol.memory import Memory


@dataclass
class Disk:
    """One site's disk."""

    memory: Memory = field(default_factory=Memory)
    epsilon: int = 0

    def read_again(self) -> None:
        """As a process does that starts anew."""
        self.memory = through_bytes(self.memory)


def through_bytes(memory: Memory) -> Memory:
    """A memory as it comes back from the bytes that Flower keeps."""
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config={})
    save_memory(context, memory)
    written = recorddict_to_proto(context.state).SerializeToString()
    message = type(recorddict_to_proto(RecordDict())).FromString(written)
    context.state = recorddict_from_proto(message)
    return load_memory(context)
