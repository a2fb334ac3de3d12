"""Complaints: one against a bad dealer always holds, one against an honest dealer never does."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from crooked import crooked, stolen_ephemeral
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from encryption_support import frame, key_pairs, public_keys, round_context, sum_without_memory
from hypothesis import given, settings
from hypothesis import strategies as st
from test_dealing import FAULTS, HIDDEN, deal_with, dealt

from flwr_swarm._exceptions import BadDealing, ShareRefused
from flwr_swarm.encryption import ThresholdScheme, edwards, hpke
from flwr_swarm.encryption import complaint as complaint_module
from flwr_swarm.encryption.complaint import complain, upheld
from flwr_swarm.encryption.dealing import deal
from flwr_swarm.encryption.dealing_wire import read_complaint, read_proof, write_complaint
from flwr_swarm.encryption.edwards import BASE, NEUTRAL, ORDER
from flwr_swarm.encryption.parameters import DEFAULT
from flwr_swarm.encryption.randomness import uniform

SCHEME = ThresholdScheme()
SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
FEW = settings(max_examples=15, deadline=None)
SOME = settings(max_examples=40, deadline=None)
keys32 = st.binary(min_size=32, max_size=32)


def torsion():
    """A point of order eight: what is left of a random point when L times it is taken."""
    while True:
        point = edwards.decode(os.urandom(32))
        if point is not None:
            left = ORDER * point
            if (left + left) + (left + left) != NEUTRAL:
                return left


TORSION = torsion()


def dealing(holders=4, threshold=3, sender=0, **options):
    function = crooked if options else deal
    secret = uniform(os.urandom, 4096)
    return deal_with(
        function, secret, holders=holders, threshold=threshold, sender=sender, **options
    )


def complained(one, holder, *, sender=0, context=None, private=None, pinned=None):
    mine, public = key_pairs(16)[holder]
    return SCHEME.complaints(
        {sender: one},
        context=context or round_context(),
        receiver=holder,
        private_keys=[private or mine],
        pinned=pinned or public,
    )


def holds(complaint, one, holder, *, context=None, pinned=None):
    return upheld(
        complaint,
        one,
        context=context or round_context(),
        pinned=pinned or public_keys(16)[holder],
        parameters=DEFAULT,
    )


def told_honestly(one, holder, *, sender=0, context=None):
    """The complaint that only `complaints` would hold back."""
    return complain(
        one,
        context=context or round_context(),
        dealer=sender,
        private_key=key_pairs(16)[holder][0],
        parameters=DEFAULT,
    )


# --- against bad dealers -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", HIDDEN)
@FEW
@given(st.integers(0, 3))
def test_a_victim_s_complaint_holds_and_opens_its_envelope_alone(kind, victim):
    envelopes, proof = dealing(victims=[victim], **HIDDEN[kind])
    for holder in range(4):
        one = dealt(envelopes, proof, holder)
        made = complained(one, holder)
        assert list(made) == ([0] if holder == victim else [])
        if holder == victim:
            said = holds(made[0], one, holder)
            assert (said.dealer, said.holder) == (0, victim)
            assert said.revealed is not None
            with pytest.raises(BadDealing):
                sum_without_memory(
                    {0: one},
                    context=round_context(),
                    receiver=holder,
                    private_keys=[key_pairs(16)[holder][0]],
                )


def test_a_complaint_is_repeated_byte_for_byte():
    envelopes, proof = dealing(victims=[1], **HIDDEN["garbage"])
    one = dealt(envelopes, proof, 1)
    assert complained(one, 1) == complained(one, 1)


VISIBLE = {name: fault for name, fault in FAULTS.items() if name != "of another sender"}


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("hidden", ["garbage", "random share"])
def test_a_visible_fault_needs_and_gets_no_revelation(kind, hidden):
    """Whose the ephemeral key is, is not proven: opening anything under it could be a trap."""
    envelopes, proof = dealing(victims=[1], **HIDDEN[hidden], **FAULTS[kind])
    one = dealt(envelopes, proof, 1)
    (complaint,) = complained(one, 1).values()
    assert read_complaint(complaint, DEFAULT).revealed is None
    assert holds(complaint, one, 1) is not None


@pytest.mark.parametrize("signed_by_owner", [False, True])
def test_a_copied_ephemeral_key_opens_nobody_elses_share(signed_by_owner):
    """The trap: garbage under an honest dealer's ephemeral key, so that the holder's complaint
    would show the secret of that honest dealer's envelope, and with it its share.
    """
    honest_envelopes, honest = dealing(sender=1)
    trap = {"before": stolen_ephemeral(honest)}
    if signed_by_owner:  # the owner's signature, which is on its own dealing
        signature = read_proof(honest, DEFAULT).signature
        trap["proof"] = lambda proof: replace(proof, signature=signature)
    envelopes, proof = dealing(victims=range(4), **HIDDEN["garbage"], **trap)
    one = dealt(envelopes, proof, 2)
    (complaint,) = complained(one, 2).values()
    said = holds(complaint, one, 2)
    assert said is not None
    assert said.revealed is None
    # What a careless holder would have shown opens the honest dealer's share.
    other = dealt(honest_envelopes, honest, 2)
    careless = read_complaint(told_honestly(other, 2, sender=1), DEFAULT).revealed[0]
    ephemeral = edwards.montgomery_of(read_proof(honest, DEFAULT).ephemeral)
    secret = hpke.shared_secret(key_pairs(16)[2][0], ephemeral)
    assert edwards.decode(careless).montgomery() == secret


@FEW
@given(st.integers(0, 7))
def test_torsion_in_the_ephemeral_key_changes_nothing(power):
    """A dealer that adds a point of order eight to its key still signs; one in eight times."""
    twist = NEUTRAL
    for _ in range(power):
        twist = twist + TORSION
    private, public = key_pairs(16)[1]
    esk = os.urandom(32)
    point = edwards.x25519_scalar(esk) * BASE + twist
    scalar = edwards.x25519_scalar(private) // 8 % ORDER
    if scalar * BASE.times_eight() != edwards.lifted(public):
        scalar = ORDER - scalar
    shown = scalar * point.times_eight()
    assert shown.montgomery() == hpke.shared_secret(private, point.montgomery())
    assert shown.montgomery() == hpke.shared_secret(esk, public)


# --- against honest dealers: lying holders -------------------------------------------------------


@pytest.fixture(scope="module")
def honest():
    return dealing()


def test_an_honest_dealer_is_not_complained_about(honest):
    for holder in range(4):
        assert complained(dealt(*honest, holder), holder) == {}


def test_the_truth_about_an_honest_dealing_convinces_nobody(honest):
    one = dealt(*honest, 1)
    complaint = told_honestly(one, 1)
    assert read_complaint(complaint, DEFAULT).revealed is not None
    assert holds(complaint, one, 1) is None


def revealing(complaint, *revealed):
    return write_complaint(
        replace(read_complaint(complaint, DEFAULT), revealed=revealed or None), DEFAULT
    )


@FEW
@given(st.integers(1, ORDER - 1), st.integers(0, ORDER - 1), st.integers(0, ORDER - 1))
def test_no_other_point_passes_for_the_secret(honest, scalar, challenge, response):
    one = dealt(*honest, 1)
    truth = told_honestly(one, 1)
    point, c, s = read_complaint(truth, DEFAULT).revealed
    secret = edwards.decode(point)
    others = [
        revealing(truth),
        revealing(truth, (scalar * BASE).encode(), challenge, response),
        revealing(truth, (scalar * BASE).encode(), c, s),
        revealing(truth, (secret + TORSION).encode(), c, s),
        revealing(truth, (-secret).encode(), c, s),
        revealing(truth, (-secret).encode(), c, ORDER - s),
        revealing(truth, TORSION.encode(), c, s),
        revealing(truth, NEUTRAL.encode(), c, s),
        revealing(truth, point, challenge, response),
        revealing(truth, point, 0, 0),
    ]
    assert all(holds(other, one, 1) is None for other in others)


def test_a_proof_with_another_key_proves_nothing(honest):
    """The prover knows a logarithm, just not of the pinned key: a full proof but for that."""
    one = dealt(*honest, 1)
    other = complain(
        one,
        context=round_context(),
        dealer=0,
        private_key=key_pairs(16)[2][0],
        parameters=DEFAULT,
    )
    assert holds(other, one, 1) is None
    for pinned in (key_pairs(16)[2][1], os.urandom(32), bytes(32), b"short"):
        assert holds(other, one, 1, pinned=pinned) is None


def test_half_a_proof_proves_nothing(honest):
    """Simulate either equation alone: the challenge binds both."""
    one = dealt(*honest, 1)
    said = read_complaint(told_honestly(one, 1), DEFAULT)
    ephemeral = edwards.decode(read_proof(one.proof, DEFAULT).ephemeral).times_eight()
    public = edwards.lifted(public_keys(16)[1])
    false = 7 * ephemeral
    statement = complaint_module._Statement(
        complaint_module._about(one, round_context(), 0, 1, DEFAULT), public, ephemeral, false
    )
    private = edwards.x25519_scalar(key_pairs(16)[1][0]) // 8 % ORDER
    if private * BASE.times_eight() != public:
        private = ORDER - private
    for witness in (private, 7):  # one satisfies the first equation, the other the second
        nonce = 12345
        challenge = statement.challenge(nonce * BASE.times_eight(), nonce * ephemeral)
        response = (nonce + challenge * witness) % ORDER
        lie = replace(said, revealed=(false.encode(), challenge, response))
        assert holds(write_complaint(lie, DEFAULT), one, 1) is None


@SOME
@given(st.data())
def test_a_complaint_with_any_byte_changed_does_not_hold(bad, data):
    one, complaint = bad
    body = bytearray(complaint[14:-32])
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    assert holds(complaint, one, 1) is not None
    assert holds(frame(6, bytes(body)), one, 1) is None


@pytest.fixture(scope="module")
def bad():
    envelopes, proof = dealing(victims=[1, 2], **HIDDEN["random share"])
    one = dealt(envelopes, proof, 1)
    return one, complained(one, 1)[0]


def test_a_complaint_serves_for_one_envelope_of_one_round_only(bad, honest):
    one, complaint = bad
    other = dealt(*honest, 1)
    assert holds(complaint, other, 1) is None
    assert holds(complaint, replace(one, envelope=other.envelope), 1) is None
    assert holds(complaint, one, 1, context=round_context(2)) is None
    assert holds(complaint, one, 1, pinned=public_keys(16)[2]) is None
    for holder in (0, 2):
        said = replace(read_complaint(complaint, DEFAULT), holder=holder)
        assert holds(write_complaint(said, DEFAULT), one, holder) is None
    said = replace(read_complaint(complaint, DEFAULT), context=round_context(2).digest())
    assert holds(write_complaint(said, DEFAULT), one, 1) is None


@pytest.mark.parametrize("junk", [b"", b"junk", bytes(200)])
def test_what_is_no_complaint_does_not_hold(bad, junk):
    one, complaint = bad
    assert holds(junk, one, 1) is None
    assert holds(complaint, replace(one, envelope=junk), 1) is None
    assert holds(complaint, replace(one, proof=junk), 1) is None


def test_an_envelope_that_the_dealer_did_not_seal_is_no_evidence(bad, honest):
    """A holder seals garbage to itself and blames the dealer: the hash is not the dealer's."""
    one, _ = bad
    good = dealt(*honest, 1)
    forged = replace(good, envelope=one.envelope)
    assert holds(told_honestly(forged, 1), forged, 1) is None


def test_a_holder_with_a_key_that_is_no_honest_point_convinces_nobody():
    """Its key has a part of order eight: both points of the proof could be bent by it."""
    scalar = 8 * 12345
    crooked_key = scalar * BASE + TORSION
    public = crooked_key.montgomery()
    holders = [public_keys(16)[0], public, *public_keys(16)[2:4]]
    envelopes, proof = deal(
        uniform(os.urandom, 4096),
        context=round_context(),
        sender=0,
        holders=holders,
        threshold=3,
        random=os.urandom,
        parameters=DEFAULT,
    )
    one = dealt(envelopes, proof, 1)
    lifted = edwards.lifted(public)
    ephemeral = edwards.decode(read_proof(proof, DEFAULT).ephemeral).times_eight()
    for false in (8, 12345, 99):
        shown = false * ephemeral
        statement = complaint_module._Statement(
            complaint_module._about(one, round_context(), 0, 1, DEFAULT), lifted, ephemeral, shown
        )
        for nonce in range(1, 20):
            first = nonce * BASE.times_eight() + TORSION
            challenge = statement.challenge(first, nonce * ephemeral)
            response = (nonce + challenge * 12345) % ORDER
            said = read_complaint(frame(6, bytes([0, 0, 1, 0]) + round_context().digest()), DEFAULT)
            lie = replace(said, revealed=(shown.encode(), challenge, response))
            assert holds(write_complaint(lie, DEFAULT), one, 1, pinned=public) is None


def test_a_point_of_order_eight_beside_the_secret_is_seen(honest):
    """Both equations hold, by a commitment that is bent alike: one try in eight succeeds."""
    one = dealt(*honest, 1)
    said = read_complaint(told_honestly(one, 1), DEFAULT)
    private, pinned = key_pairs(16)[1]
    public = edwards.lifted(pinned)
    scalar = edwards.x25519_scalar(private) // 8 % ORDER
    if scalar * BASE.times_eight() != public:
        scalar = ORDER - scalar
    ephemeral = edwards.decode(read_proof(one.proof, DEFAULT).ephemeral).times_eight()
    false = scalar * ephemeral + TORSION
    about = complaint_module._about(one, round_context(), 0, 1, DEFAULT)
    statement = complaint_module._Statement(about, public, ephemeral, false)
    bent = 0
    for nonce in range(1, 120):
        first, second = nonce * BASE.times_eight(), nonce * ephemeral + TORSION
        challenge = statement.challenge(first, second)
        response = (nonce + challenge * scalar) % ORDER
        if response * ephemeral + -(challenge * false) != second:
            continue
        bent += 1
        lie = replace(said, revealed=(false.encode(), challenge, response))
        assert holds(write_complaint(lie, DEFAULT), one, 1) is None
    assert bent > 0


# --- a holder's own failure ----------------------------------------------------------------------


def test_a_holder_that_lost_its_key_complains_about_nobody(honest):
    one = dealt(*honest, 1)
    stranger = key_pairs(16)[9][0]
    with pytest.raises(ShareRefused) as refused:
        sum_without_memory({0: one}, context=round_context(), receiver=1, private_keys=[stranger])
    assert not isinstance(refused.value, BadDealing)
    assert complained(one, 1, private=stranger) == {}


def test_a_bad_share_to_a_key_that_the_others_do_not_know_is_not_shown(bad):
    """Rotated in this very round: nobody could verify it, so nothing may be opened."""
    one, _ = bad
    assert complained(one, 1, pinned=key_pairs(16)[9][1]) == {}


def test_another_holders_envelope_is_no_reason_to_complain(honest):
    with pytest.raises(ShareRefused):
        sum_without_memory(
            {0: dealt(*honest, 2)},
            context=round_context(),
            receiver=1,
            private_keys=[key_pairs(16)[1][0]],
        )
    assert complained(dealt(*honest, 2), 1) == {}


# --- the parts, against the library's -----------------------------------------------------------


@FEW
@given(keys32, keys32, st.binary(max_size=100), st.binary(max_size=300))
def test_our_hpke_is_the_library_s(ours, theirs, info, text):
    public = X25519PrivateKey.from_private_bytes(theirs).public_key()
    ephemeral = X25519PrivateKey.from_private_bytes(ours).public_key().public_bytes_raw()
    raw = public.public_bytes_raw()
    sealed = hpke.seal(text, ephemeral_key=ours, ephemeral=ephemeral, public_key=raw, info=info)
    receiver = X25519PrivateKey.from_private_bytes(theirs)
    assert SUITE.decrypt(ephemeral + sealed, receiver, info=info) == text
    message = SUITE.encrypt(text, public, info=info)
    secret = hpke.shared_secret(theirs, message[:32])
    opened = hpke.open_with(secret, message[32:], ephemeral=message[:32], public_key=raw, info=info)
    assert opened == text
    wrong = hpke.open_with(
        secret, message[32:], ephemeral=message[:32], public_key=raw, info=info + b"x"
    )
    assert wrong is None


@SOME
@given(keys32)
def test_an_ed25519_seed_is_an_x25519_key_of_the_same_point(seed):
    point = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    private = X25519PrivateKey.from_private_bytes(edwards.signing_scalar(seed))
    public = private.public_key().public_bytes_raw()
    assert edwards.montgomery_of(point) == edwards.decode(point).montgomery() == public


@SOME
@given(keys32, keys32)
def test_x25519_is_multiplication_by_the_scalar(private, other):
    point = edwards.x25519_scalar(private) * BASE
    key = X25519PrivateKey.from_private_bytes(private)
    assert point.montgomery() == key.public_key().public_bytes_raw()
    lifted = edwards.lifted(other)
    if lifted is None or lifted.times_eight() == NEUTRAL:
        return
    product = (edwards.x25519_scalar(private) * lifted).montgomery()
    assert product == key.exchange(X25519PublicKey.from_public_bytes(other))


@SOME
@given(keys32)
def test_a_point_has_one_encoding(data):
    point = edwards.decode(data)
    if point is not None:
        assert point.encode() == data
        assert (point + -point) == NEUTRAL
        lifted = edwards.lifted(point.montgomery()) if point != NEUTRAL else None
        assert lifted is None or lifted in (point, -point)


def test_the_group_has_the_order_that_it_should():
    assert BASE.of_order_l()
    assert not NEUTRAL.of_order_l()
    assert not (BASE + TORSION).of_order_l()
    assert TORSION.times_eight() == NEUTRAL
    assert (ORDER - 1) * BASE + BASE == NEUTRAL
    assert edwards.decode((2**255 - 19 + 1).to_bytes(32, "little")) is None  # y = 1 again
    assert edwards.decode((1 | 1 << 255).to_bytes(32, "little")) is None  # x = 0 with a sign
    assert edwards.decode(b"short") is None
    half = sum(edwards.lifted(os.urandom(31) + bytes(1)) is None for _ in range(200))
    assert 60 < half < 140  # as many coordinates are on the twist


def test_a_nonce_is_never_used_for_two_statements():
    """Two responses under one nonce would give the holder's key away."""
    shown = set()
    for _ in range(6):
        envelopes, proof = dealing(victims=[1], **HIDDEN["garbage"])
        one = dealt(envelopes, proof, 1)
        _, challenge, response = read_complaint(complained(one, 1)[0], DEFAULT).revealed
        private, public = key_pairs(16)[1]
        scalar = edwards.x25519_scalar(private) // 8 % ORDER
        if scalar * BASE.times_eight() != edwards.lifted(public):
            scalar = ORDER - scalar
        shown.add((response - challenge * scalar) % ORDER)
    assert len(shown) == 6
    assert np.all([nonce > 2**200 for nonce in shown])
