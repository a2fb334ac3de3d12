"""The draw: one function of chain data, on chain and in Python; fair over a bag."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from chain_support import Swarm, digest, frozen_chain, key_of
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm.chain.codec import encode_call
from flwr_swarm.protocol import election
from flwr_swarm.protocol.quorum import tolerated_faults
from flwr_swarm.protocol.types import ZERO_HASH, Phase

hashes = st.binary(min_size=32, max_size=32)
sets = st.frozensets(st.integers(0, 63))


def draw(
    mixed: bytes, sealers: frozenset[int], led: frozenset[int], **more: object
) -> election.Draw:
    usual = {"number": 1, "previous": ZERO_HASH, "max_committee": 7}
    return election.draw(mixed=mixed, sealers=sealers, led=led, **{**usual, **more})


@given(hashes, sets.filter(bool), sets, st.integers(1, 7), st.none() | st.integers(0, 63))
def test_a_draw_gives_every_sealer_a_place_and_nobody_else(
    mixed: bytes, sealers: frozenset[int], led: frozenset[int], most: int, fixed: int | None
) -> None:
    drawn = draw(mixed, sealers, led, max_committee=most, fixed_leader=fixed)
    assert sorted(drawn.succession) == sorted(sealers)
    assert len(set(drawn.committee)) == len(drawn.committee) == min(most, len(sealers))
    assert sealers.issuperset(drawn.committee)
    if fixed in sealers:
        assert drawn.succession[0] == fixed
    else:
        fresh = sealers - drawn.led
        assert fresh, "someone is in the bag"
        assert set(drawn.succession[: len(fresh)]) == fresh


@given(hashes, sets.filter(bool), sets, st.randoms())
def test_a_draw_is_a_function_of_chain_data_alone(
    mixed: bytes, sealers: frozenset[int], led: frozenset[int], shuffler: object
) -> None:
    order = list(sealers)
    shuffler.shuffle(order)
    again = election.draw(
        number=1, mixed=mixed, previous=ZERO_HASH, sealers=order, led=led, max_committee=7
    )
    assert again == draw(mixed, sealers, led)


@given(st.lists(st.tuples(st.integers(0, 9), hashes), max_size=6), st.randoms())
def test_the_order_of_reveals_does_not_matter(
    reveals: list[tuple[int, bytes]], shuffler: object
) -> None:
    pairs = [(key_of(i).address, secret) for i, secret in reveals]
    mixed = election.mix(pairs)
    shuffler.shuffle(pairs)
    assert election.mix(pairs) == mixed


def test_every_reveal_round_and_previous_beacon_changes_the_beacon() -> None:
    pairs = [(key_of(i).address, digest(i)) for i in range(3)]
    base = election.next_beacon(1, election.mix(pairs), ZERO_HASH)
    others = {
        election.next_beacon(2, election.mix(pairs), ZERO_HASH),
        election.next_beacon(1, election.mix(pairs), digest("previous")),
        *(
            election.next_beacon(1, election.mix(p), ZERO_HASH)
            for p in itertools.combinations(pairs, 2)
        ),
    }
    assert len(others | {base}) == 6


@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 2**32))
def test_whoever_always_seals_leads_once_before_anyone_leads_twice(
    n: int, bags: int, seed: int
) -> None:
    led: frozenset[int] = frozenset()
    leaders = []
    for number in range(n * bags):
        drawn = draw(digest(seed, number), frozenset(range(n)), led)
        leaders.append(drawn.succession[0])
        led = drawn.led | {leaders[-1]}
    for at in range(0, n * bags, n):
        assert sorted(leaders[at : at + n]) == list(range(n))


@given(st.lists(st.frozensets(st.integers(0, 5), min_size=1), min_size=1, max_size=30))
def test_with_members_coming_and_going_nobody_leads_twice_while_a_sealer_has_not(
    rounds: list[frozenset[int]],
) -> None:
    led: frozenset[int] = frozenset()
    for number, sealers in enumerate(rounds):
        drawn = draw(digest(number), sealers, led)
        leader = drawn.succession[0]
        if leader in led:
            assert sealers <= led, "only an empty bag is refilled"
        assert drawn.led - led == frozenset()
        assert led - drawn.led in (frozenset(), sealers & led)
        led = drawn.led | {leader}


def test_first_places_are_uniform() -> None:
    """Chi-squared over 1400 draws, seven members; 99.99 % of fair draws pass, and it is fixed."""
    for office in ("succession", "committee"):
        counts = Counter(
            getattr(draw(digest(office, i), frozenset(range(7)), frozenset()), office)[0]
            for i in range(1400)
        )
        expected = 1400 / 7
        assert sum((counts[m] - expected) ** 2 / expected for m in range(7)) < 27.9


@pytest.mark.parametrize("size", range(1, 65))
def test_two_quorums_share_an_honest_member(size: int) -> None:
    faulty = (size - 1) // 3
    need = election.quorum(size)
    assert 2 * need - size > faulty  # the smallest overlap holds more than all the faulty
    assert need <= size - faulty  # the honest alone reach it


def test_a_secret_is_a_function_of_key_chain_contract_and_count() -> None:
    one, two = "0x" + "11" * 20, "0x" + "22" * 20
    points = itertools.product((digest("a"), digest("b")), (1, 2), (one, two), (0, 1))
    secrets = [election.derive_secret(*point) for point in points]
    assert len(set(secrets)) == 16
    assert election.derive_secret(digest("a"), 1, one, 0) == secrets[0]


def test_drawing_from_nobody_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one sealer"):
        draw(digest(0), frozenset(), frozenset())


# --- the same on a real EVM ------------------------------------------------------------------

CHAIN = frozen_chain()
SIZE = 6


@settings(max_examples=3, deadline=None)
@given(st.data())
def test_contract_and_python_draw_alike(data: st.DataObject) -> None:
    mark = CHAIN.snapshot()
    try:
        fixed = data.draw(st.none() | st.integers(0, SIZE - 1))
        most = data.draw(st.integers(1, 7))
        swarm = Swarm(CHAIN, SIZE, fixed_leader=fixed, max_committee=most, min_included=1)
        previous, led = ZERO_HASH, frozenset()
        benched: set[int] = set()
        for number in range(1, 3):
            sealers = data.draw(st.permutations(range(SIZE)).flatmap(prefix))
            before = swarm.view.members
            swarm.seal_all(number, *sealers)
            if len(sealers) < SIZE:
                CHAIN.advance_clock(601)
                swarm.close(number)
            accounts = [
                (swarm.keys[i].address, swarm.secret(i, before[i].reveals)) for i in sealers
            ]
            waiting = benched.intersection(sealers)
            leaders = set(sealers) - waiting
            if not leaders or len(waiting) > tolerated_faults(SIZE):
                leaders = set(sealers)
            drawn = election.draw(
                number=number,
                mixed=election.mix(accounts),
                previous=previous,
                sealers=leaders,
                pool=sealers,
                led=led,
                max_committee=most,
                fixed_leader=fixed,
            )
            current = swarm.view.current
            assert current.phase is Phase.MERGING
            assert (current.beacon, current.succession, current.committee) == (
                drawn.beacon,
                drawn.succession,
                drawn.committee,
            )
            previous, led = drawn.beacon, drawn.led | {drawn.succession[0]}
            benched = set(range(SIZE)) - set(sealers)  # who missed does not lead in the next
            swarm.certify()
    finally:
        CHAIN.revert(mark)


def prefix(order: list[int]) -> st.SearchStrategy[list[int]]:
    return st.integers(1, len(order)).map(lambda k: order[:k])


def test_every_member_leads_once_in_the_contract_too() -> None:
    mark = CHAIN.snapshot()
    try:
        swarm = Swarm(CHAIN, 3)
        leaders = [swarm.whole_round(number).current.leader for number in range(1, 7)]
        assert sorted(leaders[:3]) == sorted(leaders[3:]) == [0, 1, 2]
    finally:
        CHAIN.revert(mark)


def test_the_bag_is_refilled_for_those_present_only() -> None:
    mark = CHAIN.snapshot()
    try:
        swarm = Swarm(CHAIN, 3, min_included=1, close_at=1)
        for number, sealer in enumerate((0, 1, 1), start=1):  # the third seal refills for 1 alone
            swarm.whole_round(number, sealer)
        call = {"to": swarm.contract, "data": "0x" + encode_call("led", {}).hex()}
        assert int(CHAIN.request("eth_call", [call]), 16) == 0b011
    finally:
        CHAIN.revert(mark)


def test_a_commitment_binds_chain_contract_and_account() -> None:
    secret = digest("secret")
    one, two = Account.create().address, Account.create().address
    points = itertools.product((1, 2), (one, two), (one, two), (secret, digest("other")))
    assert len({election.commitment(*point) for point in points}) == 16
