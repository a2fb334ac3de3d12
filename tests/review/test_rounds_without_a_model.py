"""A round that leads to no model leaves the run alive, the proof right and the evidence whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from swarm_bench import FIRST_NODE, Bench, same, twin

from flwr_swarm._exceptions import OpeningRejected
from flwr_swarm.encryption import Codec
from flwr_swarm.flower.replay import build, step
from flwr_swarm.protocol.memory import Parent
from flwr_swarm.protocol.terms import Terms
from flwr_swarm.protocol.types import Phase
from flwr_swarm.report.verify import verify


def test_one_member_that_seals_no_update_costs_a_round_not_the_run(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    swarm = bench(nodes=4)
    assert swarm.round() is not None
    before = swarm.model
    honest, calls = Codec.encoding, []

    def forged(self: Codec, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        encoding = honest(self, *args, **kwargs)
        (lanes,) = encoding.groups(encoding.size)
        if len(calls) == 1:
            lanes[:3] = 2**20  # a weight far above max_weight
        return lanes

    with monkeypatch.context() as patch:
        patch.setattr(Codec, "encoding", forged)
        assert swarm.round() is None
    assert swarm.view().current.phase is Phase.CERTIFIED
    assert swarm.round() is not None
    assert swarm.errors == {}
    assert len(swarm.view().current.certificate.included) == 4
    assert not same(swarm.model, before)
    swarm.swarm._relay.complete_evidence(swarm.model)
    proven = verify(swarm.directory)
    assert (proven.certified, proven.models) == (3, 2)


def test_a_certificate_that_comes_after_its_deadline_is_opened(
    bench: Callable[..., Bench],
) -> None:
    """A site that was asked to open answers when the relay has given up waiting."""
    swarm = bench(nodes=4)
    kept: dict[int, Message] = {}

    def delay(member: int, message: Message) -> Message | None:
        if len(kept) == 4:
            return message
        kept[member] = message
        return None

    def deliver(member: int, _: Message) -> Message:
        return Message(twin(kept[member].content), FIRST_NODE + member, "train")

    swarm.to_member = {"open": delay, "nudge": deliver}
    assert swarm.round() is not None
    swarm.to_member.clear()
    assert swarm.round() is not None
    assert swarm.errors == {}


def test_a_certificate_that_the_relay_never_saw_does_not_end_the_run(
    bench: Callable[..., Bench],
) -> None:
    swarm = bench(nodes=4)
    assert swarm.round() is not None
    old = swarm.swarm._relay.proof
    swarm.to_relay["open"] = lambda member, message: None
    model = swarm.model
    assert swarm.round() is None
    swarm.to_relay.clear()
    swarm.swarm._relay.proof = old  # as after a round that was given up, and certified later
    assert swarm.round() is not None
    assert swarm.errors == {}
    assert not same(swarm.model, model)


def test_values_that_are_not_finite_are_no_model() -> None:
    terms = Terms(encryption="threshold", members=3, clip=1e9)
    model = {"w": np.zeros(2, dtype=np.float16)}
    parent = Parent(round=1, hash=bytes(32), model=model, state={})
    lanes = terms.codec().encode(np.array([9e8, 0.0]), weight=1.0).astype(np.uint64)
    with np.errstate(over="ignore"), pytest.raises(OpeningRejected, match="finite"):
        step(build(terms), terms, 1, parent, (), lanes, 1)
