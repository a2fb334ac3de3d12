"""What the scheme refuses by name: foreign envelopes, unsafe keys, bad lanes, bad roles."""

from __future__ import annotations

import numpy as np
import pytest
from encryption_support import (
    dealt_to,
    frame,
    key_pairs,
    public_keys,
    round_context,
    seal_all,
    sum_without_memory,
)

from flwr_swarm._exceptions import (
    CapacityExceeded,
    ConfigurationError,
    ShareRefused,
    UpdateMismatch,
    WireError,
)
from flwr_swarm.encryption import ThresholdScheme

SCHEME = ThresholdScheme()


@pytest.fixture(scope="module")
def sealed():
    lanes = [np.arange(100, dtype=np.uint32) * (i + 1) for i in range(3)]
    return seal_all(SCHEME, lanes, holders=4, threshold=3)


def share(sealed, **changes):
    arguments = {
        "dealt": {sender: dealt_to(one, 1) for sender, one in enumerate(sealed)},
        "context": round_context(),
        "receiver": 1,
        "private_keys": [key_pairs(4)[1][0]],
        **changes,
    }
    return sum_without_memory(arguments.pop("dealt"), **arguments)


@pytest.mark.parametrize(
    "context",
    [
        round_context(2),
        round_context(chain_id=1),
        round_context(contract="0x" + "5b" * 20),
        round_context(anchor=bytes(31) + b"\1"),
    ],
    ids=["round", "chain", "contract", "anchor"],
)
def test_an_envelope_of_another_round_is_refused(sealed, context):
    with pytest.raises(ShareRefused, match="does not open"):
        share(sealed, context=context)


def test_an_envelope_of_another_sender_or_receiver_is_refused(sealed):
    with pytest.raises(ShareRefused, match="goes from"):
        share(sealed, dealt={0: dealt_to(sealed[1], 1)})
    with pytest.raises(ShareRefused, match="goes from"):
        share(sealed, dealt={0: dealt_to(sealed[0], 2)})
    with pytest.raises(ShareRefused):
        share(sealed, dealt={9: dealt_to(sealed[0], 1)})


def test_a_rerouted_envelope_is_refused_though_its_frame_is_right(sealed):
    """Who rewrites sender or receiver, checksum included, still fails at the AEAD."""
    blob = sealed[0].envelopes[1][14 + 4 : -32]
    forged = frame(3, (2).to_bytes(2, "little") + (1).to_bytes(2, "little") + blob)
    with pytest.raises(ShareRefused, match="does not open"):
        share(sealed, dealt={2: dealt_to(sealed[2], 1, forged)})
    altered = bytearray(blob)
    altered[5000] ^= 1
    forged = frame(3, bytes(2) + (1).to_bytes(2, "little") + bytes(altered))
    with pytest.raises(ShareRefused, match="does not open"):
        share(sealed, dealt={0: dealt_to(sealed[0], 1, forged)})


def test_a_key_that_is_not_the_registered_one_is_refused(sealed):
    with pytest.raises(ShareRefused, match="does not hold"):
        share(sealed, private_keys=[key_pairs(4)[2][0]])
    with pytest.raises(ConfigurationError, match="32 bytes"):
        share(sealed, private_keys=[b"short"])


def test_an_envelope_says_which_of_several_keys_opens_it(sealed):
    keys = [key_pairs(4)[j][0] for j in (3, 1, 0)]
    assert share(sealed, private_keys=keys) == share(sealed)


@pytest.mark.parametrize("bad", [bytes(32), b"short", (1).to_bytes(32, "little")])
def test_unsafe_public_keys_are_refused(bad):
    holders = [*public_keys(4)[:3], bad]
    with pytest.raises(ConfigurationError, match="rotate"):
        SCHEME.seal(
            np.ones(3, np.uint32), context=round_context(), sender=0, holders=holders, threshold=3
        )


@pytest.mark.parametrize(
    ("lanes", "error"),
    [
        (np.array([2**24], np.uint32), CapacityExceeded),
        (np.array([1], np.int64), UpdateMismatch),
        (np.zeros((2, 2), np.uint32), UpdateMismatch),
        (np.zeros(0, np.uint32), UpdateMismatch),
    ],
)
def test_bad_lanes_are_refused_before_any_randomness_is_drawn(lanes, error):
    def no_random(count):
        raise AssertionError

    with pytest.raises(error):
        SCHEME.seal(
            lanes,
            context=round_context(),
            sender=0,
            holders=public_keys(3),
            threshold=2,
            random=no_random,
        )


@pytest.mark.parametrize(("sender", "threshold"), [(3, 2), (-1, 2), (0, 1), (0, 4)])
def test_bad_roles_are_refused(sender, threshold):
    with pytest.raises(ConfigurationError):
        SCHEME.seal(
            np.ones(3, np.uint32),
            context=round_context(),
            sender=sender,
            holders=public_keys(3),
            threshold=threshold,
        )


def test_sums_of_different_lengths_or_of_nothing_are_refused(sealed):
    longer = seal_all(SCHEME, [np.ones(101, np.uint32)], holders=4, threshold=3)
    with pytest.raises(WireError, match="100 and of 101"):
        SCHEME.merge([sealed[0].payload, longer[0].payload])
    with pytest.raises(ConfigurationError):
        SCHEME.merge([])
    with pytest.raises(ConfigurationError):
        SCHEME.merge([sealed[0].payload] * 257)
