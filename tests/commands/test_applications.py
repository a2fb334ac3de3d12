"""Files that strangers hand in: signed for one purpose, read strictly, refused by name."""

import contextlib
import json
import time
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import ConfigurationError, SwarmError, WireError, WrongChain
from flwr_swarm.commands import applications, strict
from flwr_swarm.commands.applications import Application, new_card
from flwr_swarm.keystore.keys import MemberKeys
from flwr_swarm.protocol.types import ZERO_HASH, Card

KEYS = MemberKeys.generate()
OTHER = MemberKeys.generate()
CHAIN, CONTRACT, NOW = 77, "0x" + "12" * 20, 1_000_000
CARD = new_card(KEYS, chain_id=CHAIN, contract=CONTRACT, weight_class=11, epsilon=0.5)
SIGNED = Application.sign(
    KEYS, chain_id=CHAIN, contract=CONTRACT, seat=None, card=CARD, expires=NOW + 60
)
hashes = st.binary(min_size=32, max_size=32)


def check(application, **changes):
    application.check(**({"chain_id": CHAIN, "contract": CONTRACT, "now": NOW} | changes))


@given(
    seat=st.none() | st.integers(0, 63),
    endpoint=st.text(max_size=60),
    epsilon=st.integers(0, 2**64 - 1),
    weight=st.integers(0, 63),
    tls=hashes,
    expires=st.integers(NOW, 2**64 - 1),
)
@settings(max_examples=40)
def test_what_was_signed_reads_back_and_holds(seat, endpoint, epsilon, weight, tls, expires):
    card = replace(CARD, endpoint=endpoint, epsilon=epsilon, weight_class=weight, tls_hash=tls)
    signed = Application.sign(
        KEYS, chain_id=CHAIN, contract=CONTRACT, seat=seat, card=card, expires=expires
    )
    read = Application.from_json(json.loads(json.dumps(signed.to_json())))
    assert read == replace(signed, contract=read.contract)
    check(read)


@given(data=st.data())
@settings(max_examples=80)
def test_no_field_can_be_changed_after_it_was_signed(data):
    name = data.draw(st.sampled_from([f.name for f in fields(Card)]))
    others = {
        "account": OTHER.account,
        "endpoint": data.draw(st.text(min_size=1, max_size=20)),
        "epsilon": data.draw(st.integers(0, 2**64 - 1).filter(lambda e: e != CARD.epsilon)),
        "weight_class": data.draw(st.integers(0, 63).filter(lambda w: w != 11)),
    }
    value = others.get(name, data.draw(hashes))
    if value == getattr(CARD, name):
        return
    with pytest.raises(ConfigurationError, match="signed by"):
        check(replace(SIGNED, card=replace(CARD, **{name: value})))


@pytest.mark.parametrize(
    "change", [{"seat": 0}, {"expires": NOW + 61}, {"consent": b"\0" * 65}, {"consent": b"\1" * 65}]
)
def test_nor_can_what_it_is_for(change):
    with pytest.raises(ConfigurationError, match="signed by"):
        check(replace(SIGNED, **change))


@pytest.mark.parametrize(
    "elsewhere", [{"chain_id": CHAIN + 1}, {"contract": "0x" + "13" * 20}, {"chain_id": 0}]
)
def test_it_is_for_one_swarm_on_one_chain(elsewhere):
    with pytest.raises(WrongChain, match="apply again"):
        check(SIGNED, **elsewhere)
    relabelled = replace(SIGNED, **elsewhere)  # saying so in the file does not help
    with pytest.raises(ConfigurationError, match="signed by"):
        check(relabelled, **elsewhere)


def test_it_expires():
    check(SIGNED, now=NOW + 60)
    with pytest.raises(ConfigurationError, match="expired"):
        check(SIGNED, now=NOW + 61)


def test_a_key_of_small_order_is_refused_though_its_signature_holds():
    card = replace(CARD, encryption_key=ZERO_HASH)
    signed = Application.sign(
        KEYS, chain_id=CHAIN, contract=CONTRACT, seat=None, card=card, expires=NOW
    )
    with pytest.raises(ConfigurationError, match="small order"):
        check(signed)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(json_values)
def test_anything_else_is_no_application(value):
    with pytest.raises(WireError):
        Application.from_json(value)


@given(data=st.data(), value=json_values)
def test_an_odd_field_is_refused_or_changes_nothing(data, value):
    document = json.loads(json.dumps(SIGNED.to_json()))
    where = document if data.draw(st.booleans()) else document["card"]
    name = data.draw(st.sampled_from(sorted(where)))
    where[name] = value
    with contextlib.suppress(SwarmError):
        read = Application.from_json(document)
        check(read)
        assert read == Application.from_json(SIGNED.to_json())


@pytest.mark.parametrize("change", ["drop", "add", "twice", "half a character", "huge", "nested"])
def test_files_of_another_form_are_refused(tmp_path, change):
    text = json.dumps(SIGNED.to_json())
    text = {
        "drop": text.replace('"seat": null, ', ""),
        "add": text.replace('"seat": null', '"seat": null, "note": 1'),
        "twice": text.replace('"seat": null', '"seat": null, "seat": 3'),
        "half a character": text.replace('"endpoint": ""', '"endpoint": "\\ud800"'),
        "huge": text + " " * (1 << 20),
        "nested": "[" * 100_000,
    }[change]
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(WireError):
        applications.load(tmp_path / "card.json")


def test_a_file_is_written_once(tmp_path):
    strict.save(tmp_path / "card.json", SIGNED.to_json())
    assert applications.load(tmp_path / "card.json").card == CARD
    with pytest.raises(ConfigurationError, match="another name"):
        strict.save(tmp_path / "card.json", {})


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 1e300])
def test_an_epsilon_that_is_none_is_refused(value):
    with pytest.raises(ConfigurationError, match="epsilon"):
        new_card(KEYS, chain_id=CHAIN, contract=CONTRACT, epsilon=value)


def test_epsilon_is_rounded_up():
    assert new_card(KEYS, chain_id=1, contract=CONTRACT, epsilon=1e-9).epsilon == 1


@pytest.mark.parametrize("days", [0, -1, float("nan"), 1e9])
def test_a_consent_lasts_an_hour_to_ten_years(days):
    with pytest.raises(ConfigurationError, match="days"):
        applications.valid_until(time.time(), days)


def test_a_tls_certificate_is_known_by_its_fingerprint(tmp_path):
    from datetime import datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes as digests
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "site.example")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime(2026, 1, 1))
        .not_valid_after(datetime(2026, 1, 1) + timedelta(days=1))
        .sign(key, digests.SHA256())
    )
    expected = made.fingerprint(digests.SHA256())
    for number, encoding in enumerate((serialization.Encoding.PEM, serialization.Encoding.DER)):
        path = tmp_path / str(number)
        path.write_bytes(made.public_bytes(encoding))
        card = new_card(KEYS, chain_id=CHAIN, contract=CONTRACT, tls_certificate=path)
        assert card.tls_hash == expected
    (tmp_path / "none").write_bytes(b"-----BEGIN nothing")
    with pytest.raises(ConfigurationError, match=r"X\.509"):
        applications.fingerprint(tmp_path / "none")
