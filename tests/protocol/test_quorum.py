"""The counts behind every safety argument, checked exhaustively."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.protocol.election import quorum
from flwr_swarm.protocol.quorum import (
    check_protects,
    smallest_threshold,
    tolerated_faults,
)
from flwr_swarm.protocol.terms import Terms, check_capacity
from flwr_swarm.protocol.types import Policy

SIZES = range(1, 21)


def least_overlap(n: int, k: int) -> int:
    """Fewest members that two sets of k among n share."""
    return max(0, 2 * k - n)


@pytest.mark.parametrize("n", range(1, 8))
def test_least_overlap_is_the_least(n: int) -> None:
    for k in range(1, n + 1):
        sets = [set(c) for c in combinations(range(n), k)]
        assert least_overlap(n, k) == min(len(a & b) for a in sets for b in sets)


@pytest.mark.parametrize("n", SIZES)
def test_two_quorums_share_an_honest_member_and_honest_members_make_one(n: int) -> None:
    faults = tolerated_faults(n)
    assert 3 * faults < n <= 3 * (faults + 1)
    assert least_overlap(n, quorum(n)) > faults
    assert n - faults >= quorum(n)


@pytest.mark.parametrize("n", SIZES)
def test_two_sets_of_openers_share_an_honest_holder_from_the_smallest_threshold_on(n: int) -> None:
    faults = tolerated_faults(n)
    for t in range(1, n + 1):
        safe = least_overlap(n, t) > faults
        assert safe == (2 * t > n + faults) == (t >= smallest_threshold(n))
    assert n - faults >= smallest_threshold(n)  # the honest ones can always open


def policy(**changes: Any) -> Policy:
    return Policy(**({"threshold": 3, "min_included": 3, "witnesses": 1, "close_at": 4} | changes))


@pytest.mark.parametrize("n", SIZES)
def test_exactly_the_policies_that_protect_are_accepted(n: int) -> None:
    for t in range(n + 2):
        for least in range(n + 2):
            protects = (
                n >= 3
                and smallest_threshold(n) <= t <= n
                and 3 <= least <= n  # two others besides a member's own update
            )
            if protects:
                check_protects(policy(threshold=t, min_included=least), n)
            else:
                with pytest.raises(ConfigurationError, match=r"got"):
                    check_protects(policy(threshold=t, min_included=least), n)


@given(
    capacity=st.integers(1, 256),
    close_at=st.integers(1, 64),
    members=st.integers(1, 64),
    bits=st.sampled_from([8, 12, 16, 24]),
)
def test_a_round_that_could_overflow_a_lane_is_refused_before_it_begins(
    capacity: int, close_at: int, members: int, bits: Any
) -> None:
    """Sealing closes when `close_at` members spoke, so no sum is of more."""
    terms = Terms(encryption="threshold", members=capacity, precision=bits)
    most, codec = min(close_at, members), terms.codec()
    rules = policy(close_at=close_at)
    fullest = most * max(2 * codec.levels, (1 << codec.profile.limb_bits) - 1)
    if most > capacity:
        with pytest.raises(ConfigurationError, match=f"at most {capacity}; lower close_at to"):
            check_capacity(terms, rules, members)
    else:
        check_capacity(terms, rules, members)
        assert fullest < 1 << codec.ring.lane_bits
    check_capacity(Terms(encryption="none", members=capacity), rules, members)
