"""The encryption benchmark on tiny models: each contestant really adds up what it is given."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import encryption
from benchmarks.encryption_bounds import MASKS, PLAINTEXT, Masks, Plaintext
from benchmarks.encryption_cell import CLIENT, MERGE_AND_OPEN, Effort, measure
from benchmarks.encryption_judged import judge
from benchmarks.encryption_memory import can_reset, measured
from benchmarks.encryption_ours import (
    DEALING,
    DEFAULT_PROFILE,
    NAME,
    OPENING,
    Ours,
    contestants,
    engines,
    profiles,
    using,
)
from benchmarks.encryption_table import BEGIN, END, into, markdown
from benchmarks.encryption_task import ENCODE, ENCRYPT, MERGE, OPEN, Clock, Task
from benchmarks.encryption_tenseal import BFV, NVFLARE
from flwr_swarm._exceptions import OpeningRejected
from flwr_swarm.encryption.engines import VARIABLE, engine_for

ROOT = Path(__file__).resolve().parents[2]
TINY = encryption.Plan(grid=[(1_000, 3), (3_000, 4)], thorough=3, memory=())
ONCE = Effort(clients=1, merges=1)
OTHERS = (NVFLARE, BFV, MASKS, PLAINTEXT)


def silent(line):
    pass


# --- a tiny run, end to end ------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """(exit status, file of figures, page) of one tiny run."""
    folder = tmp_path_factory.mktemp("encryption")
    page = folder / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encryption, "QUICK", TINY)
        files = ["--json", str(folder / "f.json"), "--readme", str(page)]
        return encryption.main(["--quick", *files]), folder / "f.json", page


def test_a_run_writes_every_contestant_at_every_size(tiny):
    status, file, _ = tiny
    result = json.loads(file.read_text(encoding="utf-8"))
    assert status == 0
    assert result["complete"]
    assert set(result["machine"]) >= {"processor", "cores", "python", "packages", "threads"}
    for size, members in TINY.grid:
        at = [row for row in result["rows"] if (row["size"], row["members"]) == (size, members)]
        assert {row["contestant"] for row in at} == {NAME, *OTHERS}
        mine = [(row["engine"], row["profile"]) for row in at if row["contestant"] == NAME]
        default = engines()[0], DEFAULT_PROFILE
        assert mine[0] == default
        if members == TINY.thorough:
            assert {engine for engine, _ in mine} == set(engines())
            assert {profile for _, profile in mine} == set(profiles())
        else:
            assert mine == [default]


def test_a_row_has_the_promised_figures(tiny):
    rows = json.loads(tiny[1].read_text(encoding="utf-8"))["rows"]
    for row in rows:
        parts = {CLIENT, ENCRYPT, MERGE, OPEN, MERGE_AND_OPEN}
        if row["contestant"] == NAME:
            parts |= {ENCODE, DEALING, OPENING}
        assert parts <= set(row["ms"])
        for spans in row["ms"].values():
            for clock in ("cpu", "wall"):
                middle, least, most = spans[clock]
                assert 0 <= least <= middle <= most
        assert row["payload_bytes"] > row["size"]
        assert row["merged_bytes"] > row["size"]
        assert (row["beside_bytes"] > 0) == (row["contestant"] == NAME)
        assert row["not_merged"] is None
        assert 0 < row["error"] <= row["allowed_error"]


def test_the_page_holds_the_table_and_what_was_around_it(tiny):
    _, file, page = tiny
    result = json.loads(file.read_text(encoding="utf-8"))
    text = page.read_text(encoding="utf-8")
    assert text == f"before\n{BEGIN}\n{markdown(result)}\n{END}\nafter\n"
    assert "10³ parameters, 3 members" in text


def test_again_measures_nothing(tiny, monkeypatch):
    _, file, page = tiny
    before = page.read_text(encoding="utf-8")
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(encryption, "run", None)
    assert encryption.main(["--again", "--json", str(file), "--readme", str(page)]) == 0
    assert page.read_text(encoding="utf-8") == before


def test_an_interrupted_run_keeps_what_it_has(tmp_path, monkeypatch):
    kept = tmp_path / "kept.json"
    monkeypatch.setattr(encryption, "QUICK", TINY)
    monkeypatch.setattr(encryption, "effort", lambda size, _: ONCE if size == 1_000 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        encryption.main(["--quick", "--json", str(kept)])
    result = json.loads(kept.read_text(encoding="utf-8"))
    assert not result["complete"]
    assert {row["size"] for row in result["rows"]} == {1_000}


def test_a_page_without_marks_stays_as_it_is(tiny, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("no marks\n", encoding="utf-8")
    with pytest.raises(ValueError, match="unpack"):
        into(page, json.loads(tiny[1].read_text(encoding="utf-8")))
    assert page.read_text(encoding="utf-8") == "no marks\n"


def test_the_readme_shows_the_figures_that_are_kept():
    kept = json.loads((ROOT / "benchmarks" / "encryption.json").read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.count(BEGIN) == readme.count(END) == 1
    block = readme.split(BEGIN)[1].split(END)[0]
    assert block == f"\n{markdown(kept)}\n"
    assert {(row["size"], row["members"]) for row in kept["rows"]} == set(encryption.FULL.grid)


def test_memory_is_measured_in_a_process_of_its_own():
    found = measured(50_000)
    if not can_reset():  # no /proc
        assert found is None
        return
    assert found["model_bytes"] == 200_000
    assert set(found["extra_bytes"]) == {"seal", "seal, clipped", "merge and open"}
    assert all(0 <= extra < 1 << 30 for extra in found["extra_bytes"].values())
    assert found["client_ms"] > 0


# --- nobody measures a broken path -----------------------------------------------------------


@pytest.mark.parametrize(
    "contestant",
    [*contestants(thorough=True), *encryption.others()],
    ids=lambda one: f"{one.name}-{one.engine}-{one.profile}",
)
@settings(max_examples=5)
@given(
    size=st.integers(1, 9_000),
    members=st.integers(3, 6),
    distinct=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_every_contestant_opens_the_true_mean(contestant, size, members, distinct, seed):
    """Roundings are bounded for certain; CKKS errs by 10^-8, a hundredth of what is allowed."""
    task = Task.drawn(size=size, members=members, distinct=distinct, seed=seed)
    (row,) = measure(task, [contestant], ONCE, unmerged={}, say=silent)
    assert row["error"] <= row["allowed_error"]


@pytest.mark.parametrize("engine", engines())
def test_an_engine_is_the_one_that_a_row_names(engine, monkeypatch):
    monkeypatch.setenv(VARIABLE, "another")  # with which the library refuses to work
    with using(engine):
        assert engine_for(1).name == engine_for(10_000).name == engine
    ours = Ours(engine=engine, profile=DEFAULT_PROFILE)
    task = Task.drawn(size=100, members=3, distinct=3)
    (row,) = measure(task, [ours], ONCE, unmerged={}, say=silent)
    assert row["engine"] == engine
    assert os.environ[VARIABLE] == "another"


def test_the_true_mean_is_weighted():
    task = Task.drawn(size=50, members=5, distinct=2)
    shares = [(100.0, 0), (150.0, 1), (100.0, 0), (150.0, 1), (100.0, 0)]
    mean = sum(weight * task.updates[kind] for weight, kind in shares) / 600.0
    assert task.total_weight == 600.0
    assert task.error(mean) < 1e-15
    mean[7] += 1e-3
    assert task.error(mean) == pytest.approx(1e-3)


def test_masks_hide_a_member_and_cancel_in_the_sum_of_all_only():
    task = Task.drawn(size=1_000, members=4, distinct=4)
    masks = Masks()
    masks.begin(task)
    uploads = [masks.client(member, Clock()) for member in range(4)]
    for upload in uploads:
        words = np.frombuffer(upload.payload, dtype="<u4")
        assert np.mean(words > 1 << 24) > 0.5  # lanes alone are below 2^24
    with pytest.raises(OpeningRejected):  # a lane too large passes once in 2^7, all 1,000 never
        masks.finish(uploads[:3], Clock())


class Broken(Plaintext):
    """Forgets a member."""

    def finish(self, uploads, clock):
        return super().finish(uploads[1:], clock)


def test_a_wrong_sum_is_no_result(monkeypatch):
    monkeypatch.setattr(encryption, "others", lambda: [Broken()])
    result = encryption.run(TINY, silent, silent)
    (line,) = [line for line in result["judged"] if not line["held"]]
    assert "true one" in line["line"]
    assert encryption.verdict(result, silent) == 1


def test_what_is_not_added_up_says_why():
    task = Task.drawn(size=100, members=3, distinct=3)
    unmerged = {PLAINTEXT: "too long"}
    kept, left = measure(task, [Masks(), Plaintext()], ONCE, unmerged=unmerged, say=silent)
    assert kept["not_merged"] is None
    assert left["not_merged"] == "too long"
    assert left["error"] is None
    assert MERGE not in left["ms"]
    assert CLIENT in left["ms"]
    assert len(judge([kept, left], [])) == 1


@given(clients=st.integers(1, 12), members=st.integers(3, 5))
@settings(max_examples=10)
def test_uploads_are_counted_as_often_as_asked(clients, members):
    task = Task.drawn(size=20, members=members, distinct=2)
    effort = Effort(clients=clients, merges=2)
    for row in measure(task, [Masks(), Plaintext()], effort, unmerged={}, say=silent):
        assert row["ms"][CLIENT]["times"] == clients
        assert row["ms"][MERGE_AND_OPEN]["times"] == 2
