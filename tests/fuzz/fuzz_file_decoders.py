"""Decoders of files: those that people hand to one another, and a site's own on its disk."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any

from eth_account import Account
from fuzz_bytes import blind
from fuzz_decoder import Decoder
from fuzz_json import document
from fuzz_material import dumped, run
from fuzz_records import array_bytes

from flwr_swarm._exceptions import (
    AccountantLost,
    ConfigurationError,
    EvidenceError,
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
from flwr_swarm.keystore import container
from flwr_swarm.keystore.disk import Disk
from flwr_swarm.keystore.keys import MemberKeys
from flwr_swarm.privacy.accounting import Charge, History
from flwr_swarm.privacy.ledger import Entry
from flwr_swarm.report.evidence import write_manifest
from flwr_swarm.report.verify import verify

_FILE = 1 << 21
"""A file of people's is read into a mebibyte, and is no longer than that."""
_CONTRACT = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@cache
def _folder() -> Path:
    """Where inputs lie as files, in memory where the system has room for that."""
    shared = Path("/dev/shm")  # noqa: S108
    return Path(mkdtemp(prefix="fuzz-", dir=shared if os.access(shared, os.W_OK) else None))


def _as_file(read: Callable[[Path], Any], mode: int = 0o600) -> Callable[[bytes], Any]:
    def decode(data: bytes) -> Any:
        path = _folder() / "input"
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


# --- a run's evidence ---------------------------------------------------------------------------


def _bundle(folder: Path) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                info = tarfile.TarInfo(path.relative_to(folder).as_posix())
                info.size = path.stat().st_size
                archive.addfile(info, io.BytesIO(path.read_bytes()))
    return stream.getvalue()


def _members(bundle: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]


def _laid_out(contents: dict[str, bytes], folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _verified(bundle: bytes) -> Any:
    """Tar is ours, for this test alone: one that is broken is no evidence of anything."""
    try:
        contents = _members(bundle)
    except (tarfile.TarError, EOFError, ValueError, AttributeError):
        raise EvidenceError("no bundle") from None
    if any(".." in name or name.startswith("/") for name in contents):
        raise EvidenceError("no bundle")
    folder = _folder() / "evidence"
    _laid_out(contents, folder)
    return verify(folder)


def _bent_file(random: Random, name: str, data: bytes) -> bytes:
    if name.endswith(".json"):
        return document(random, data, [data])
    if name.endswith(".jsonl"):
        lines = data.splitlines()
        at = random.randrange(len(lines))
        lines[at] = document(random, lines[at], lines)
        return b"\n".join(lines) + b"\n"
    if name.endswith(".npz"):
        return _bent_archive(random, data)
    return blind(random, data, [data])


def _bent_archive(random: Random, data: bytes) -> bytes:
    import zipfile

    if random.random() < 0.3:
        return blind(random, data, [data])
    stream, kind = io.BytesIO(), random.choice((zipfile.ZIP_STORED,) * 4 + (zipfile.ZIP_DEFLATED,))
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w", kind) as new:
        for info in old.infolist():
            content = old.read(info)
            if random.random() < 0.4:
                content = array_bytes(random, content, [content])
            if kind == zipfile.ZIP_DEFLATED and random.random() < 0.3:
                content += bytes(1 << 22)
            name = random.choice((info.filename,) * 8 + ("state/x.npy", "model/.npy", "x"))
            if name not in new.NameToInfo:
                new.writestr(name, content)
    return stream.getvalue()


def _evidence(random: Random, bundle: bytes, others: Sequence[bytes]) -> bytes:
    """One file of the bundle bent, and the manifest made to fit it as a rule."""
    contents = _members(bundle)
    name = random.choice(sorted(contents))
    match random.randrange(12):
        case 0:
            del contents[name]
        case 1:
            contents[random.choice(("x", "rounds/0009/sum.bin", "rounds/x"))] = contents[name]
        case 2:
            contents[name] = contents[random.choice(sorted(contents))]
        case _:
            contents[name] = _bent_file(random, name, contents[name])
    folder = _folder() / "bent"
    _laid_out(contents, folder)
    if name != "manifest.json" or random.random() < 0.3:
        write_manifest(folder)
    return _bundle(folder)


def _true_model(_: bytes, value: Any) -> bool:
    """Evidence that verifies leads to the model that the run led to, whatever else it says."""
    return bool(value.final_hash == verify(run().evidence).final_hash)


# --- a site's own disk --------------------------------------------------------------------------

_RECORDS = (b"first", b"second record", bytes(300), b"\x00last\x00")


def _journal(path: Path) -> list[bytes]:
    with journal.Journal(path) as opened:
        return list(opened.records())


def _disk(data: bytes) -> Any:
    folder = _folder() / "disk"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    Disk(folder).save(_BLOBS)
    (folder / "manifest.json").write_bytes(data)
    return Disk(folder).load()


_BLOBS = {"facts": b"{}", "parent0.model": bytes(40)}


def _manifest() -> bytes:
    folder = _folder() / "kept"
    folder.mkdir(mode=0o700, exist_ok=True)
    Disk(folder).save(_BLOBS)
    return (folder / "manifest.json").read_bytes()


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
            name="evidence",
            read=_verified,
            corpus=(_bundle(run().evidence),),
            mutate=_evidence,
            faithful=_true_model,
            refusals=(EvidenceError,),
            constant=1 << 24,
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
