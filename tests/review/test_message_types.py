"""A swarm phase runs the user's function that it is about, and no other."""

from __future__ import annotations

from collections.abc import Callable

from hostile import counting_app
from swarm_bench import Bench, set_field, twin


def test_an_evaluation_that_would_train_is_refused(bench: Callable[..., Bench]) -> None:
    """Its reply would be a single trained model, in the clear."""
    ran: list[int] = []
    swarm = bench(app=dict.fromkeys(range(3), counting_app(ran)))
    swarm.round()
    ran.clear()
    content = twin(swarm.plan()[1])
    set_field(content, "phase", "evaluate")
    reply = swarm.ask(1, content, "train")
    assert reply.has_error()
    assert "ProtocolError" in reply.error.reason
    assert ran == []


def test_an_honest_evaluation_is_answered(bench: Callable[..., Bench]) -> None:
    swarm = bench(nodes=3)
    swarm.round()
    content = twin(swarm.plan()[1])
    set_field(content, "phase", "evaluate")
    reply = swarm.ask(1, content, "evaluate")
    assert not reply.has_error()
    assert not reply.content.array_records


def test_a_seal_request_that_would_evaluate_is_refused(bench: Callable[..., Bench]) -> None:
    ran: list[int] = []
    swarm = bench(app=dict.fromkeys(range(3), counting_app(ran)))
    swarm.round()
    ran.clear()
    assert "ProtocolError" in swarm.refusal(1, twin(swarm.plan()[1]), "evaluate")
    assert ran == []
