"""JSON from strangers: what is accepted is what json accepts, and depth is bounded first."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr_swarm.protocol.hashing import parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def depth_of(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max(map(depth_of, inner), default=0) + isinstance(value, dict | list)


@given(VALUES, st.booleans())
def test_exactly_values_within_the_depth_are_parsed(value: object, ascii_only: bool) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only).encode()
    deepest = depth_of(value)
    assert parse_json(data, deepest=deepest) == value
    if deepest:
        with pytest.raises(ValueError, match="deeper"):
            parse_json(data, deepest=deepest - 1)


@given(st.binary(max_size=60))
def test_anything_else_is_a_value_error(data: bytes) -> None:
    try:
        parse_json(data, deepest=4)
    except ValueError:
        return
    assert json.loads(data) is not ...


@pytest.mark.parametrize("hidden", ['"]]]]"', '"\\"]]]]"', '"[[", "]]"'])
def test_brackets_in_strings_hide_no_depth(hidden: str) -> None:
    bomb = f"[{hidden}, {'[' * 200_000}".encode()
    with pytest.raises(ValueError, match="deeper"):
        parse_json(bomb, deepest=8)
