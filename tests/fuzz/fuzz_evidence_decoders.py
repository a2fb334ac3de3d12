"""The decoder of a run's evidence: a folder that anybody may have written."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from fuzz_bytes import blind
from fuzz_decoder import Decoder
from fuzz_folder import folder
from fuzz_json import document
from fuzz_material import run
from fuzz_records import array_bytes

from flwr_swarm._exceptions import EvidenceError
from flwr_swarm.report.evidence import write_manifest
from flwr_swarm.report.verify import verify

_LARGEST = 1 << 23


def _bundle(place: Path) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(place.rglob("*")):
            if path.is_file():
                info = tarfile.TarInfo(path.relative_to(place).as_posix())
                info.size = path.stat().st_size
                archive.addfile(info, io.BytesIO(path.read_bytes()))
    return stream.getvalue()


def _members(bundle: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]


def _laid_out(contents: dict[str, bytes], place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    for name, data in contents.items():
        path = place / name
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
    place = folder() / "evidence"
    _laid_out(contents, place)
    return verify(place)


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
    if random.random() < 0.3:
        return blind(random, data, [data])
    stream, kind = io.BytesIO(), random.choice((zipfile.ZIP_STORED,) * 4 + (zipfile.ZIP_DEFLATED,))
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w", kind) as new:
        for info in old.infolist():
            with old.open(info) as file:  # bent again and again it would grow
                content = file.read(_LARGEST)
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
    place = folder() / "bent"
    _laid_out(contents, place)
    if name != "manifest.json" or random.random() < 0.3:
        write_manifest(place)
    return _bundle(place)


def _true_model(_: bytes, value: Any) -> bool:
    """Evidence that verifies leads to the model that the run led to, whatever else it says."""
    return bool(value.final_hash == verify(run().evidence).final_hash)


def decoders() -> list[Decoder]:
    """It alone."""
    return [
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
    ]
