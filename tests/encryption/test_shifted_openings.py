"""A faulty holder shifts its opening, and with it the key: no sum of its own choice comes out."""

from __future__ import annotations

import numpy as np
import pytest
from encryption_support import openings_of, round_context, seal_all
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import OpeningRejected
from flwr_swarm.encryption import RingParameters, ThresholdScheme, modular, wire
from flwr_swarm.encryption.dense import pack_residues
from flwr_swarm.encryption.parameters import DEFAULT, MODULUS
from flwr_swarm.encryption.ring import common_polynomial
from flwr_swarm.encryption.shamir import interpolation_weights

HOLDERS, THRESHOLD = 4, 3
FEW = settings(max_examples=20, deadline=None)


def shifted(opening: bytes, holder: int, chosen: list[int], by: int, chunk: int) -> bytes:
    """The opening with which the `chosen` open the first message of `chunk` to `by` more."""
    honest = wire.read_opening(opening, DEFAULT)
    weights = dict(zip(chosen, interpolation_weights(chosen, at=0), strict=True))
    inverse = pow(weights[holder], -1, MODULUS)
    common = common_polynomial(round_context().common_seed(), chunk)
    step = DEFAULT.step * by
    move = [step * pow(int(a), -1, MODULUS) * inverse % MODULUS for a in common]
    residues = modular.subtract(honest.residues, np.array(move, dtype=np.uint64))
    return wire.write_opening(
        wire.Opening(
            receiver=holder, context=honest.context, senders=honest.senders, residues=residues
        ),
        DEFAULT,
    )


def opened(size: int, holder: int, by: int, chunk: int) -> tuple[np.ndarray, np.ndarray]:
    """The true sums, and what t holders open with one of them shifted."""
    scheme = ThresholdScheme()
    lanes = [np.arange(size, dtype=np.uint32) % 1000 + i for i in range(HOLDERS)]
    sealed = seal_all(scheme, lanes, holders=HOLDERS, threshold=THRESHOLD)
    chosen = sorted({holder, *range(HOLDERS)} - {(holder + 1) % HOLDERS})
    openings = openings_of(scheme, sealed, holders=HOLDERS, who=chosen)
    openings[holder] = shifted(openings[holder], holder, chosen, by, chunk)
    sums = scheme.open(
        scheme.merge([one.payload for one in sealed]),
        openings,
        context=round_context(),
        threshold=THRESHOLD,
        included=HOLDERS,
    )
    return np.sum(lanes, axis=0), sums


@FEW
@given(
    size=st.sampled_from([1, 9, 8191, 8192, 8193, 20_000]),
    holder=st.integers(0, HOLDERS - 1),
    by=st.integers(1, 1000),
    chunk=st.integers(0, 2),
)
def test_a_holder_that_shifts_the_key_opens_nothing(
    size: int, holder: int, by: int, chunk: int
) -> None:
    with pytest.raises(OpeningRejected):
        opened(size, holder, by, chunk)


def test_with_one_polynomial_it_would_open_what_it_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The condition, lifted: the noise alone cannot tell."""
    monkeypatch.setattr(RingParameters, "chunks", lambda self, lanes: 1)
    true, false = opened(9, 0, 5, 0)
    assert false[0] == true[0] + 5
    assert np.array_equal(false[1:], true[1:])


def test_what_fills_up_the_last_polynomial_is_zero() -> None:
    """A member that seals more than its lanes spoils the sum; it does not enter it unseen."""
    scheme = ThresholdScheme()
    sealed = seal_all(scheme, [np.ones(9, np.uint32)] * 2, holders=3, threshold=2)
    long = seal_all(scheme, [np.ones(10, np.uint32)] * 2, holders=3, threshold=2)
    cut = wire.read_ciphertext(long[0].payload, DEFAULT)
    packed = [pack_residues(chunk) for chunk in cut.residues]
    payload = wire.write_ciphertext(9, packed, DEFAULT)
    merged = scheme.merge([payload, sealed[1].payload])
    openings = openings_of(scheme, [long[0], sealed[1]], holders=3, who=[0, 1])
    with pytest.raises(OpeningRejected, match="more than its 9 lanes"):
        scheme.open(merged, openings, context=round_context(), threshold=2, included=2)
