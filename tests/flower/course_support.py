"""Rounds as a strategy that owns a course holds them."""

from __future__ import annotations

from flwr.app import ConfigRecord, MetricRecord
from swarm_bench import Bench

from flwr_swarm.flower.course import Course
from flwr_swarm.protocol.terms import Terms
from flwr_swarm.protocol.types import LedgerView


class Heedless(Course):
    """A relay's own course that ends nothing, as a hostile relay's would not."""

    def reason(self, view: LedgerView, terms: Terms) -> str | None:
        """Go on."""
        return None


def train(bench: Bench, course: Course) -> MetricRecord | None:
    """One round, as a strategy that owns a course holds it."""
    bench.swarm._relay.course = Heedless()
    bench.number += 1
    bench.errors = {}
    if bench.swarm._relay.swarm is not None:
        bench.time.reach(bench.view().now)
    config = course.config(ConfigRecord())
    messages = list(bench.swarm.configure_train(bench.number, bench.model, config, bench.grid))
    replies = bench.grid.send_and_receive(messages)
    arrays, metrics = bench.swarm.aggregate_train(bench.number, replies)
    bench.model = bench.model if arrays is None else arrays
    view = bench.view()
    course.record(view.current.number, metrics, view)
    return metrics


def reason(bench: Bench, course: Course) -> str | None:
    assert bench.swarm._relay.swarm is not None
    return course.reason(bench.view(), bench.swarm._relay.swarm.terms)
