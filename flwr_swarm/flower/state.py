"""What a site keeps between messages: beside its keystore, or in `context.state` without one.

Flower keeps `context.state` in the SuperNode (or in the simulation's own process), in memory, and
never sends it to the server: it is gone when the SuperNode ends. A site with a keystore
(`swarm-keys`) keeps its memory and its privacy accountant on its disk instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from flwr.app import ConfigRecord, Context

from .. import privacy
from .._exceptions import MemoryDamaged
from .._octets import Octets
from ..keystore import Keystore
from ..keystore.disk import Disk
from ..keystore.keys import MemberKeys
from ..protocol.hashing import parse_json
from ..protocol.memory import Memory
from ..protocol.memory_blobs import from_blobs, to_blobs
from .blob import blob_of, blob_record

KEYS: Final = "flwr_swarm.keys"
MEMORY: Final = "flwr_swarm.memory"
KEYS_OPTION: Final = "swarm-keys"
_PRIVACY: Final = "privacy"
_DEEPEST: Final = 4


def load_keys(context: Context) -> MemberKeys | None:
    """The site's keys, or None before it enrolled."""
    record = context.state.config_records.get(KEYS)
    if record is None:
        return None
    return MemberKeys(
        account_key=_as_bytes(record["account_key"]),
        share_key_bytes=_as_bytes(record["share_key"]),
    )


def save_keys(context: Context, keys: MemberKeys) -> None:
    """Keep the site's keys; they are made once."""
    context.state[KEYS] = ConfigRecord(
        {"account_key": keys.account_key, "share_key": keys.share_key_bytes}
    )


class _Store(Protocol):
    def load(self) -> Mapping[str, Octets]: ...

    def save(self, blobs: Mapping[str, Octets]) -> None: ...


class _ContextStore:
    """Blobs in Flower's own state."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def load(self) -> Mapping[str, Octets]:
        record = self._context.state.array_records.get(MEMORY)
        return {} if record is None else {name: blob_of(a) for name, a in record.items()}

    def save(self, blobs: Mapping[str, Octets]) -> None:
        self._context.state[MEMORY] = blob_record(blobs)


def load_memory(context: Context, *, chain_id: int = 0, contract: str = "") -> Memory:
    """What the site remembers of a contract; empty at first.

    The accountant's history comes along into `context.state`, where `make_private` looks for it,
    unless that holds more already.

    Raises
    ------
    MemoryDamaged
        The disk holds something else than what was saved.
    """
    blobs = _store(context, chain_id, contract).load()
    if _PRIVACY in blobs:
        _bring_history(context, bytes(blobs[_PRIVACY]))
    return from_blobs(blobs)


def save_memory(context: Context, memory: Memory, *, chain_id: int = 0, contract: str = "") -> None:
    """Replace what the site remembers, its accountant included; durable when this returns.

    Size: two models and two sums at most, and the member's own last update.

    Raises
    ------
    MemoryDamaged
        The disk refused, for instance because it is full; what was there is still there.
    """
    blobs = to_blobs(memory)
    history = context.state.config_records.get(privacy.STATE_KEY)
    if history is not None:
        blobs[_PRIVACY] = json.dumps(dict(history), sort_keys=True).encode()
    _store(context, chain_id, contract).save(blobs)


def _store(context: Context, chain_id: int, contract: str) -> _Store:
    folder = context.node_config.get(KEYS_OPTION)
    if folder is None:
        return _ContextStore(context)
    memories = Keystore(Path(str(folder))).memory
    return Disk(memories / f"{chain_id}-{contract.lower()}")


def _bring_history(context: Context, data: bytes) -> None:
    try:
        fields: dict[str, Any] = parse_json(data, deepest=_DEEPEST)
        found = ConfigRecord(fields)
    except (ValueError, TypeError) as error:
        raise MemoryDamaged(
            "the site's privacy accountant is not readable; restore the site's memory, training "
            "on without it would forget what was spent"
        ) from error
    here = context.state.config_records.get(privacy.STATE_KEY)
    if here is None or _rounds(here) < _rounds(found):
        context.state[privacy.STATE_KEY] = found


def _rounds(history: ConfigRecord) -> int:
    return sum(int(v) for n in ("rounds", "unprotected") if isinstance(v := history.get(n), int))


def _as_bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"a stored field is {type(value).__name__}, expected bytes")
    return value
