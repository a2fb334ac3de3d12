"""Promises beside the keys: one certificate for each slot, whoever asks, and on the disk."""

import os
import sqlite3
import stat
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import AlreadyOpened, KeystoreError, KeystoreExposed, ProtocolError
from flwr_swarm.keystore.promises import FILE, Promises

CONTRACT = "0x" + "Ab" * 20
ACCOUNTS = ("0x" + "Cd" * 20, "0x" + "Ef" * 20)


def keep(promises, kind, digest, **slot):
    usual = {"chain_id": 7, "contract": CONTRACT, "account": ACCOUNTS[0], "number": 1, "view": 0}
    promises.keep(kind, digest=digest, **(usual | slot))


asked = st.tuples(
    st.sampled_from(["sign", "open"]),
    st.sampled_from([bytes([i]) * 32 for i in range(3)]),
    st.fixed_dictionaries(
        {
            "chain_id": st.integers(7, 8),
            "contract": st.sampled_from([CONTRACT, CONTRACT.lower(), "0x" + "12" * 20]),
            "account": st.sampled_from(ACCOUNTS),
            "number": st.integers(1, 2),
            "view": st.integers(0, 1),
        }
    ),
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(asked, max_size=25))
def test_the_first_digest_of_a_slot_is_the_only_one(tmp_path_factory, calls):
    folder = tmp_path_factory.mktemp("k") / "promises"
    agreed = {}
    for kind, digest, slot in calls:
        where = (kind, slot["chain_id"], slot["contract"].lower(), slot["number"])
        where += (slot["account"], slot["view"]) if kind == "sign" else ()
        promises = Promises(folder)  # opened anew each time: a restart
        if agreed.setdefault(where, digest) == digest:
            keep(promises, kind, digest, **slot)
            continue
        with pytest.raises(ProtocolError, match=f"round {slot['number']}") as caught:
            keep(promises, kind, digest, **slot)
        assert isinstance(caught.value, AlreadyOpened) == (kind == "open")


def test_an_opening_binds_the_accounts_before_and_after_a_rotation(tmp_path):
    promises = Promises(tmp_path / "promises")
    keep(promises, "open", b"\1" * 32, account=ACCOUNTS[0])
    with pytest.raises(AlreadyOpened, match="round 1 were released"):
        keep(promises, "open", b"\2" * 32, account=ACCOUNTS[1], view=1)


def test_a_promise_outlives_the_process_that_gave_it(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; "
        "from flwr_swarm.keystore.promises import Promises; "
        f"Promises(Path(sys.argv[1])).keep('sign', chain_id=7, contract={CONTRACT!r}, "
        f"account={ACCOUNTS[0]!r}, number=1, view=0, digest=bytes(32)); os._exit(9)"
    )
    folder = tmp_path / "promises"
    done = subprocess.run([sys.executable, "-c", script, str(folder)], check=False)
    assert done.returncode == 9
    keep(Promises(folder), "sign", bytes(32))
    with pytest.raises(ProtocolError, match="round 1, view 0"):
        keep(Promises(folder), "sign", b"\1" * 32)


def test_only_the_owner_gets_at_it(tmp_path):
    folder = tmp_path / "promises"
    promises = Promises(folder)
    with sqlite3.connect(folder / FILE) as database:  # holds the log open
        keep(promises, "sign", bytes(32))
        for path in [folder, *folder.iterdir()]:
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077
    database.close()
    (folder / FILE).chmod(0o644)
    with pytest.raises(KeystoreExposed, match="644"):
        Promises(folder)


def test_nothing_is_promised_without_the_disk(tmp_path):
    promises = Promises(tmp_path / "promises")
    file = tmp_path / "promises" / FILE
    file.write_bytes(os.urandom(4096))
    with pytest.raises(KeystoreError, match="nothing is signed or released without it"):
        keep(promises, "sign", bytes(32))
