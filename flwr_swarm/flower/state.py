"""A member's keys and memory in `context.state`, the one thing that outlives a message.

Flower keeps `context.state` at the site (in the SuperNode, or in the simulation's own process)
and never sends it to the server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from flwr.app import Array, ArrayRecord, ConfigRecord, Context

from ..keystore.keys import MemberKeys
from ..protocol.hashing import Arrays, canonical_json
from ..protocol.memory import Held, Memory, Parent
from ..protocol.messages import Place
from ..protocol.terms import Terms
from .records import STYPE, array_record, numpy_arrays

KEYS: Final = "flwr_swarm.keys"
MEMORY: Final = "flwr_swarm.memory"
_PARENTS: Final = ("parent", "pending", "held")


def load_keys(context: Context) -> MemberKeys | None:
    """The site's keys, or None before it enrolled."""
    record = context.state.config_records.get(KEYS)
    if record is None:
        return None
    return MemberKeys(
        account_key=bytes(_as_bytes(record["account_key"])),
        share_key_bytes=bytes(_as_bytes(record["share_key"])),
    )


def save_keys(context: Context, keys: MemberKeys) -> None:
    """Keep the site's keys; they are made once."""
    context.state[KEYS] = ConfigRecord(
        {"account_key": keys.account_key, "share_key": keys.share_key_bytes}
    )


def load_memory(context: Context) -> Memory:
    """What the site remembers; empty at first."""
    record = context.state.config_records.get(MEMORY)
    if record is None:
        return Memory()
    facts = json.loads(_as_bytes(record["facts"]))
    parents = {name: _load_parent(context, name, facts["parents"].get(name)) for name in _PARENTS}
    return Memory(
        place=Place(**facts["place"]) if facts["place"] else None,
        parent=parents["parent"],
        pending=_load_held(context, "pending", facts["held"].get("pending"), parents["pending"]),
        held=_load_held(context, "held", facts["held"].get("held"), parents["held"]),
        signed={(r, v): bytes.fromhex(digest) for r, v, digest in facts["signed"]},
        opened={int(r): bytes.fromhex(digest) for r, digest in facts["opened"]},
    )


def save_memory(context: Context, memory: Memory) -> None:
    """Replace what the site remembers. Size: two models and two sums at most, beside the facts."""
    for name in list(context.state):
        if name.startswith(f"{MEMORY}."):
            del context.state[name]
    owners = {
        "parent": memory.parent,
        "pending": memory.pending.parent if memory.pending else None,
        "held": memory.held.parent if memory.held else None,
    }
    facts: dict[str, Any] = {"parents": {}, "held": {}}
    for name, parent in owners.items():
        if parent is not None:
            facts["parents"][name] = _save_parent(context, name, parent, owners)
    for name, held in (("pending", memory.pending), ("held", memory.held)):
        if held is not None:
            facts["held"][name] = {
                "included": list(held.included),
                "layout": held.layout.hex(),
                "terms": held.terms.to_json(),
                "threshold": held.threshold,
            }
            blob = Array(dtype="uint8", shape=(len(held.merged),), stype=STYPE, data=held.merged)
            context.state[f"{MEMORY}.{name}.merged"] = ArrayRecord({"merged": blob})
    facts["place"] = (
        {**vars(memory.place), "terms": dict(memory.place.terms)} if (memory.place) else None
    )
    facts["signed"] = [[r, v, digest.hex()] for (r, v), digest in memory.signed.items()]
    facts["opened"] = [[r, digest.hex()] for r, digest in memory.opened.items()]
    context.state[MEMORY] = ConfigRecord({"facts": canonical_json(facts)})


def _save_parent(
    context: Context, name: str, parent: Parent, owners: Mapping[str, Parent | None]
) -> dict[str, Any]:
    """Store a parent's arrays once, even if several memories share it."""
    for other in _PARENTS[: _PARENTS.index(name)]:
        twin = owners[other]
        if twin is not None and (twin.round, twin.hash) == (parent.round, parent.hash):
            return {"same_as": other}
    context.state[f"{MEMORY}.{name}.model"] = array_record(parent.model)
    context.state[f"{MEMORY}.{name}.state"] = array_record(parent.state)
    return {"round": parent.round, "hash": parent.hash.hex()}


def _load_parent(context: Context, name: str, facts: dict[str, Any] | None) -> Parent | None:
    if facts is None:
        return None
    if "same_as" in facts:
        # `same_as` always points at an earlier name, whose facts are complete.
        return _load_parent(context, facts["same_as"], _facts_of(context, facts["same_as"]))
    return Parent(
        round=int(facts["round"]),
        hash=bytes.fromhex(facts["hash"]),
        model=_stored(context, f"{MEMORY}.{name}.model"),
        state=_stored(context, f"{MEMORY}.{name}.state"),
    )


def _facts_of(context: Context, name: str) -> dict[str, Any] | None:
    facts = json.loads(_as_bytes(context.state.config_records[MEMORY]["facts"]))
    found: dict[str, Any] | None = facts["parents"].get(name)
    return found


def _load_held(
    context: Context, name: str, facts: dict[str, Any] | None, parent: Parent | None
) -> Held | None:
    if facts is None or parent is None:
        return None
    merged = context.state.array_records[f"{MEMORY}.{name}.merged"]["merged"]
    return Held(
        parent=parent,
        terms=Terms.from_json(facts["terms"]),
        threshold=int(facts["threshold"]),
        included=tuple(int(member) for member in facts["included"]),
        layout=bytes.fromhex(facts["layout"]),
        merged=bytes(merged.data),
    )


def _stored(context: Context, name: str) -> Arrays:
    return numpy_arrays(context.state.array_records[name])


def _as_bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"a stored field is {type(value).__name__}, expected bytes")
    return value
