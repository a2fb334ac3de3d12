"""Decoders of files: those that people hand to one another, and a site's own on its disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from eth_account import Account
from fuzz_bytes import blind
from fuzz_decoder import Decoder
from fuzz_folder import folder
from fuzz_json import document
from fuzz_material import dumped

from flwr_swarm._exceptions import (
    AccountantLost,
    ConfigurationError,
    JournalCorrupt,
    KeystoreError,
    MemoryDamaged,
    WireError,
    WrongChain,
)
from flwr_swarm.chain import journal
from flwr_swarm.commands.applications import Application, load, new_card
from flwr_swarm.commands.plan import Plan
from flwr_swarm.commands.policies import default_policy, default_terms, load_terms
from flwr_swarm.commands.strict import read_json
from flwr_swarm.deployment.node_keys import as_pem
from flwr_swarm.keystore import container
from flwr_swarm.keystore.disk import Disk
from flwr_swarm.keystore.keys import MemberKeys
from flwr_swarm.privacy.accounting import Charge, History
from flwr_swarm.privacy.ledger import Entry

_FILE = 1 << 21
"""A file of people's is read into a mebibyte, and is no longer than that."""
_CONTRACT = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


def _as_file(read: Callable[[Path], Any], mode: int = 0o600) -> Callable[[bytes], Any]:
    def decode(data: bytes) -> Any:
        path = folder() / "input"
        path.write_bytes(data)
        path.chmod(mode)
        return read(path)

    return decode


# --- what applicants and founders hand over -----------------------------------------------------


@cache
def _application(number: int) -> Application:
    keys = MemberKeys(account_key=bytes([7, number] * 16), share_key_bytes=bytes([3, number] * 16))
    card = new_card(keys, chain_id=77, contract=_CONTRACT, epsilon=0.5, weight_class=9)
    return Application.sign(
        keys, chain_id=77, contract=_CONTRACT, seat=None, card=card, expires=2**40
    )


def _applied(path: Path) -> Application:
    found = load(path)
    found.check(chain_id=77, contract=_CONTRACT, now=1)
    return found


@cache
def _plan() -> Plan:
    terms = default_terms(4)
    return Plan(
        chain_id=77,
        contract=_CONTRACT,
        founder=str(Account.from_key(bytes([9]) * 32).address),
        policy=default_policy(4, terms),
        terms=terms,
        applications=tuple(map(_application, range(4))),
    )


def _planned(path: Path) -> Plan:
    return Plan.from_json(read_json(path))


def _told(data: bytes, value: Any) -> bool:
    return bool(json.loads(dumped(value.to_json())) == json.loads(data))


def _entry(path: Path) -> Entry:
    return Entry.from_json(read_json(path))


# --- a site's own disk --------------------------------------------------------------------------

_NODE_KEY = (
    b"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGsX0fLhLEJH+Lzm5"
    b"WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU=\n"
)
_RECORDS = (b"first", b"second record", bytes(300), b"\x00last\x00")


def _journal(path: Path) -> list[bytes]:
    with journal.Journal(path) as opened:
        return list(opened.records())


def _disk(data: bytes) -> Any:
    place = folder() / "disk"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700)
    Disk(place).save(_BLOBS)
    (place / "manifest.json").write_bytes(data)
    return Disk(place).load()


_BLOBS = {"facts": b"{}", "parent0.model": bytes(40)}


def _manifest() -> bytes:
    place = folder() / "kept"
    place.mkdir(mode=0o700, exist_ok=True)
    Disk(place).save(_BLOBS)
    return (place / "manifest.json").read_bytes()


def decoders() -> list[Decoder]:
    """All of them."""
    entry = Entry(
        site="a",
        units=120,
        history=History(
            charges=(Charge(noise_multiplier=1.0, sample_rate=0.1, steps=7),), delta=1e-5, rounds=2
        ),
    )
    own = container.encrypted(bytes([5]) * 32, "correct horse battery", 2)
    frames = b"".join(map(journal.frame, _RECORDS))
    return [
        Decoder(
            name="application",
            read=_as_file(_applied),
            corpus=tuple(dumped(_application(n).to_json()) for n in range(2)),
            mutate=document,
            faithful=_told,
            refusals=(WireError, ConfigurationError, WrongChain),
            constant=_FILE,
            share=2,
        ),
        Decoder(
            name="founding document",
            read=_as_file(_planned),
            corpus=(dumped(_plan().to_json()),),
            mutate=document,
            faithful=_told,
            refusals=(WireError, ConfigurationError, WrongChain),
            constant=_FILE,
            share=2,
        ),
        Decoder(
            name="file of terms",
            read=_as_file(load_terms),
            corpus=(dumped(_plan().terms.to_json()),),
            mutate=document,
            faithful=_told,
            refusals=(WireError, ConfigurationError),
            constant=_FILE,
            share=2,
        ),
        Decoder(
            name="entry of a privacy ledger",
            read=_as_file(_entry),
            corpus=(dumped(entry.to_json()),),
            mutate=document,
            faithful=_told,
            refusals=(WireError, AccountantLost, ConfigurationError),
            constant=_FILE,
            share=2,
        ),
        Decoder(
            name="node key",
            read=lambda data: as_pem(data, "a node.pub"),
            corpus=(_NODE_KEY,),
            mutate=blind,
            refusals=(ConfigurationError,),
            share=1,
        ),
        Decoder(
            name="journal",
            read=_as_file(_journal),
            corpus=(frames, frames + journal.frame(b"x")[:9], frames + bytes(40)),
            mutate=blind,
            faithful=lambda data, found: data.startswith(b"".join(map(journal.frame, found))),
            refusals=(JournalCorrupt,),
            constant=1 << 21,
            share=2,
        ),
        Decoder(
            name="key file",
            read=_as_file(container.parsed),
            corpus=(json.dumps(own).encode(),),
            mutate=document,
            refusals=(KeystoreError,),
            constant=1 << 18,
            share=1,
        ),
        Decoder(
            name="manifest of a memory",
            read=_disk,
            corpus=(_manifest(),),
            mutate=document,
            refusals=(MemoryDamaged,),
            constant=1 << 20,
            share=1,
        ),
    ]
