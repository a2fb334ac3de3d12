"""A hostile member: what it seals or sends wrongly excludes it, and stops nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from hostile import only
from swarm_bench import Bench, blob_of, flipped, same, set_blob, set_field

from flwr_swarm.encryption import Codec
from flwr_swarm.flower.records import BLOBS


def flip_share(_: int, message: Message) -> Message:
    set_blob(message.content, "envelope/2", flipped(blob_of(message.content, "envelope/2")))
    return message


def swap_shares(_: int, message: Message) -> Message:
    first, second = (blob_of(message.content, f"envelope/{holder}") for holder in (0, 2))
    set_blob(message.content, "envelope/0", second)
    set_blob(message.content, "envelope/2", first)
    return message


def fewer_shares(_: int, message: Message) -> Message:
    del message.content.array_records[BLOBS]["envelope/3"]
    set_field(message.content, "envelopes", 3)
    return message


def flip_payload(_: int, message: Message) -> Message:
    set_blob(message.content, "payload", flipped(blob_of(message.content, "payload")))
    return message


@pytest.mark.parametrize("bend", [flip_share, swap_shares, fewer_shares, flip_payload])
def test_a_seal_that_is_not_delivered_as_sealed_is_left_out(
    bench: Callable[..., Bench], bend: Callable[[int, Message], Message]
) -> None:
    swarm = bench()
    first = swarm.model
    swarm.to_relay["seal"] = only(1, bend)
    assert swarm.round() is not None
    assert swarm.view().current.seal_of(1) is not None
    assert swarm.view().current.certificate.included == (0, 2, 3)
    assert swarm.errors == {}
    assert not same(swarm.model, first)


def test_a_share_of_an_earlier_round_is_left_out(bench: Callable[..., Bench]) -> None:
    """It is well formed and from the right member to the right holder, but not the sealed one."""
    swarm = bench()
    swarm.round()
    (old,) = (m for phase, who, m in swarm.answered if (phase, who) == ("seal", 1))

    def stale(_: int, message: Message) -> Message:
        set_blob(message.content, "envelope/2", blob_of(old.content, "envelope/2"))
        return message

    swarm.to_relay["seal"] = only(1, stale)
    assert swarm.round() is not None
    assert swarm.view().current.certificate.included == (0, 2, 3)


def test_an_update_of_another_length_is_left_out(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One lane more fits into the same ciphertext; only its header tells."""
    honest, calls = Codec.encoding, [0]

    def longer(self: Codec, *args: Any, **options: Any) -> np.ndarray:
        calls[0] += 1
        encoding = honest(self, *args, **options)
        (lanes,) = encoding.groups(encoding.size)
        return np.append(lanes, np.uint32(7)) if calls[0] == 2 else lanes

    monkeypatch.setattr(Codec, "encoding", longer)
    swarm = bench()
    assert swarm.round() is not None
    assert swarm.view().current.seal_of(1) is not None
    assert swarm.view().current.certificate.included == (0, 2, 3)


def test_a_member_cannot_speak_for_another(bench: Callable[..., Bench]) -> None:
    swarm = bench()

    def claim(_: int, message: Message) -> Message:
        set_field(message.content, "member", 2)
        return message

    for phase in ("seal", "merge", "open"):
        swarm.to_relay[phase] = only(1, claim)
    assert swarm.round() is not None
    assert 2 in swarm.view().current.certificate.included
    assert 1 not in swarm.view().current.certificate.included
