"""Each condition of SECURITY.md, lifted on purpose: what is read then, and who refuses it."""

from __future__ import annotations

import numpy as np
import pytest
from encryption_support import dealt_to, deterministic, key_pairs, round_context, seal_all
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import ConfigurationError, KeyReused, OpeningRejected
from flwr_swarm.encryption import ThresholdScheme, modular
from flwr_swarm.encryption.cipher import decrypt, encrypt
from flwr_swarm.encryption.key import OneTimeKey
from flwr_swarm.encryption.opening import recover_key
from flwr_swarm.encryption.packing import unpack, without_filling
from flwr_swarm.encryption.parameters import DEFAULT
from flwr_swarm.encryption.randomness import Stream
from flwr_swarm.encryption.scaling import scale_down
from flwr_swarm.encryption.wire import read_ciphertext
from flwr_swarm.protocol.quorum import check_protects
from flwr_swarm.protocol.types import Policy

SCHEME = ThresholdScheme()
HOLDERS, THRESHOLD, LANES = 4, 3, 50
FEW = settings(max_examples=10, deadline=None)


def updates(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 1 << 20, LANES, dtype=np.uint32) for _ in range(HOLDERS)]


def opened_over(sealed: list, members: tuple[int, ...], holders: tuple[int, ...]) -> dict:
    """Openings over `members`, as the holders' code makes them when nobody stops it."""
    return {
        holder: SCHEME.opening(
            {member: dealt_to(sealed[member], holder) for member in members},
            context=round_context(),
            receiver=holder,
            private_keys=[key_pairs(HOLDERS)[holder][0]],
        )
        for holder in holders
    }


def key_of(openings: dict, included: int) -> np.ndarray:
    return recover_key(
        openings,
        context=round_context(),
        threshold=THRESHOLD,
        included=included,
        parameters=DEFAULT,
    )


def read_with(payload: bytes, secret: np.ndarray) -> np.ndarray:
    seed = round_context().common_seed()
    ciphertext = read_ciphertext(payload, DEFAULT)
    return decrypt(ciphertext, secret=secret, seed=seed, parameters=DEFAULT)


@FEW
@given(st.integers(0, 1000))
def test_a_reused_key_shows_the_difference_of_two_updates(seed: int) -> None:
    low = updates(seed)[0]
    high = low + np.arange(LANES, dtype=np.uint32)
    key = OneTimeKey.generate(random=deterministic(seed))
    with key.spend() as secret:
        first, second = (
            read_ciphertext(
                encrypt(
                    lanes,
                    secret=secret,
                    seed=round_context().common_seed(),
                    stream=Stream(random=deterministic(f"{seed}/{lanes.sum()}")),
                    parameters=DEFAULT,
                ),
                DEFAULT,
            )
            for lanes in (low, high)
        )
    seen = scale_down(
        modular.subtract(second.residues, first.residues), included=2, parameters=DEFAULT
    )
    sums = np.empty(DEFAULT.lanes * seen.size, dtype=np.uint64)
    unpack(seen, DEFAULT, out=sums)
    assert np.array_equal(without_filling(sums, LANES), np.arange(LANES))
    with pytest.raises(KeyReused), key.spend():
        pass


@FEW
@given(st.integers(0, 1000))
def test_two_openings_of_one_round_show_an_update(seed: int) -> None:
    lanes = updates(seed)
    sealed = seal_all(SCHEME, lanes, holders=HOLDERS, threshold=THRESHOLD, seed=seed)
    holders = (0, 1, 3)
    larger = key_of(opened_over(sealed, (0, 1, 2, 3), holders), 4)
    smaller = key_of(opened_over(sealed, (0, 1, 3), holders), 3)
    victim = modular.subtract(larger, smaller)
    assert np.array_equal(read_with(sealed[2].payload, victim), lanes[2])
    # One opening alone reads no single ciphertext.
    with pytest.raises(OpeningRejected):
        read_with(sealed[2].payload, larger)


@FEW
@given(st.integers(0, 1000))
def test_a_sum_with_one_honest_member_is_its_update(seed: int) -> None:
    lanes = updates(seed)[:3]
    sealed = seal_all(SCHEME, lanes, holders=HOLDERS, threshold=THRESHOLD, seed=seed)
    total = SCHEME.open(
        SCHEME.merge([one.payload for one in sealed]),
        opened_over(sealed, (0, 1, 2), (0, 1, 2)),
        context=round_context(),
        threshold=THRESHOLD,
        included=3,
    )
    assert np.array_equal(total - lanes[1] - lanes[2], lanes[0])


@pytest.mark.parametrize("min_included", [1, 2])
def test_a_policy_with_sums_of_two_is_refused_by_every_member(min_included: int) -> None:
    policy = Policy(threshold=3, min_included=min_included, witnesses=2, close_at=4)
    with pytest.raises(ConfigurationError, match="min_included"):
        check_protects(policy, 4)


@FEW
@given(st.integers(0, 1000), st.permutations(range(HOLDERS)))
def test_t_colluding_holders_read_an_update(seed: int, order: list[int]) -> None:
    lanes = updates(seed)
    sealed = seal_all(SCHEME, lanes, holders=HOLDERS, threshold=THRESHOLD, seed=seed)
    colluders = tuple(order[:THRESHOLD])
    key = key_of(opened_over(sealed, (0,), colluders), 1)
    assert np.array_equal(read_with(sealed[0].payload, key), lanes[0])
    with pytest.raises(OpeningRejected):
        key_of(opened_over(sealed, (0,), colluders[:-1]), 1)


@pytest.mark.parametrize("members", range(3, 65))
def test_a_threshold_that_a_split_vote_could_meet_twice_is_refused(members: int) -> None:
    too_low = (members + (members - 1) // 3) // 2
    policy = Policy(threshold=too_low, min_included=3, witnesses=1, close_at=members)
    with pytest.raises(ConfigurationError, match="threshold"):
        check_protects(policy, members)
