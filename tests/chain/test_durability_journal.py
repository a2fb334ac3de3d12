"""A journal keeps every finished record: it cuts what a crash left and refuses what was altered."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr_swarm._exceptions import JournalCorrupt
from flwr_swarm.chain import journal as journal_module
from flwr_swarm.chain.journal import MAX_RECORD, Journal, frame

RECORDS = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


def written(path: Path, records: list[bytes]) -> bytes:
    with Journal(path) as journal:
        assert list(journal.records()) == []
        for record in records:
            journal.append(record)
    return path.read_bytes()


@given(records=RECORDS, more=st.binary(min_size=1, max_size=40), data=st.data())
def test_whatever_prefix_a_crash_leaves_its_finished_records_are_read_and_more_can_follow(
    records: list[bytes], more: bytes, data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "j"
        whole = written(path, records)
        left = data.draw(st.integers(0, len(whole)))
        zeros = data.draw(st.booleans())
        finished, place = [], 0
        for record in records:
            place += len(frame(record))
            if place > left:
                break
            finished.append(record)
        end = place if not zeros else max(place, left)
        path.write_bytes(whole[:left] + bytes(end - left if zeros and place > left else 0))
        size = path.stat().st_size
        with Journal(path) as journal:
            assert list(journal.records()) == finished
            assert journal.cut == size - sum(len(frame(r)) for r in finished)
            journal.append(more)
        with Journal(path) as journal:
            assert list(journal.records()) == [*finished, more]
            assert journal.cut == 0


@given(records=RECORDS.filter(bool), data=st.data())
def test_one_flipped_bit_anywhere_is_refused_and_the_file_is_left_alone(
    records: list[bytes], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "j"
        whole = bytearray(written(path, records))
        bit = data.draw(st.integers(0, 8 * len(whole) - 1))
        whole[bit // 8] ^= 1 << bit % 8
        path.write_bytes(whole)
        with Journal(path) as journal, pytest.raises(JournalCorrupt, match="altered at byte"):
            list(journal.records())
        assert path.read_bytes() == whole


@given(records=RECORDS.filter(lambda r: len(r) > 1), data=st.data())
def test_bytes_that_vanish_from_the_middle_are_refused(
    records: list[bytes], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "j"
        whole = written(path, records)
        first = data.draw(st.integers(0, len(frame(records[0])) - 2))
        path.write_bytes(whole[:first] + whole[first + 1 :])
        with Journal(path) as journal, pytest.raises(JournalCorrupt):
            list(journal.records())


def test_a_record_is_on_the_disk_when_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    write, sync = os.pwrite, os.fsync

    def short_write(handle: int, data: bytes, place: int) -> int:
        done.append("write")
        return write(handle, data[: max(1, len(data) // 2)], place)

    def spied_sync(handle: int) -> None:
        sync(handle)
        done.append("sync")

    monkeypatch.setattr(journal_module.os, "pwrite", short_write)
    monkeypatch.setattr(journal_module.os, "fsync", spied_sync)
    with Journal(tmp_path / "j") as journal:
        assert list(journal.records()) == []
        done.clear()
        journal.append(b"record")
        assert done[-1] == "sync"
        assert set(done[:-1]) == {"write"}
    assert (tmp_path / "j").read_bytes() == frame(b"record")


def test_a_journal_that_failed_to_sync_takes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with Journal(tmp_path / "j") as journal:
        assert list(journal.records()) == []
        with monkeypatch.context() as patched:
            patched.setattr(journal_module.os, "fsync", full)
            with pytest.raises(OSError, match="No space"):
                journal.append(b"one")
        with pytest.raises(OSError, match="open it again"):
            journal.append(b"two")
    with Journal(tmp_path / "j") as journal:
        assert list(journal.records()) in ([], [b"one"])


@pytest.mark.parametrize("size", [0, MAX_RECORD + 1])
def test_records_out_of_bounds_are_refused(tmp_path: Path, size: int) -> None:
    with Journal(tmp_path / "j") as journal:
        assert list(journal.records()) == []
        with pytest.raises(ValueError, match=f"got {size}"):
            journal.append(bytes(size))
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600
