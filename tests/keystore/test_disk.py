"""A site's memory on its disk: whole or as before, whatever kills the writer or fills the disk."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from flwr_swarm._exceptions import KeystoreExposed, MemoryDamaged
from flwr_swarm.keystore.disk import MANIFEST, Disk

blobs = st.dictionaries(st.sampled_from("abcde"), st.binary(max_size=60), max_size=5)


class _Crash(BaseException):
    """The power goes."""


class DiskMachine(RuleBasedStateMachine):
    """Saves, and saves that are cut off at any of their steps; a fresh process looks each time."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "memory"
        self.possible: list[dict[str, bytes]] = [{}]

    @rule(wanted=blobs)
    def save(self, wanted: dict[str, bytes]) -> None:
        Disk(self.path).save(wanted)
        self.possible = [wanted]

    @rule(wanted=blobs, step=st.integers(0, 14), call=st.sampled_from(["fsync", "replace"]))
    def crash_while_saving(self, wanted: dict[str, bytes], step: int, call: str) -> None:
        with failing(call, step, _Crash()):
            try:
                Disk(self.path).save(wanted)
            except _Crash:
                self.possible = [self.possible[0], wanted]
            else:
                self.possible = [wanted]
        self.possible = [Disk(self.path).load()] if self.agrees() else []

    @rule(wanted=blobs, step=st.integers(0, 14))
    def save_on_a_full_disk(self, wanted: dict[str, bytes], step: int) -> None:
        with failing("fsync", step, OSError(errno.ENOSPC, "No space left on device")):
            try:
                Disk(self.path).save(wanted)
            except MemoryDamaged:
                self.possible = [self.possible[0], wanted]
            else:
                self.possible = [wanted]
        self.possible = [Disk(self.path).load()] if self.agrees() else []

    def agrees(self) -> bool:
        return Disk(self.path).load() in self.possible

    @invariant()
    def the_old_memory_is_there_or_the_new_one(self) -> None:
        assert self.agrees()

    def teardown(self) -> None:
        self.folder.cleanup()


class failing:  # noqa: N801 - reads like a statement
    """Calls of an `os` function fail from the `step`-th on."""

    def __init__(self, call: str, step: int, error: BaseException) -> None:
        self.call, self.step, self.error = call, step, error

    def __enter__(self) -> None:
        self.real = os.fsync if self.call == "fsync" else Path.replace
        count = iter(range(1 << 30))

        def sometimes(*arguments: Any) -> Any:
            if next(count) >= self.step:
                raise self.error
            return self.real(*arguments)

        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(os if self.call == "fsync" else Path, self.call, sometimes)

    def __exit__(self, *_: object) -> None:
        self.patch.undo()


DiskMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)
TestDiskMachine = DiskMachine.TestCase


@given(saved=blobs.filter(bool), data=st.data())
def test_a_changed_byte_is_found(saved: dict[str, bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        disk = Disk(Path(folder) / "memory")
        disk.save(saved)
        files = sorted(p for p in (Path(folder) / "memory").iterdir() if p.name != ".lock")
        victim = data.draw(st.sampled_from([p for p in files if p.stat().st_size]))
        content = bytearray(victim.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
        victim.write_bytes(content)
        try:
            found = Disk(Path(folder) / "memory").load()
        except MemoryDamaged:
            return
        # Only names in the manifest are not covered; their blobs are.
        assert victim.name == MANIFEST
        assert sorted(found.values()) == sorted(saved.values())


def test_two_names_that_become_one_lose_no_blob_unseen(tmp_path: Path) -> None:
    """One bit makes a c of a b; what the first of them named would be forgotten."""
    disk = Disk(tmp_path / "memory")
    disk.save({"b": b"1", "c": b"2"})
    manifest = tmp_path / "memory" / MANIFEST
    manifest.write_bytes(manifest.read_bytes().replace(b'"b"', b'"c"'))
    with pytest.raises(MemoryDamaged):
        disk.load()


def test_what_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "memory")
    disk.save({"model": b"m" * 1000, "facts": b"1"})
    before = {p.name: p.stat().st_ino for p in (tmp_path / "memory").iterdir()}
    disk.save({"model": b"m" * 1000, "facts": b"2"})
    after = {p.name: p.stat().st_ino for p in (tmp_path / "memory").iterdir()}
    kept = {name for name in before if after.get(name) == before[name]} - {".lock"}
    assert len(kept) == 1
    assert len(after) == len(before), "what is not named any more is gone"


def test_a_full_disk_names_the_remedy(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with failing("fsync", 0, full), pytest.raises(MemoryDamaged, match="free the disk"):
        Disk(tmp_path / "memory").save({"facts": b"1"})


def test_others_may_not_read_it(tmp_path: Path) -> None:
    Disk(tmp_path / "memory").save({"facts": b"1"})
    assert all(p.stat().st_mode & 0o077 == 0 for p in (tmp_path / "memory").iterdir())
    (tmp_path / "memory").chmod(0o755)
    with pytest.raises(KeystoreExposed):
        Disk(tmp_path / "memory")


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that saves one memory after another, and says so."""
    program = (
        "import sys; from pathlib import Path; from flwr_swarm.keystore.disk import Disk\n"
        "disk = Disk(Path(sys.argv[1]))\n"
        "for number in range(10**6):\n"
        "    disk.save({'facts': b'%d' % number, 'blob': bytes(50_000) + b'%d' % number})\n"
        "    print(number, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "memory")], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_kill_9_loses_nothing_that_was_saved(writer: subprocess.Popen[str], tmp_path: Path) -> None:
    assert writer.stdout is not None
    told = [int(writer.stdout.readline()) for _ in range(20)]
    writer.send_signal(signal.SIGKILL)
    told += [int(line) for line in writer.stdout.read().splitlines() if line.isdigit()]
    found = Disk(tmp_path / "memory").load()
    assert int(found["facts"]) in {told[-1], told[-1] + 1}
    assert found["blob"] == bytes(50_000) + found["facts"]
