"""A member that does not follow the protocol when it is told so; a mod around swarm_mod.

Each message is answered by a fresh process, so whatever is bent here is bent for one message.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict

import flwr_swarm.mod as ours
from flwr_swarm.encryption import ThresholdScheme, dealing
from flwr_swarm.encryption.parameters import MODULUS
from flwr_swarm.flower.records import BLOBS, FIELDS
from flwr_swarm.protocol import merge as merging

from .orders import orders

TRAINING: dict[str, Any] = {}
"""What the train function is told."""
_OLD = "mischief.old"

Next = Callable[[Message, Context], Message]


def mischief(message: Message, context: Context, call_next: Next) -> Message:
    """Do as told in this round and phase, else pass on."""
    fields = message.content.config_records.get(FIELDS) if message.has_content() else None
    if fields is None:
        return call_next(message, context)
    phase, number = str(fields["phase"]), int(fields.get("round", 0))
    Path(f"at-{number}-{phase}").touch()  # so that the benchmark can tell who is at it
    told = orders(number, phase)
    TRAINING.update(told)
    time.sleep(float(told.get("linger_before", 0.0)))
    for name, bend in _BENT.items():
        if name in told:
            bend(told[name])
    reply = call_next(message, context)
    if phase == "seal":
        old = dict(context.state.config_records.get(f"{_OLD}.fields", {}))
        if "replay" in told and old:
            return _replayed(message, context)
        if reply.has_content():
            _keep(reply, context)
    if "false_opening" in told:
        _falsify(reply)
    time.sleep(float(told.get("linger_after", 0.0)))
    return reply


def _wrong_sum(_: object) -> None:
    """The first update counts twice in the sum that this member signs."""
    take = merging._Group.take

    def twice(group: Any, member: int, parsed: Any) -> None:
        first = group.total is None
        take(group, member, parsed)
        if first and group.total is not None:
            group.total = ThresholdScheme().plus(group.total, parsed.ciphertext)

    merging._Group.take = twice  # type: ignore[method-assign]


def _wrong_sum_if_leader(_: object) -> None:
    honest = ours.merge

    def merge(site: Any, request: Any, view: Any) -> Any:
        if _leads(site, view):
            _wrong_sum(None)
        return honest(site, request, view)

    ours.merge = merge


def _leads(site: Any, view: Any) -> bool:
    """Whether this member is the round's first leader, and its turn it is."""
    leader, current = view.members[view.current.leader], view.current
    return current.view == 0 and leader.account.lower() == site.identity.account.lower()


def _two_sums_if_leader(_: object) -> None:
    """The right sum is signed, another one handed over."""
    honest = ours.merge

    def merge(site: Any, request: Any, view: Any) -> Any:
        memory, reply = honest(site, request, view)
        if not _leads(site, view):
            return memory, reply
        _wrong_sum(None)
        blind = replace(site, memory=replace(site.memory, signed={}))
        _, other = honest(blind, request, view)
        return memory, replace(reply, merged=other.merged)

    ours.merge = merge


def _bad_dealing(victim: object) -> None:
    """One holder's share is not on the polynomial."""
    honest = dealing.evaluate

    def evaluate(coefficients: Any, point: int) -> Any:
        share = honest(coefficients, point)
        if point == int(str(victim)) + 1:
            share = share.copy()
            share[7] = (int(share[7]) + 1) % MODULUS
        return share

    dealing.evaluate = evaluate


def _keep(reply: Message, context: Context) -> None:
    content = reply.content
    context.state[f"{_OLD}.fields"] = ConfigRecord(dict(content.config_records[FIELDS]))
    context.state[f"{_OLD}.blobs"] = ArrayRecord(dict(content.array_records[BLOBS]))


def _replayed(message: Message, context: Context) -> Message:
    content = RecordDict(
        {
            FIELDS: context.state.config_records[f"{_OLD}.fields"],
            BLOBS: context.state.array_records[f"{_OLD}.blobs"],
        }
    )
    return Message(content, reply_to=message)


def _falsify(reply: Message) -> None:
    blobs = reply.content.array_records[BLOBS]
    opening = bytearray(blobs["opening"].data)
    for at in range(len(opening) // 2, len(opening) // 2 + 64, 8):
        opening[at] ^= 1
    values = np.frombuffer(bytes(opening), np.uint8)
    old = blobs["opening"]
    blobs["opening"] = Array(
        dtype=old.dtype, shape=(len(values),), stype=old.stype, data=values.tobytes()
    )


_BENT: dict[str, Callable[[object], None]] = {
    "wrong_sum_if_leader": _wrong_sum_if_leader,
    "two_sums_if_leader": _two_sums_if_leader,
    "bad_dealing": _bad_dealing,
}
