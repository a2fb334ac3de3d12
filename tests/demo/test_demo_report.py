"""The report escapes everything, loads nothing, and says what result.json says."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flwr_swarm.report.charts import Axis, lines
from flwr_swarm.report.html import render

_VOID = {"meta", "link", "br", "line", "circle", "polyline", "hr", "img"}


class _Page(HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text, self._open = [], [], [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


_HOSTILE = "<script>alert('x')</script>\"'&$lead"


def _spoil(value):
    """Every text that a site, a data set or a version could smuggle in."""
    if isinstance(value, dict):
        return {k: _spoil(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_spoil(v) for v in value]
    return _HOSTILE if isinstance(value, str) else value


def test_every_text_is_escaped(result):
    spoiled = _spoil(result)
    spoiled["rounds"].append({**spoiled["rounds"][0], "certificate": None, "reason": _HOSTILE})
    for entry in spoiled["rounds"]:
        entry["status"] = "certified"  # else nothing of it is shown
    spoiled["attacks"][0]["model"] = "swarm"
    page = _Page(render(spoiled))
    assert "script" not in page.tags
    assert _HOSTILE in "".join(page.text)


def test_every_key_that_is_shown_is_escaped(result):
    for part in ("versions", "parameters", "auroc"):
        score = result["auroc"]["swarm"] if part == "auroc" else "1"
        result[part]["<script>k"] = score
    assert "script" not in _Page(render(result)).tags


def test_nothing_is_loaded_from_anywhere(result):
    text = render(result)
    page = _Page(text)
    assert not {"script", "img", "iframe", "link", "object", "embed"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name in ("src", "href", "srcset")]
    assert "url(" not in text
    assert "@import" not in text


def test_figures_hashes_and_leaders_are_on_the_page(result):
    text = render(result)
    shown = "".join(_Page(text).text)
    for entry in result["rounds"]:
        assert f'title="{entry["aggregate_hash"]}"' in text
        assert f"Site {entry['leader']}" in shown
    assert "0.730" in shown
    assert "0.510" in shown
    assert "5.00" in shown  # the highest epsilon: 1 + 2 * 0.5 + 3


def test_a_void_round_is_shown_with_its_reason(result):
    result["rounds"][1] |= {
        "status": "void", "certificate": None, "leader": None, "committee": [], "included": [],
        "aggregate_hash": None, "parent_hash": None, "loss": None, "reason": "2 sealed, 3 needed",
    }  # fmt: skip
    shown = "".join(_Page(render(result)).text)
    assert "void: 2 sealed, 3 needed" in shown
    assert "1 of 2" in shown


@pytest.mark.parametrize("count", [0, 1])
def test_few_rounds_still_give_a_page(result, count):
    result["rounds"] = result["rounds"][:count]
    assert f"{count} of {count}" in "".join(_Page(render(result)).text)


def test_every_table_has_headings_and_the_chart_a_name(result):
    text = render(result)
    assert text.count("<table>") == text.count("<thead>") > 4
    assert re.search(r'<svg class="chart"[^>]*role="img" aria-label="[^"]{20,}"', text)


share = st.floats(0, 1, allow_nan=False)


@given(st.lists(share, min_size=1, max_size=9), st.sampled_from([None, 0.5]))
def test_an_axis_holds_all_its_values(values, mark):
    axis = Axis.around(values, step=0.05, mark=mark)
    assert 0 <= axis.low < axis.high <= 1
    for value in [*values, *([] if mark is None else [mark])]:
        assert axis.low <= value <= axis.high
        assert 0 <= axis.at(value) <= 260


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(max_size=9), st.floats(0, 50), min_size=1, max_size=8))
def test_labels_of_a_chart_never_cover_each_other(last):
    svg = lines([1, 2], {k: [0.0, v] for k, v in last.items()}, limit=8.0, title="t")
    places = [
        float(y)
        for y in re.findall(r'class="(?:label s\d|limittext)" x="[\d.]+" y="([\d.]+)"', svg)
    ]
    assert len(places) == len(last) + 1
    assert all(b - a > 16.5 for a, b in zip(sorted(places), sorted(places)[1:], strict=False))
