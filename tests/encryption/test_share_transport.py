"""A key share travels from one dealer to one holder, in one round, for one purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from encryption_support import deterministic, key_pairs, round_context
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm.encryption import envelope, hpke
from flwr_swarm.encryption.context import PROTOCOL
from flwr_swarm.encryption.envelope import Channel, open_share, seal_share
from flwr_swarm.encryption.parameters import DEFAULT, DEGREE
from flwr_swarm.encryption.randomness import uniform
from flwr_swarm.encryption.wire import MASKS, Envelope, read_envelope

EPHEMERAL = deterministic("ephemeral")(32)
OTHER = deterministic("another")(32)


def public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def channel() -> Channel:
    return Channel(
        context=round_context(),
        sender=2,
        receiver=1,
        public_key=key_pairs(4)[1][1],
        ephemeral=public(EPHEMERAL),
    )


def share_of(seed: int) -> np.ndarray:
    return uniform(deterministic(seed), DEGREE + MASKS)


def sealed(seed: int) -> Envelope:
    return read_envelope(seal_share(share_of(seed), channel(), EPHEMERAL, DEFAULT), DEFAULT)


def secret_of(route: Channel) -> bytes:
    """What the holder derives; X25519 with its own key, so that the info alone differs."""
    return hpke.shared_secret(key_pairs(4)[1][0], route.ephemeral)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_the_holder_gets_the_very_share(seed: int) -> None:
    opened = open_share(sealed(seed), channel(), secret_of(channel()))
    assert opened is not None
    assert np.array_equal(opened, share_of(seed))


@pytest.mark.parametrize(
    "change",
    [
        {"context": round_context(2)},
        {"context": round_context(chain_id=1)},
        {"context": round_context(contract="0x" + "5b" * 20)},
        {"context": round_context(anchor=bytes(31) + b"\1")},
        {"sender": 3},
        {"receiver": 2},
        {"sender": 1, "receiver": 2},
        {"public_key": key_pairs(4)[2][1]},
        {"ephemeral": public(OTHER)},
    ],
    ids=", ".join,
)
def test_it_opens_on_no_other_route_and_in_no_other_round(change: dict[str, object]) -> None:
    route = replace(channel(), **change)
    # Whoever knows the secret of this very envelope, not only of the changed route.
    for secret in (secret_of(channel()), secret_of(route)):
        assert open_share(sealed(1), route, secret) is None


def test_it_serves_no_other_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    assert channel().info.startswith(PROTOCOL + b"key share\0")
    one = sealed(1)
    monkeypatch.setattr(envelope, "PROTOCOL", b"flwr_swarm/v1/something else/")
    assert open_share(one, channel(), secret_of(channel())) is None


@pytest.mark.parametrize("other", [key_pairs(4)[2][0], OTHER])
def test_nobody_else_s_key_opens_it(other: bytes) -> None:
    assert open_share(sealed(1), channel(), hpke.shared_secret(other, public(EPHEMERAL))) is None


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_no_changed_bit_of_it_opens(data: st.DataObject) -> None:
    one = sealed(1)
    at = data.draw(st.integers(0, 8 * len(one.sealed) - 1))
    changed = bytearray(one.sealed)
    changed[at // 8] ^= 1 << at % 8
    assert open_share(replace(one, sealed=bytes(changed)), channel(), secret_of(channel())) is None


def test_two_holders_of_one_dealing_share_no_key() -> None:
    """One ephemeral key serves a whole dealing; equal shares still look unlike each other."""
    share = share_of(1)
    routes = [channel(), replace(channel(), receiver=3, public_key=key_pairs(4)[3][1])]
    routes.append(replace(channel(), receiver=3))
    texts = [
        read_envelope(seal_share(share, route, EPHEMERAL, DEFAULT), DEFAULT).sealed
        for route in routes
    ]
    for i, one in enumerate(texts):
        for two in texts[i + 1 :]:
            alike = np.frombuffer(one, np.uint8) == np.frombuffer(two, np.uint8)
            assert alike.mean() < 0.01  # expected 1/256 of 30 KB; 0.01 is 17 deviations off
