"""The scheme's promises: the opened sum is exact, and nothing but a full opening opens it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from encryption_support import (
    deterministic,
    openings_of,
    public_keys,
    round_context,
    seal_all,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import (
    ConfigurationError,
    OpeningRejected,
    WireError,
)
from flwr_swarm.encryption import (
    Codec,
    ThresholdScheme,
    aggregate_hash,
    envelope_hash,
    generate_encryption_key,
    payload_hash,
    proof_hash,
    shares_hash,
    wire,
)

SCHEME = ThresholdScheme()


@st.composite
def swarms(draw):
    holders = draw(st.integers(2, 6))
    threshold = draw(st.integers(2, holders))
    included = draw(st.integers(1, holders))
    size = draw(st.one_of(st.integers(1, 30), st.sampled_from([8191, 8192, 8193, 20_000])))
    top = 2**24 // included - 1
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    lanes = [rng.integers(0, top, size, endpoint=True, dtype=np.uint32) for _ in range(included)]
    for one in lanes:
        one[0] = draw(st.sampled_from([0, top]))
    return lanes, threshold, holders, draw(st.permutations(range(holders)))


@given(swarms())
@settings(max_examples=25, deadline=None)
def test_any_threshold_of_openings_gives_the_exact_sum(swarm):
    lanes, threshold, holders, order = swarm
    sealed = seal_all(SCHEME, lanes, holders=holders, threshold=threshold)
    merged = SCHEME.merge([one.payload for one in sealed])
    openings = openings_of(SCHEME, sealed, holders=holders, who=order)
    expected = np.sum([one.astype(np.uint64) for one in lanes], axis=0)

    for count in {threshold, holders}:
        chosen = {holder: openings[holder] for holder in order[:count]}
        opened = SCHEME.open(
            merged, chosen, context=round_context(), threshold=threshold, included=len(lanes)
        )
        assert opened.dtype == np.uint64
        assert np.array_equal(opened, expected)

    # One opening fewer is refused, also by who lies about the threshold.
    fewer = {holder: openings[holder] for holder in order[: threshold - 1]}
    for claimed in {threshold, max(2, threshold - 1)}:
        with pytest.raises(OpeningRejected):
            SCHEME.open(
                merged, fewer, context=round_context(), threshold=claimed, included=len(lanes)
            )


@given(swarms(), st.randoms())
@settings(max_examples=15, deadline=None)
def test_the_order_of_members_does_not_change_a_byte_of_the_sum(swarm, shuffler):
    lanes, threshold, holders, _ = swarm
    sealed = seal_all(SCHEME, lanes, holders=holders, threshold=threshold)
    payloads = [one.payload for one in sealed]
    merged = SCHEME.merge(payloads)
    shuffler.shuffle(payloads)
    assert SCHEME.merge(payloads) == merged


@pytest.mark.parametrize("included", range(1, 9))
def test_the_encrypted_mean_equals_the_fixed_point_mean_bit_for_bit(included):
    codec = Codec(members=8, clip=1.0)
    rng = np.random.default_rng(included)
    encoded = [
        codec.encode(rng.normal(size=5000), weight=float(w), metrics=[0.5 * w, -1.0])
        for w in rng.integers(1, 60000, included)
    ]
    sealed = seal_all(SCHEME, encoded, holders=8, threshold=5)
    opened = SCHEME.open(
        SCHEME.merge([one.payload for one in sealed]),
        openings_of(SCHEME, sealed, holders=8, who=[0, 2, 3, 6, 7]),
        context=round_context(),
        threshold=5,
        included=included,
    )
    mean = codec.decode(opened, included=included, size=5000, metrics=2)
    reference = codec.fixed_point_mean(encoded, size=5000, metrics=2)
    assert mean.update.tobytes() == reference.update.tobytes()
    assert (mean.weight, mean.metrics) == (reference.weight, reference.metrics)


def test_updates_of_many_groups_of_chunks_open_exactly():
    size = 35 * 8192 - 1
    rng = np.random.default_rng(3)
    lanes = [rng.integers(0, 2**23, size, dtype=np.uint32) for _ in range(2)]
    sealed = seal_all(SCHEME, lanes, holders=2, threshold=2)
    opened = SCHEME.open(
        SCHEME.merge([one.payload for one in sealed]),
        openings_of(SCHEME, sealed, holders=2, who=[0, 1]),
        context=round_context(),
        threshold=2,
        included=2,
    )
    assert np.array_equal(opened, lanes[0].astype(np.uint64) + lanes[1])


@pytest.fixture(scope="module")
def swarm():
    lanes = [np.arange(100, dtype=np.uint32) * (i + 1) for i in range(3)]
    sealed = seal_all(SCHEME, lanes, holders=4, threshold=3)
    merged = SCHEME.merge([one.payload for one in sealed])
    return lanes, sealed, merged, openings_of(SCHEME, sealed, holders=4, who=range(4))


def opened(merged, openings, **changes):
    arguments = {"context": round_context(), "threshold": 3, "included": 3, **changes}
    return SCHEME.open(merged, openings, **arguments)


def test_all_hold_nothing_of_the_lanes_in_their_repr(swarm):
    _, sealed, _, _ = swarm
    assert len(repr(sealed[0])) < 100


@pytest.mark.parametrize("who", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 2, 3], [0, 3, 1]])
def test_every_choice_of_holders_opens_the_same(swarm, who):
    lanes, _, merged, openings = swarm
    chosen = {holder: openings[holder] for holder in who}
    assert np.array_equal(opened(merged, chosen), sum(one.astype(np.uint64) for one in lanes))


def test_openings_of_another_set_are_rejected(swarm):
    _, sealed, merged, openings = swarm
    subset = openings_of(SCHEME, sealed[:2], holders=4, who=range(4))
    with pytest.raises(OpeningRejected, match="set"):
        opened(merged, subset)
    with pytest.raises(OpeningRejected, match="set"):
        opened(merged, {**openings, 3: subset[3]})
    with pytest.raises(OpeningRejected):
        opened(merged, openings, included=2)
    # The right count of another set is caught by the noise.
    _, two, _, _ = swarm
    pair = SCHEME.merge([two[0].payload, two[2].payload])
    with pytest.raises(OpeningRejected, match="noise"):
        opened(pair, subset, included=2)


def test_openings_of_another_round_or_holder_are_rejected(swarm):
    _, _, merged, openings = swarm
    with pytest.raises(OpeningRejected, match="round 2"):
        opened(merged, openings, context=round_context(2))
    with pytest.raises(OpeningRejected, match="says it is of"):
        opened(merged, {0: openings[1], 1: openings[0], 2: openings[2]})


def test_a_false_opening_is_found_by_the_surplus_or_by_the_noise(swarm):
    lanes, _, merged, openings = swarm
    other = seal_all(SCHEME, lanes, holders=4, threshold=3, seed="other")
    false = openings_of(SCHEME, other, holders=4, who=range(4))
    for liar in range(4):
        with pytest.raises(OpeningRejected, match="inconsistent"):
            opened(merged, {**openings, liar: false[liar]})
    with pytest.raises(OpeningRejected, match="noise"):
        opened(merged, {0: openings[0], 1: openings[1], 2: false[2]})
    with pytest.raises(OpeningRejected, match="noise"):
        opened(merged, false)


def test_a_sum_that_names_another_count_is_rejected(swarm):
    """Its count widens the allowed noise, so it must be the certified one."""
    _, _, merged, openings = swarm
    parsed = wire.read_aggregate(merged, SCHEME.parameters)
    for summands in (2, 4):
        lying = wire.write_aggregate(replace(parsed, summands=summands), SCHEME.parameters)
        with pytest.raises(OpeningRejected, match=f"holds {summands} members"):
            opened(lying, openings)


def test_a_sum_with_an_update_more_is_rejected(swarm):
    _, sealed, _, openings = swarm
    payloads = [one.payload for one in sealed]
    with pytest.raises(OpeningRejected):
        opened(SCHEME.merge([*payloads, payloads[0]]), openings)
    with pytest.raises(OpeningRejected, match="noise"):
        opened(SCHEME.merge([*payloads[:2], payloads[0]]), openings)


def test_two_seals_of_the_same_lanes_have_nothing_in_common():
    lanes = np.zeros(8192, np.uint32)
    holders = public_keys(3)
    one, two = (
        SCHEME.seal(lanes, context=round_context(), sender=0, holders=holders, threshold=2)
        for _ in range(2)
    )
    head = 18
    same = np.frombuffer(one.payload[head:-32], np.uint8) == np.frombuffer(
        two.payload[head:-32], np.uint8
    )
    assert abs(same.mean() - 1 / 256) < 0.005
    assert one.envelopes != two.envelopes


def test_hashes_depend_on_all_they_name(swarm):
    _, sealed, merged, _ = swarm
    hashes = {payload_hash(one.payload) for one in sealed} | {aggregate_hash(merged)}
    lists = [[envelope_hash(envelope) for envelope in one.envelopes] for one in sealed]
    hashes |= {value for one in lists for value in one}
    hashes |= {shares_hash(one) for one in lists} | {shares_hash(lists[0][::-1])}
    hashes |= {shares_hash(lists[0][:-1])}
    hashes |= {proof_hash(one.proof) for one in sealed}
    hashes |= {shares_hash(lists[0], one.proof) for one in sealed}
    assert len(hashes) == 3 + 1 + 12 + 3 + 1 + 1 + 3 + 3
    assert {len(value) for value in hashes} == {32}
    with pytest.raises(WireError):
        shares_hash([*lists[0], b"short"])
    with pytest.raises(WireError):
        shares_hash(lists[0], b"short")


def test_the_context_spells_an_address_in_one_way_only():
    low, high = (round_context(contract=f"0x{'ab' * 20}"), round_context(contract=f"0x{'AB' * 20}"))
    assert low.digest() == high.digest()
    assert low.common_seed() != low.digest()
    for changes in (
        {"contract": "ab" * 20},
        {"contract": "0x" + "ab" * 19},
        {"anchor": b"short"},
        {"chain_id": -1},
        {"round": -1},
    ):
        with pytest.raises(ConfigurationError):
            round_context(**changes)


def test_encryption_keys_are_those_of_the_source():
    assert generate_encryption_key(deterministic(1)) == generate_encryption_key(deterministic(1))
    assert generate_encryption_key(deterministic(1)) != generate_encryption_key(deterministic(2))
