"""Keys at rest: they open with their password alone, and only where nobody else reads."""

import contextlib
import json
import logging
import os
import stat
import traceback
from pathlib import Path

import pytest
from eth_account import Account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import (
    KeystoreError,
    KeystoreExists,
    KeystoreExposed,
    SwarmError,
    WrongPassword,
)
from flwr_swarm.keystore import STANDARD_COST, Keystore, container, files
from flwr_swarm.keystore.keys import MemberKeys

CHEAP = 2
PASSWORD = "correct horse battery"
OTHER = "wrong horse battery!"


@pytest.fixture
def keys():
    return MemberKeys.generate()


@pytest.fixture
def store(tmp_path, keys):
    return Keystore.create(tmp_path / "keys", PASSWORD, keys=keys, cost=CHEAP)


def secrets_of(keys, password=PASSWORD):
    """All forms in which what must stay secret could appear."""
    forms = [password.encode()]
    for key in (keys.account_key, keys.share_key_bytes):
        forms += [key, key.hex().encode(), key.hex().upper().encode(), repr(key)[2:-1].encode()]
        forms.append(str(int.from_bytes(key, "big")).encode())
    return forms


def all_bytes(folder):
    return b"\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=st.text(min_size=12, max_size=40), data=st.binary(min_size=64, max_size=64))
def test_what_is_written_opens_again(tmp_path_factory, password, data):
    keys = MemberKeys.generate(lambda n: (b"\1" + data)[:n])
    folder = tmp_path_factory.mktemp("k") / "keys"
    Keystore.create(folder, password, keys=keys, cost=CHEAP)
    assert Keystore.open(folder, password) == keys
    assert not [form for form in secrets_of(keys)[1:] if form in all_bytes(folder)]


def test_the_account_file_is_one_that_other_tools_read(store, keys):
    text = (store.folder / "0001" / "account.json").read_text()
    assert bytes(Account.decrypt(text, PASSWORD)) == keys.account_key
    assert "0x" + json.loads(text)["address"].lower() == keys.account.lower()


def test_the_share_file_names_no_account(store, keys):
    fields = json.loads((store.folder / "0001" / "share.json").read_text())
    assert "address" not in fields
    assert fields["x25519"] == keys.encryption_key.hex()


def test_the_standard_cost_is_scrypts_own(tmp_path, keys):
    store = Keystore.create(tmp_path / "keys", PASSWORD, keys=keys)
    for name in ("account.json", "share.json"):
        crypto = json.loads((store.folder / "0001" / name).read_text())["crypto"]
        assert crypto["kdf"] == "scrypt"
        found = {key: crypto["kdfparams"][key] for key in ("n", "r", "p", "dklen")}
        assert found == {"n": 262_144, "r": 8, "p": 1, "dklen": 32}
    assert STANDARD_COST == 262_144


def test_files_and_folders_are_their_owners_alone(store):
    for path in [store.folder, *store.folder.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_even_under_a_lax_umask(tmp_path, keys):
    before = os.umask(0)
    try:
        store = Keystore.create(tmp_path / "keys", PASSWORD, keys=keys, cost=CHEAP)
    finally:
        os.umask(before)
    test_files_and_folders_are_their_owners_alone(store)


@pytest.mark.parametrize("where", ["", "0001", "0001/account.json", "0001/share.json"])
@pytest.mark.parametrize("bits", [0o040, 0o020, 0o004, 0o002, 0o001, 0o010])
def test_looser_permissions_are_refused_by_name(store, where, bits):
    path = store.folder / where
    path.chmod(stat.S_IMODE(path.stat().st_mode) | bits)
    with pytest.raises(KeystoreExposed, match=str(path)) as refused:
        Keystore.open(store.folder, PASSWORD)
    assert "chmod" in str(refused.value)


def test_keys_are_not_written_into_a_folder_that_others_read(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    shared.chmod(0o755)
    with pytest.raises(KeystoreExposed):
        Keystore.create(shared, PASSWORD, cost=CHEAP)
    assert list(shared.iterdir()) == []


@pytest.mark.parametrize("name", ["account.json", "share.json"])
def test_a_link_is_no_key_file(store, tmp_path, name):
    path = store.folder / "0001" / name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeystoreError, match="not a plain file"):
        Keystore.open(store.folder, PASSWORD)


def test_nothing_is_ever_overwritten(store):
    before = all_bytes(store.folder)
    with pytest.raises(KeystoreExists):
        Keystore.create(store.folder, PASSWORD, cost=CHEAP)
    with pytest.raises(KeystoreExists):
        files.write_folder(store.folder, "0001", {"account.json": b"{}"})
    assert all_bytes(store.folder) == before


@pytest.mark.parametrize("fails_at", range(5))
def test_a_crash_while_writing_leaves_nothing_or_all(tmp_path, keys, monkeypatch, fails_at):
    """Syncs are two files, their folder, its parent; a crash at any of them, or at none."""
    real, calls = os.fsync, []

    def sync(handle):
        if len(calls) == fails_at:
            raise OSError(5, "the disk is gone")
        calls.append(handle)
        real(handle)

    monkeypatch.setattr(os, "fsync", sync)
    folder = tmp_path / "keys"
    try:
        Keystore.create(folder, PASSWORD, keys=keys, cost=CHEAP)
    except KeystoreError:
        assert fails_at < 4
    else:
        assert fails_at == 4
    monkeypatch.undo()
    made = [path.name for path in folder.iterdir()]
    if made:
        assert made == ["0001"]
        assert Keystore.open(folder, PASSWORD) == keys
    else:
        Keystore.create(folder, PASSWORD, cost=CHEAP)  # and can be tried again


def test_a_half_written_generation_is_not_read(store, keys):
    (store.folder / f"{files.UNFINISHED}x").mkdir(mode=0o700)
    (store.folder / f"{files.UNFINISHED}x" / "account.json").write_text("{")
    assert Keystore.open(store.folder, PASSWORD) == keys


def test_a_wrong_password_shows_nothing(store, keys, caplog, capfd):
    """Neither what was typed, nor the right one, nor a key, in any place an error can reach."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(WrongPassword) as refused:
        Keystore.open(store.folder, OTHER)
    error = refused.value
    assert error.__cause__ is None
    assert error.__context__ is None  # whose frames would hold the password
    shown = "".join(traceback.TracebackException.from_exception(error).format())
    captured = capfd.readouterr()
    places = [str(error), repr(error), shown, caplog.text, captured.out, captured.err]
    places += [repr(store), repr(store.newest), repr(keys), str(vars(store))]
    everything = "\0".join(places).encode() + all_bytes(store.folder)
    assert not [f for f in (*secrets_of(keys), OTHER.encode()) if f in everything]


def test_no_library_frame_survives_with_the_password(store):
    with pytest.raises(WrongPassword) as refused:
        Keystore.open(store.folder, OTHER)
    for frame, _ in traceback.walk_tb(refused.value.__traceback__):
        assert "eth_keyfile" not in frame.f_code.co_filename
        assert "Crypto" not in frame.f_code.co_filename


@pytest.mark.parametrize("name", ["account.json", "share.json"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_never_opens_as_another_key(store, keys, name, data):
    path = store.folder / "0001" / name
    original = path.read_bytes()
    at = data.draw(st.integers(0, len(original) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != original[at]))
    path.write_bytes(original[:at] + bytes([byte]) + original[at + 1 :])
    opened = keys  # some bytes say nothing
    with contextlib.suppress(KeystoreError):
        opened = Keystore.open(store.folder, PASSWORD)
    path.write_bytes(original)
    assert opened == keys


def test_a_file_cannot_ask_for_the_machines_memory_or_time(store, monkeypatch):
    path = store.folder / "0001" / "account.json"
    original, tried = json.loads(path.read_text()), []
    monkeypatch.setattr(container, "decode_keyfile_json", lambda *_: tried.append(1) or b"")
    with pytest.raises(KeystoreError):
        Keystore.open(store.folder, PASSWORD)
    assert tried == [1]  # an honest file is tried
    for change in ({"n": 1 << 40}, {"r": 1 << 20}, {"p": 1 << 20}, {"n": -1}, {"n": "x"}):
        fields = json.loads(json.dumps(original))
        fields["crypto"]["kdfparams"] |= change
        path.write_text(json.dumps(fields))
        with pytest.raises(KeystoreError, match="damaged"):
            Keystore.open(store.folder, PASSWORD)
    assert tried == [1]


def test_files_of_two_members_do_not_mix(store, tmp_path):
    other = Keystore.create(tmp_path / "other", PASSWORD, cost=CHEAP)
    mine, theirs = (s.folder / "0001" / "account.json" for s in (store, other))
    fields = json.loads(mine.read_text()) | {"address": json.loads(theirs.read_text())["address"]}
    mine.write_text(json.dumps(fields))
    with pytest.raises(KeystoreError, match="not those of account"):
        Keystore.open(store.folder, PASSWORD)


def test_rotation_keeps_the_old_keys_and_the_client_takes_the_listed_ones(store, keys):
    new = store.rotate(PASSWORD, cost=CHEAP)
    assert new.account != keys.account
    assert new.encryption_key != keys.encryption_key
    same = store.rotate(PASSWORD, cost=CHEAP, keep_account=True)
    assert same.account == new.account
    assert same.encryption_key != new.encryption_key
    again = Keystore(store.folder)
    assert [g.number for g in again.generations] == [1, 2, 3]
    assert Keystore.open(store.folder, PASSWORD, account=keys.account.lower()) == keys
    for listed in (new, same):
        found = Keystore.open(
            store.folder, PASSWORD, account=listed.account, encryption_key=listed.encryption_key
        )
        assert (found.account, found.encryption_key) == (listed.account, listed.encryption_key)
    with pytest.raises(KeystoreError, match="as the chain lists it"):
        Keystore.open(store.folder, PASSWORD, account="0x" + "11" * 20)


def test_rotation_needs_the_password_and_writes_nothing_without(store):
    before = all_bytes(store.folder)
    with pytest.raises(WrongPassword):
        store.rotate(OTHER, cost=CHEAP)
    assert all_bytes(store.folder) == before


@pytest.mark.parametrize("password", ["", "x" * 11])
def test_a_short_password_is_refused_before_a_folder_is_made(tmp_path, password):
    with pytest.raises(KeystoreError, match="12"):
        Keystore.create(tmp_path / "keys", password)
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("cost", [0, 1, 3, -8, 1 << 30])
def test_a_cost_that_scrypt_cannot_have_is_refused(tmp_path, cost):
    with pytest.raises(KeystoreError, match=str(cost)):
        Keystore.create(tmp_path / "keys", PASSWORD, cost=cost)


@pytest.mark.parametrize("folder", ["missing", "empty", "file"])
def test_no_keys_is_an_error_that_says_how_to_make_some(tmp_path, folder):
    (tmp_path / "empty").mkdir(mode=0o700)
    (tmp_path / "file").write_text("x")
    with pytest.raises(SwarmError, match="keygen"):
        Keystore(Path(tmp_path / folder))
