"""A holder opens one set a round, whoever asks, in whatever order, and over restarts."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import combinations
from threading import Barrier, Lock

import pytest
from encryption_support import (
    certified_set,
    dealt_to,
    key_pairs,
    round_context,
    seal_all,
    sum_without_memory,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from flwr_swarm._exceptions import (
    BadDealing,
    ConfigurationError,
    OpeningReused,
    ShareRefused,
    SwarmError,
)
from flwr_swarm.encryption import (
    CertifiedSet,
    Dealt,
    Holder,
    RoundContext,
    Sealed,
    ThresholdScheme,
    VolatileMemory,
    wire,
)
from flwr_swarm.encryption.parameters import DEFAULT

MEMBERS, THRESHOLD, ME = 4, 3, 1
SETS = [s for size in (3, 4) for s in combinations(range(MEMBERS), size)]


@cache
def sealed_in(number: int, version: int = 0) -> list[Sealed]:
    import numpy as np

    lanes = [np.full(5, i, np.uint32) for i in range(MEMBERS)]
    return seal_all(
        ThresholdScheme(),
        lanes,
        holders=MEMBERS,
        threshold=THRESHOLD,
        seed=f"{number}/{version}",
        context=round_context(number),
    )


def dealt_in(members: tuple[int, ...], number: int = 1, version: int = 0) -> dict[int, Dealt]:
    return {i: dealt_to(sealed_in(number, version)[i], ME) for i in members}


def holder(memory: VolatileMemory | None = None) -> Holder:
    keys = [key_pairs(MEMBERS)[ME][0]]
    return Holder(index=ME, private_keys=keys, memory=memory or VolatileMemory())


def senders(opening: bytes) -> tuple[int, ...]:
    return wire.read_opening(opening, DEFAULT).senders


requests = st.tuples(
    st.sampled_from(SETS), st.integers(1, 3), st.integers(0, 1), st.sampled_from([b"a", b"b"])
)


class Asked(RuleBasedStateMachine):
    """Requests for sets, rounds, dealings and certificates, with restarts in between."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = VolatileMemory()
        self.holder = holder(self.memory)
        self.given: dict[int, set[bytes]] = {}
        self.first: dict[int, tuple[object, ...]] = {}

    @rule(request=requests)
    def ask(self, request: tuple[tuple[int, ...], int, int, bytes]) -> None:
        members, number, version, name = request
        first = self.first.setdefault(number, request)
        try:
            opening = self.holder.open(
                dealt_in(members, number, version),
                certified=certified_set(members, name * 32),
                context=round_context(number),
            )
        except OpeningReused:
            assert request != first
            return
        assert request == first
        assert senders(opening) == members
        self.given.setdefault(number, set()).add(opening)

    @rule()
    def restart(self) -> None:
        self.holder = holder(self.memory)

    @invariant()
    def one_opening_a_round(self) -> None:
        assert all(len(openings) == 1 for openings in self.given.values())


TestAsked = Asked.TestCase
TestAsked.settings = settings(
    max_examples=25,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_another_parent_model_makes_no_second_round() -> None:
    """The round's number counts: a context with another anchor is asked of the same memory."""
    memory = VolatileMemory()
    members = SETS[0]
    holder(memory).open(
        dealt_in(members), certified=certified_set(members), context=round_context()
    )
    for other in (
        round_context(anchor=bytes(31) + b"\1"),
        round_context(
            contract=round_context().contract.upper().replace("0X", "0x"), anchor=b"1" * 32
        ),
    ):
        with pytest.raises(OpeningReused):
            holder(memory).open(dealt_in(members), certified=certified_set(members), context=other)


def test_a_set_is_claimed_before_a_share_is_looked_at() -> None:
    """A dealing that fails is no way to try another set."""
    memory, members = VolatileMemory(), SETS[0]
    false = dealt_in(members)
    other = dealt_in(members, version=1)[0]
    false[0] = replace(false[0], envelope=other.envelope)
    with pytest.raises(BadDealing):
        holder(memory).open(false, certified=certified_set(members), context=round_context())
    with pytest.raises(OpeningReused):
        holder(memory).open(
            dealt_in(SETS[1]), certified=certified_set(SETS[1]), context=round_context()
        )


@pytest.mark.parametrize("part", ["envelope", "proof", "hashes"])
def test_no_part_of_a_dealing_can_be_exchanged_afterwards(part: str) -> None:
    members, one = SETS[0], holder()
    dealt, other = dealt_in(members), dealt_in(members, version=1)
    one.open(dealt, certified=certified_set(members), context=round_context())
    dealt[2] = replace(dealt[2], **{part: getattr(other[2], part)})
    with pytest.raises(OpeningReused):
        one.open(dealt, certified=certified_set(members), context=round_context())


def test_what_the_memory_refuses_is_not_opened() -> None:
    class Full:
        def claim(self, context: RoundContext, opened: bytes) -> bytes:
            raise OSError("disk full")

    members = SETS[0]
    keys = [key_pairs(MEMBERS)[ME][0]]
    with pytest.raises(OSError, match="full"):
        Holder(index=ME, private_keys=keys, memory=Full()).open(
            dealt_in(members), certified=certified_set(members), context=round_context()
        )


class SlowlyFound(int):
    """A number that takes the interpreter a while to look up, so that threads change over there."""

    def __hash__(self) -> int:
        for _ in range(20_000):
            pass
        return int.__hash__(self)


def test_of_threads_that_claim_at_once_all_are_told_the_same() -> None:
    threads, rounds = 4, 20
    memory, start = VolatileMemory(), Barrier(threads)

    def claim(thread: int) -> list[bytes]:
        told = []
        for number in range(rounds):
            start.wait(60)
            told.append(memory.claim(round_context(SlowlyFound(number)), bytes([thread])))
        return told

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(threads) as pool:
            told = list(pool.map(claim, range(threads)))
    finally:
        sys.setswitchinterval(before)
    assert all(len(set(answers)) == 1 for answers in zip(*told, strict=True))


@settings(max_examples=10, deadline=None)
@given(st.permutations(SETS))
def test_of_threads_that_ask_for_different_sets_one_is_served(order: list[tuple[int, ...]]) -> None:
    memory, start, lock = VolatileMemory(), Barrier(len(order)), Lock()
    opened: list[tuple[int, ...]] = []

    def ask(members: tuple[int, ...]) -> None:
        one = holder(memory)
        dealt = dealt_in(members)
        start.wait(60)
        try:
            opening = one.open(dealt, certified=certified_set(members), context=round_context())
        except OpeningReused:
            return
        with lock:
            opened.append(senders(opening))

    with ThreadPoolExecutor(len(order)) as pool:
        list(pool.map(ask, order))
    assert len(opened) == 1


@pytest.mark.parametrize("members", [(), (1,), (0, 3)])
def test_a_set_of_fewer_than_three_is_not_opened(members: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationError, match="3 to 256 members"):
        certified_set(members)


@pytest.mark.parametrize("members", [(0, 2, 1), (0, 1, 1), (0, 0, 1, 2)])
def test_a_set_is_spelled_in_one_way(members: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationError, match="ascend"):
        CertifiedSet(members=members, certificate=bytes(32))
    with pytest.raises(ConfigurationError, match="32 bytes"):
        certified_set((0, 1, 2), b"short")


@pytest.mark.parametrize("given", [(0, 1), (0, 1, 2, 3), (0, 1, 3), ()])
def test_exactly_the_certified_set_is_opened(given: tuple[int, ...]) -> None:
    memory = VolatileMemory()
    with pytest.raises(ConfigurationError, match="the certified set is"):
        holder(memory).open(
            dealt_in(given), certified=certified_set((0, 1, 2)), context=round_context()
        )
    # What was refused was not claimed.
    members = (0, 1, 2)
    opening = holder(memory).open(
        dealt_in(members), certified=certified_set(members), context=round_context()
    )
    assert senders(opening) == members


def test_a_holder_sums_what_the_scheme_opens() -> None:
    members = SETS[-1]
    opening = holder().open(
        dealt_in(members), certified=certified_set(members), context=round_context()
    )
    assert opening == sum_without_memory(
        dealt_in(members),
        context=round_context(),
        receiver=ME,
        private_keys=[key_pairs(MEMBERS)[ME][0]],
    )


def test_a_holder_tells_none_of_its_keys() -> None:
    key = key_pairs(MEMBERS)[ME][0]
    stranger = Holder(index=ME, private_keys=[key_pairs(MEMBERS)[2][0]], memory=VolatileMemory())
    assert key.hex() not in repr(holder())
    assert "private_keys" not in repr(holder())
    with pytest.raises(ShareRefused) as refused:
        stranger.open(dealt_in(SETS[0]), certified=certified_set(SETS[0]), context=round_context())
    assert isinstance(refused.value, SwarmError)
