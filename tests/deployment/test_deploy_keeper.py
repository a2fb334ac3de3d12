"""A keeper against processes that die, are missing, or never get ready, in any order of events."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from flwr_swarm.deployment.backoff import Backoff
from flwr_swarm.deployment.keeper import READY_SECONDS, Keeper, NotYet

BACKOFF = Backoff(first=2.0, factor=2.0, most=20.0)
AWAY = 8.0
SLACK = 1.0
"""Longest time between two ticks."""


class FakeProcess:
    def __init__(self, pid):
        self.pid, self.code, self.asked_to_end = pid, None, False

    def poll(self):
        return self.code

    def end(self):
        self.asked_to_end = True
        self.code = 0


class FakeService:
    name = "thing"

    def __init__(self):
        self.started, self.missing, self.able, self.away = [], False, True, 0.0

    def start(self):
        if self.missing:
            raise NotYet("something is missing")
        assert all(process.code is not None for process in self.started), "two at a time"
        self.started.append(FakeProcess(len(self.started) + 1))
        return self.started[-1]

    def is_ready(self):
        return self.able

    def ended(self, code):
        return self.away


class Kept(RuleBasedStateMachine):
    """The clock moves only here; the keeper is asked at least once a second of it."""

    @initialize(restart=st.booleans())
    def begin(self, restart):
        self.now, self.said, self.restart = 0.0, [], restart
        self.service = FakeService()
        self.keeper = Keeper(
            self.service,
            say=self.said.append,
            restart=restart,
            backoff=BACKOFF,
            clock=lambda: self.now,
        )
        self.died_at = None
        self.least = 0.0
        self.keeper.begin()

    @property
    def living(self):
        return [process for process in self.service.started if process.code is None]

    @rule(ticks=st.integers(1, 40))
    def time_passes(self, ticks):
        for _ in range(ticks):
            self.now += SLACK
            before = len(self.service.started)
            self.keeper.tick()
            if len(self.service.started) > before and self.died_at is not None:
                assert self.now - self.died_at >= self.least, "it came back too early"
                assert self.restart, "it was not to come back"
                self.died_at = None

    @rule(code=st.sampled_from([-9, 0, 1, 75]))
    def it_dies(self, code):
        for process in self.living:
            process.code = code
            self.died_at, self.least = self.now, max(self.service.away, BACKOFF.first)

    @rule(missing=st.booleans())
    def what_it_needs_comes_or_goes(self, missing):
        self.service.missing = missing

    @rule(able=st.booleans())
    def it_works_or_not(self, able):
        self.service.able = able

    @rule(away=st.sampled_from([0.0, AWAY]))
    def it_must_stay_away(self, away):
        if self.died_at is None:
            self.service.away = away

    @rule()
    def all_is_well_in_the_end(self):
        """Whatever happened, it runs again within the bound, if it may."""
        if not self.restart:
            return
        self.service.missing, self.service.able = False, True
        self.time_passes(int(READY_SECONDS + BACKOFF.most + AWAY + 5))
        assert self.keeper.ready
        assert self.keeper.pid == self.living[0].pid

    def teardown(self):
        """Ended in whatever state it is, it stays so."""
        if not hasattr(self, "keeper"):
            return
        self.keeper.stop()
        for _ in range(50):
            self.now += SLACK
            self.keeper.tick()
        assert not self.living

    @invariant()
    def no_more_than_one_lives(self):
        assert len(self.living) <= 1

    @invariant()
    def ready_means_alive_at_the_last_look(self):
        if self.keeper.ready:
            assert self.keeper.pid is not None


TestKeeper = Kept.TestCase
TestKeeper.settings = settings(max_examples=400)


def run(keeper, now, seconds):
    for _ in range(seconds):
        now[0] += 1.0
        keeper.tick()


def test_a_wait_says_what_it_waits_for_and_does_not_chatter():
    said, now, service = [], [0.0], FakeService()
    service.missing = True
    keeper = Keeper(service, say=said.append, clock=lambda: now[0])
    keeper.begin()
    run(keeper, now, 50)
    assert len(said) == 1
    assert "something is missing" in said[0]
    run(keeper, now, 60)
    assert len(said) == 2  # a reminder
    service.missing = False
    run(keeper, now, 10)
    assert "ready" in said[-1]


def test_a_death_is_said_with_its_signal_and_the_time_of_the_next_try():
    said, now, service = [], [0.0], FakeService()
    keeper = Keeper(service, say=said.append, backoff=BACKOFF, clock=lambda: now[0])
    keeper.begin()
    run(keeper, now, 3)
    service.started[-1].code = -9
    run(keeper, now, 1)
    assert "signal 9" in said[-1]
    assert "next try in 2 s, at " in said[-1]


def test_a_steady_life_forgives_earlier_deaths():
    now, service = [0.0], FakeService()
    keeper = Keeper(service, say=lambda _: None, backoff=BACKOFF, clock=lambda: now[0])
    keeper.begin()
    for _ in range(5):
        run(keeper, now, 30)
        service.started[-1].code = 1
    run(keeper, now, 30)
    assert keeper.failures == 5
    run(keeper, now, 61)
    assert keeper.failures == 0


def test_what_is_not_restarted_stays_dead_until_it_is_asked_for():
    said, now, service = [], [0.0], FakeService()
    keeper = Keeper(service, say=said.append, restart=False, clock=lambda: now[0])
    keeper.begin()
    run(keeper, now, 3)
    service.started[-1].code = -9
    run(keeper, now, 100)
    assert len(service.started) == 1
    assert "stays down" in said[-1]
    keeper.begin()
    run(keeper, now, 1)
    assert len(service.started) == 2
