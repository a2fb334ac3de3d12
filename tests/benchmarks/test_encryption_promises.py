"""What the encryption benchmark promises: good figures hold, and each bad one is told."""

import math
from copy import deepcopy

import pytest

from benchmarks import encryption
from benchmarks.encryption_bounds import MASKS
from benchmarks.encryption_judged import MEMBERS, SIZE, judge
from benchmarks.encryption_ours import DEFAULT_PROFILE, NAME
from benchmarks.encryption_tenseal import NVFLARE


def row(contestant, size=SIZE, profile=DEFAULT_PROFILE, bytes_each=4.0, **ms):
    spans = {name.replace("_", " "): {"times": 1, "cpu": [v, v, v]} for name, v in ms.items()}
    return {
        "size": size,
        "members": MEMBERS,
        "contestant": contestant,
        "engine": "seal",
        "profile": profile,
        "ms": spans,
        "payload_bytes": int(bytes_each * size),
        "beside_bytes": 0,
        "error": 1e-6,
        "allowed_error": 1e-5,
    }


GOOD = [
    row(NAME, bytes_each=3.75, client=25, encrypt=20, merge_and_open=35),
    row(NAME, profile="12-bit", bytes_each=2.5, client=25, encrypt=20, merge_and_open=35),
    row(NVFLARE, profile="", bytes_each=57, client=600, encrypt=600),
    row(MASKS, client=15, encrypt=5),
    row(NAME, size=10 * SIZE, bytes_each=3.75, client=250, encrypt=200, merge_and_open=350),
]
LEAN = [
    {
        "size": SIZE,
        "model_bytes": 4 * SIZE,
        "extra_bytes": {"seal": 7 * SIZE},
        "client_ms": 26.0,
    }
]


def missed(rows, memory=LEAN):
    return [line.line for line in judge(rows, memory) if line.judged and not line.held]


def test_good_figures_hold():
    assert missed(GOOD) == []
    assert len([line for line in judge(GOOD, LEAN) if line.judged]) == 10


@pytest.mark.parametrize(
    ("place", "part", "value", "words"),
    [
        (2, "encrypt", 390, "NVFlare's configuration over ours"),
        (3, "client", 6, "ours over pairwise masks"),
        (0, "encrypt", 25.1, "dealing included"),
        (0, "merge and open", 40.1, "to merge 8 and open"),
        (4, "client", 330, "1e7 over 1e6"),
        (0, "merge and open", math.nan, "to merge 8 and open"),
    ],
)
def test_one_slow_part_misses_its_promise(place, part, value, words):
    rows = deepcopy(GOOD)
    rows[place]["ms"][part]["cpu"][0] = value
    (line,) = missed(rows)
    assert words in line


@pytest.mark.parametrize(
    ("place", "field", "value", "words"),
    [
        (2, "payload_bytes", 56 * SIZE, "bytes, NVFlare"),
        (0, "payload_bytes", int(3.81 * SIZE), "bytes a parameter, 16-bit"),
        (1, "payload_bytes", int(2.61 * SIZE), "bytes a parameter, 12-bit"),
        (3, "error", 1.1e-5, "true one"),
    ],
)
def test_one_bad_field_misses_its_promise(place, field, value, words):
    rows = deepcopy(GOOD)
    rows[2]["payload_bytes"] = 60 * SIZE
    rows[place][field] = value
    (line,) = missed(rows)
    assert words in line


def test_memory_beyond_twice_the_model_is_missed():
    fat = [{**LEAN[0], "extra_bytes": {"seal": int(8.1 * SIZE)}}]
    (line,) = missed(GOOD, fat)
    assert "extra memory" in line


@pytest.mark.parametrize(("ms", "holds"), [(32_000, True), (33_000, False)])
def test_the_largest_model_is_as_cheap_a_parameter(ms, holds):
    size = 1000 * SIZE
    large = {**LEAN[0], "size": size, "model_bytes": 4 * size, "client_ms": ms}
    lines = missed(GOOD, [*LEAN, large])
    assert lines == [] if holds else "1e9 over 1e6" in lines[0]


def test_a_miss_ends_with_code_1():
    lines = [line.to_json() for line in judge(GOOD, LEAN)]
    assert encryption.verdict({"judged": lines, "seconds": 1}, str) == 0
    rows = deepcopy(GOOD)
    rows[0]["ms"]["encrypt"]["cpu"][0] = 26
    lines = [line.to_json() for line in judge(rows, LEAN)]
    said = []
    assert encryption.verdict({"judged": lines, "seconds": 1}, said.append) == 1
    assert any(line.startswith("MISSED: ms of CPU to encrypt") for line in said)
