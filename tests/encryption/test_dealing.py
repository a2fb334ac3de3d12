"""Dealing: every holder sees whether its share is good, and the proof tells nothing of the key."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from crooked import (
    NOT_CANONICAL,
    OFF_CURVE,
    SMALL_ORDER,
    crooked,
    not_a_residue,
    off_by_one,
    random_share,
    stolen_ephemeral,
)
from encryption_support import (
    Q,
    deterministic,
    key_pairs,
    public_keys,
    round_context,
    sum_without_memory,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import BadDealing, ShareRefused
from flwr_swarm.encryption import Dealt, dealing, envelope_hash, modular
from flwr_swarm.encryption.dealing import _combinations, deal, visible_fault
from flwr_swarm.encryption.dealing_wire import read_proof, write_proof
from flwr_swarm.encryption.holding import held_share
from flwr_swarm.encryption.parameters import DEFAULT
from flwr_swarm.encryption.randomness import uniform
from flwr_swarm.encryption.shamir import evaluate, interpolate, polynomial
from flwr_swarm.encryption.wire import MASKS

FEW = settings(max_examples=12, deadline=None)


def dealt(envelopes, proof, rank):
    hashes = tuple(envelope_hash(one) for one in envelopes)
    return Dealt(envelope=envelopes[rank], hashes=hashes, proof=proof)


def held(one, holder, *, sender=0, keys=16, context=None):
    private, public = key_pairs(keys)[holder]
    return held_share(
        one,
        context=context or round_context(),
        sender=sender,
        receiver=holder,
        keys={public: private},
        parameters=DEFAULT,
    )


def deal_with(function, secret, *, holders, threshold, sender=0, **options):
    return function(
        secret,
        context=round_context(),
        sender=sender,
        holders=public_keys(16)[:holders],
        threshold=threshold,
        random=options.pop("random", os.urandom),
        parameters=DEFAULT,
        **options,
    )


@st.composite
def sizes(draw):
    holders = draw(st.integers(2, 8))
    return holders, draw(st.integers(2, holders))


@FEW
@given(sizes(), st.integers(0, 2**32), st.data())
def test_honest_shares_fit_and_any_t_of_them_are_the_key(size, seed, data):
    holders, threshold = size
    secret = uniform(deterministic(seed), 4096)
    envelopes, proof = deal_with(
        deal, secret, holders=holders, threshold=threshold, random=deterministic(f"{seed}/deal")
    )
    shares = {j: held(dealt(envelopes, proof, j), j) for j in range(holders)}
    chosen = data.draw(st.permutations(range(holders)))[:threshold]
    assert np.array_equal(interpolate({j: shares[j] for j in chosen}), secret)
    hashes = dealt(envelopes, proof, 0).hashes
    parsed = read_proof(proof, DEFAULT)
    assert visible_fault(parsed, hashes, context=round_context(), sender=0) is None


def test_vacant_seats_get_nothing_and_the_others_their_own_points():
    secret = uniform(os.urandom, 4096)
    holders = [*public_keys(16)[:2], None, public_keys(16)[3]]
    envelopes, proof = deal(
        secret,
        context=round_context(),
        sender=3,
        holders=holders,
        threshold=2,
        random=os.urandom,
        parameters=DEFAULT,
    )
    shares = {
        j: held(dealt(envelopes, proof, rank), j, sender=3) for rank, j in enumerate((0, 1, 3))
    }
    for pair in combinations(shares, 2):
        assert np.array_equal(interpolate({j: shares[j] for j in pair}), secret)


HIDDEN = {
    "share of the key": {"share": off_by_one(4095)},
    "share of a mask": {"share": off_by_one(4096)},
    "random share": {"share": random_share},
    "no residues": {"share": not_a_residue},
    "garbage": {"sealed": lambda sealed: os.urandom(len(sealed))},
    "one bit of the tag": {"sealed": lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1])},
    "another round": {"told": round_context(2)},
}


@pytest.mark.parametrize("kind", HIDDEN)
@FEW
@given(sizes(), st.data())
def test_a_bad_share_is_seen_by_its_holder_and_by_no_other(kind, size, data):
    holders, threshold = size
    victims = data.draw(st.sets(st.integers(0, holders - 1), min_size=1))
    envelopes, proof = deal_with(
        crooked,
        uniform(os.urandom, 4096),
        holders=holders,
        threshold=threshold,
        victims=victims,
        **HIDDEN[kind],
    )
    for j in range(holders):
        one = dealt(envelopes, proof, j)
        if j in victims:
            with pytest.raises(BadDealing):
                held(one, j)
        else:
            held(one, j)
        assert visible_fault(read_proof(proof, DEFAULT), one.hashes, **WHO) is None


WHO = {"context": round_context(), "sender": 0}


@FEW
@given(sizes(), st.integers(1, 3), st.data())
def test_a_polynomial_of_a_higher_degree_fits_nobody(size, degree, data):
    holders, threshold = size
    envelopes, proof = deal_with(
        crooked,
        uniform(os.urandom, 4096),
        holders=holders,
        threshold=threshold,
        degree=degree,
    )
    # The dealer may choose rows that pass at t holders; here it cut the highest coefficients off.
    for j in range(holders):
        with pytest.raises(BadDealing):
            held(dealt(envelopes, proof, j), j)


@FEW
@given(sizes(), st.data())
def test_a_dealer_that_fits_its_proof_to_t_holders_fits_no_other(size, data):
    """The best that a dealer with shares off any polynomial can do, once challenges are known."""
    holders, threshold = size
    lucky = data.draw(st.permutations(range(holders)))[:threshold]
    shares = []

    def scatter(share):
        shares.append(random_share(share))
        return shares[-1]

    def fitted(_, transcript):
        values = _combinations(transcript, np.stack([shares[j] for j in lucky]))
        return through([j + 1 for j in lucky], values)

    envelopes, proof = deal_with(
        crooked,
        uniform(os.urandom, 4096),
        holders=holders,
        threshold=threshold,
        victims=range(holders),
        share=scatter,
        rows=fitted,
    )
    for j in range(holders):
        one = dealt(envelopes, proof, j)
        if j in lucky:
            held(one, j)
        else:
            with pytest.raises(BadDealing):
                held(one, j)


def through(points, values):
    """Coefficients, constant first, of the polynomials with these values at these points."""
    total = np.zeros_like(values)
    for point, value in zip(points, values, strict=True):
        basis = [1]
        for other in points:
            if other != point:
                scale = pow(point - other, -1, Q)
                basis = [
                    ((basis[d - 1] if d else 0) - other * (basis[d] if d < len(basis) else 0))
                    * scale
                    % Q
                    for d in range(len(basis) + 1)
                ]
        terms = [modular.multiply(value, np.uint64(weight)) for weight in basis]
        total = modular.add(total, np.stack(terms))
    return total


@FEW
@given(sizes(), st.data())
def test_rows_that_are_not_the_combinations_fit_nobody(size, data):
    holders, threshold = size
    row = data.draw(st.integers(0, threshold - 1))
    column = data.draw(st.integers(0, MASKS - 1))

    def bend(rows, _):
        rows = rows.copy()
        rows[row, column] = (int(rows[row, column]) + 1) % Q
        return rows

    envelopes, proof = deal_with(
        crooked, uniform(os.urandom, 4096), holders=holders, threshold=threshold, rows=bend
    )
    for j in range(holders):
        with pytest.raises(BadDealing):
            held(dealt(envelopes, proof, j), j)


@FEW
@given(sizes(), st.data())
def test_a_proof_fits_no_other_envelopes(size, data):
    holders, threshold = size
    secret = uniform(os.urandom, 4096)
    envelopes, proof = deal_with(deal, secret, holders=holders, threshold=threshold)
    one = dealt(envelopes, proof, 0)
    at = data.draw(st.integers(0, holders - 1))
    hashes = list(one.hashes)
    hashes[at] = os.urandom(32)
    with pytest.raises(BadDealing):
        held(replace(one, hashes=tuple(hashes)), 0)
    with pytest.raises(BadDealing):
        held(replace(one, hashes=one.hashes[::-1]), 0)


FAULTS = {
    "of another sender": {"proof": lambda proof: replace(proof, sender=1)},
    "rows altered": {
        "proof": lambda proof: replace(proof, coefficients=proof.coefficients[::-1].copy())
    },
    "not signed": {"proof": lambda proof: replace(proof, signature=bytes(64))},
    "off the curve": {"before": lambda proof: replace(proof, ephemeral=OFF_CURVE)},
    "not canonical": {"before": lambda proof: replace(proof, ephemeral=NOT_CANONICAL)},
    **{
        f"of small order {i}": {"before": lambda proof, p=point: replace(proof, ephemeral=p)}
        for i, point in enumerate(SMALL_ORDER)
    },
}


@pytest.mark.parametrize("kind", FAULTS)
def test_everybody_sees_a_proof_whose_dealer_does_not_know_its_key(kind):
    envelopes, proof = deal_with(
        crooked, uniform(os.urandom, 4096), holders=3, threshold=2, **FAULTS[kind]
    )
    hashes = dealt(envelopes, proof, 0).hashes
    assert visible_fault(read_proof(proof, DEFAULT), hashes, **WHO) is not None


def test_a_point_of_small_order_is_a_fault_though_its_signature_holds():
    """Every signature R = sB holds under the neutral point, whatever was signed."""
    from flwr_swarm.encryption.edwards import BASE

    neutral = SMALL_ORDER[0]
    signature = (5 * BASE).encode() + (5).to_bytes(32, "little")
    envelopes, proof = deal_with(
        crooked,
        uniform(os.urandom, 4096),
        holders=3,
        threshold=2,
        proof=lambda proof: replace(proof, ephemeral=neutral, signature=signature),
    )
    hashes = dealt(envelopes, proof, 0).hashes
    fault = visible_fault(read_proof(proof, DEFAULT), hashes, **WHO)
    assert fault == "its ephemeral key is no safe point"


def test_a_copied_ephemeral_key_is_seen():
    secret = uniform(os.urandom, 4096)
    _, honest = deal_with(deal, secret, holders=3, threshold=2, sender=1)
    envelopes, proof = deal_with(
        crooked, secret, holders=3, threshold=2, before=stolen_ephemeral(honest)
    )
    hashes = dealt(envelopes, proof, 0).hashes
    assert visible_fault(read_proof(proof, DEFAULT), hashes, **WHO) is not None


@pytest.mark.parametrize(
    "context",
    [round_context(2), round_context(chain_id=1), round_context(anchor=bytes(31) + b"\1")],
)
def test_a_dealing_is_of_one_round(context):
    envelopes, proof = deal_with(deal, uniform(os.urandom, 4096), holders=3, threshold=2)
    one = dealt(envelopes, proof, 1)
    with pytest.raises(ShareRefused):
        held(one, 1, context=context)
    assert visible_fault(read_proof(proof, DEFAULT), one.hashes, context=context, sender=0)


# --- the proof hides -----------------------------------------------------------------------------


@FEW
@given(st.integers(2, 6), st.integers(0, 2**32), st.data())
def test_every_other_key_explains_the_proof_and_t_minus_1_shares_as_well(threshold, seed, data):
    """Perfect hiding, by the bijection between the dealers' coins for two keys.

    For any other key there is exactly one other polynomial, masks included, that gives the same
    t - 1 shares and the same proof; both are equally likely.
    """
    random = deterministic(seed)
    transcript = random(32)
    coalition = data.draw(st.permutations(range(8)))[: threshold - 1]
    keys = [uniform(random, 4096), uniform(random, 4096)]
    first = polynomial(
        np.concatenate([keys[0], uniform(random, MASKS)]), threshold=threshold, random=random
    )
    # The polynomial of degree t - 1 that is 1 at 0 and 0 at the coalition's points.
    points = [0, *(j + 1 for j in coalition)]
    ramp = through(points, np.array([[1]] + [[0]] * (threshold - 1), np.uint64))[:, 0]
    shift = modular.subtract(keys[1], keys[0])
    zero = np.zeros(MASKS, np.uint64)
    answer = _combinations(transcript, np.concatenate([shift, zero])[np.newaxis])[0]
    step = np.concatenate([shift, modular.subtract(zero, answer)])
    second = [
        modular.add(one, modular.multiply(step, np.uint64(weight)))
        for one, weight in zip(first, ramp, strict=True)
    ]
    assert np.array_equal(second[0][:4096], keys[1])
    for j in coalition:
        assert np.array_equal(evaluate(first, j + 1), evaluate(second, j + 1))
    proofs = [_combinations(transcript, np.stack(one)) for one in (first, second)]
    assert np.array_equal(*proofs)
    outside = next(j for j in range(8) if j not in coalition)
    assert not np.array_equal(evaluate(first, outside + 1), evaluate(second, outside + 1))


def test_every_dealing_has_masks_of_its_own():
    """What the proof says at 0, less what it would say without masks, is the masks."""
    secret = uniform(os.urandom, 4096)
    seen = set()
    for _ in range(8):
        envelopes, proof = deal_with(deal, secret.copy(), holders=3, threshold=2)
        said, hashes = read_proof(proof, DEFAULT), dealt(envelopes, proof, 0).hashes
        transcript = dealing._transcript(round_context(), 0, 2, said.ephemeral, hashes)
        bare = np.concatenate([secret, np.zeros(MASKS, np.uint64)])[np.newaxis]
        masks = modular.subtract(said.coefficients[0], _combinations(transcript, bare)[0])
        seen |= set(masks.tolist()) | set(said.coefficients[1].tolist())
    assert 0 not in seen
    assert len(seen) == 8 * 2 * MASKS


def test_an_opening_of_one_dealing_does_not_tell_its_masks():
    """Else an opening and the proof would give four equations in the sum of the keys' shares."""
    secret = uniform(os.urandom, 4096)
    envelopes, proof = deal_with(deal, secret, holders=3, threshold=2)
    opening = sum_without_memory(
        {0: dealt(envelopes, proof, 1)},
        context=round_context(),
        receiver=1,
        private_keys=[key_pairs(16)[1][0]],
    )
    from flwr_swarm.encryption.wire import read_opening

    assert read_opening(opening, DEFAULT).residues.size == 4096


# --- its bytes -----------------------------------------------------------------------------------


@FEW
@given(sizes())
def test_a_proof_takes_one_row_for_each_opening_that_is_needed(size):
    holders, threshold = size
    _, proof = deal_with(deal, uniform(os.urandom, 4096), holders=holders, threshold=threshold)
    assert len(proof) == 14 + 4 + 32 + threshold * MASKS * 60 // 8 + 64 + 32
    assert write_proof(read_proof(proof, DEFAULT), DEFAULT) == proof


@given(st.integers(1, 5), st.integers(1, 300), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_inner_products_are_exact(rows, length, seed):
    rng = np.random.default_rng(seed)
    left = rng.integers(Q - 5, Q, (rows, length), dtype=np.uint64)
    right = rng.integers(0, Q, length, dtype=np.uint64)
    right[: length // 2] = Q - 1
    expected = [sum(int(a) * int(b) for a, b in zip(row, right, strict=True)) % Q for row in left]
    assert modular.inner(left, right).tolist() == expected


def test_the_challenges_depend_on_all_that_was_sealed():
    base = {"threshold": 2, "ephemeral": bytes(32), "hashes": [bytes(32)] * 3}
    variants = [
        (round_context(), 0, base),
        (round_context(2), 0, base),
        (round_context(), 1, base),
        (round_context(), 0, {**base, "threshold": 3}),
        (round_context(), 0, {**base, "ephemeral": b"\1" + bytes(31)}),
        (round_context(), 0, {**base, "hashes": [bytes(32)] * 2}),
        (round_context(), 0, {**base, "hashes": [bytes(32), b"\1" + bytes(31), bytes(32)]}),
    ]
    seen = {dealing._transcript(context, sender, **rest) for context, sender, rest in variants}
    assert len(seen) == len(variants)
