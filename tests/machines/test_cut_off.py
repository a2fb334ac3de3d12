"""A relay that was cut off while another one went on: it comes back, and no round is lost."""

from __future__ import annotations

import pytest
from machine_ending import Ending
from machine_resuming import Successor
from planted import Patch
from test_each_way import Run
from test_false_openers import with_whatever_openings
from test_resumed_anywhere import asked

from flwr_swarm.protocol.hashing import model_hash
from flwr_swarm.protocol.member import last_certified
from flwr_swarm.protocol.types import Phase


def cut_off(mine: int, meanwhile: int) -> tuple[Run, Successor]:
    """A relay that made `mine` trips, while another made `meanwhile` after those."""
    run = Run()
    run.relay = first = Successor(run.world, run.sites)
    for _ in range(mine):
        asked(run, run.relay.act())
    run.relay = Successor(run.world, run.sites)
    asked(run, run.relay.act())  # what it owes a certified round, or its first
    for _ in range(meanwhile - 1):
        asked(run, run.relay.act())
    run.relay.follow(run.world.view())
    return run, first


@pytest.mark.parametrize("meanwhile", range(1, 8))
@pytest.mark.parametrize("mine", [1, 3, 4, 6])
def test_it_goes_on_whatever_was_done_meanwhile(mine: int, meanwhile: int) -> None:
    """A round that the other one left merging may be void: its sealed updates went with it."""
    run, first = cut_off(mine, meanwhile)
    merging = run.world.state.current.round.phase is Phase.MERGING
    opened, number = run.relay.opened, run.world.state.last_certified
    Ending(run.world, run.sites, 1).check(first)
    assert run.world.reached["ended in attempt 1"] or merging, "a round was tried in vain"
    certified = [r.round for r in run.world.state.records if r.round.certificate is not None]
    if number and opened == number:
        after = next(r for r in certified if r.number > number)
        assert after.parent == model_hash(run.relay.model, run.relay.state), "a round was lost"


def test_one_that_looks_at_no_sum_is_found(monkeypatch: Patch) -> None:
    run, first = cut_off(3, 6)
    assert last_certified(run.world.view()) is not None
    monkeypatch.setattr(Successor, "ground", with_whatever_openings)
    with pytest.raises(AssertionError, match="none was opened"):
        Ending(run.world, run.sites, 1).check(first)
