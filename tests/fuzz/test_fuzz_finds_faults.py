"""Faults planted into decoders are found, each within the count that CI tries."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encryption_support import frame
from fuzz_decoder import Finding
from fuzz_plan import Plan, all_decoders
from test_fuzz_decoders import COUNT, SEED

from flwr_swarm.encryption import dealing_wire, edwards, wire
from flwr_swarm.encryption.parameters import DEFAULT, DEGREE
from flwr_swarm.flower import read, records
from flwr_swarm.protocol import payload

Patch = pytest.MonkeyPatch
_HEADER, _CHECKSUM = 14, 32


def _trailing_bytes(patch: Patch) -> None:
    """An envelope may be longer than it says."""
    strict = wire.read_envelope

    def lax(data: Any, parameters: Any) -> Any:
        body = bytes(data[_HEADER:-_CHECKSUM])[: 4 + wire.KEY_BYTES + wire.SEALED_BYTES]
        wire.unframe(data, wire.ENVELOPE, parameters)
        return strict(frame(wire.ENVELOPE, body), parameters)

    patch.setattr(wire, "read_envelope", lax)


def _residues_without_a_bound(patch: Patch) -> None:
    """A residue may be q or more."""

    def lax(data: Any) -> Any:
        if len(data) % 15:
            return strict(data)
        number = int.from_bytes(data, "little")
        mask = (1 << 60) - 1
        values = [number >> 60 * i & mask for i in range(2 * len(data) // 15)]
        return np.array(values, dtype=np.uint64)

    strict = dealing_wire.unpack_residues
    patch.setattr(dealing_wire, "unpack_residues", lax)


def _room_before_a_look(patch: Patch) -> None:
    """Memory for as many lanes as a message says, before its length is looked at."""
    strict = wire._read_polynomials

    def eager(body: Any, lanes: int, name: str, parameters: Any) -> Any:
        room = np.empty(parameters.chunks(min(lanes, wire.MAX_LANES)) * DEGREE, dtype=np.uint64)
        del room
        return strict(body, lanes, name, parameters)

    patch.setattr(wire, "_read_polynomials", eager)


def _senders_in_any_order(patch: Patch) -> None:
    """An opening may name its senders twice, or unsorted."""
    patch.setattr(wire, "pairwise", lambda senders: ())


def _points_beyond_the_field(patch: Patch) -> None:
    """A point may be encoded with a coordinate of 2^255 - 19 or more."""
    strict = edwards.decode

    def lax(data: bytes) -> Any:
        value = int.from_bytes(data, "little")
        y, sign = value & ((1 << 255) - 1), value >> 255 << 255
        return strict((y % edwards.P | sign).to_bytes(32, "little")) if len(data) == 32 else None

    patch.setattr(edwards, "decode", lax)


def _checksums_unread(patch: Patch) -> None:
    """What was altered on its way is read."""

    class Anything:
        __hash__ = None  # type: ignore[assignment]

        def __ne__(self, other: object) -> bool:
            return False

    honest = wire._checksum
    patch.setattr(wire, "frame", _framing(honest))
    patch.setattr(dealing_wire, "frame", _framing(honest))
    patch.setattr(wire, "_checksum", lambda *parts: Anything())


def _framing(checksum: Callable[..., bytes]) -> Callable[..., bytes]:
    def framing(kind: int, body: Any, parameters: Any) -> bytes:
        parts = [wire._HEADER.pack(wire._MAGIC, wire._VERSION, kind, parameters.tag), *body]
        return b"".join([*parts, checksum(*parts)])

    return framing


def _numbers_beyond_the_order(patch: Patch) -> None:
    """A complaint's numbers may be the curve's order or more."""
    patch.setattr(dealing_wire, "ORDER", 1 << 256)


def _arrays_as_numpy_reads_them(patch: Patch) -> None:
    """numpy makes room for what a header claims."""

    def eager(data: Any) -> Any:
        try:
            return np.load(io.BytesIO(data), allow_pickle=False)
        except Exception as error:
            raise records.WireError("unreadable") from error

    patch.setattr(records, "read_npy", eager)


def _members_in_any_order(patch: Patch) -> None:
    """Lists of members may be unsorted."""

    def lax(self: Any, name: str) -> tuple[int, ...]:
        value = self._fields.get(name, [])
        if not isinstance(value, list) or not all(type(v) is int and 0 <= v < 256 for v in value):
            raise read.WireError("no members")
        return tuple(value)

    patch.setattr(read.Fields, "numbers", lax)


def _layouts_in_any_spelling(patch: Patch) -> None:
    """A layout is read however it is spelt."""
    patch.setattr(payload, "encode_layout", lambda *_: _Whatever())


class _Whatever:
    __hash__ = None  # type: ignore[assignment]

    def __ne__(self, other: object) -> bool:
        return False


def _errors_of_python(patch: Patch) -> None:
    """A decoder lets an error of Python's through."""

    def hasty(body: memoryview, layout: Any, name: str) -> Any:
        return layout.unpack_from(body), body[layout.size :]

    for module in (wire, dealing_wire):
        patch.setattr(module, "fields", hasty)


FAULTS: dict[str, tuple[Callable[[Patch], None], set[str], str]] = {
    "trailing bytes": (_trailing_bytes, {"envelope"}, "accepted"),
    "residues without a bound": (_residues_without_a_bound, {"proof"}, "accepted"),
    "room before a look": (_room_before_a_look, {"ciphertext", "aggregate"}, "memory"),
    "senders in any order": (_senders_in_any_order, {"opening"}, "accepted"),
    "points beyond the field": (_points_beyond_the_field, {"curve point"}, "accepted"),
    "checksums unread": (_checksums_unread, {"complaint", "envelope"}, "accepted"),
    "numbers beyond the order": (_numbers_beyond_the_order, {"complaint"}, "accepted"),
    "arrays as numpy reads them": (
        _arrays_as_numpy_reads_them,
        {"model", "recall reply"},
        "memory",
    ),
    "members in any order": (_members_in_any_order, {"merge request", "seal request"}, "accepted"),
    "layouts in any spelling": (_layouts_in_any_spelling, {"layout"}, "accepted"),
    "errors of Python": (_errors_of_python, {"proof", "envelope"}, "ended in error"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_within_the_count_of_ci(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plant, concerned, expected = FAULTS[name]
    plan = Plan(seed=SEED, decoders=all_decoders())
    plant(monkeypatch)
    numbers = [number for number in range(COUNT) if plan.drawn(number).name in concerned]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(Finding, match=expected):
        _check_all(plan, numbers)


def _check_all(plan: Plan, numbers: list[int]) -> None:
    for number in numbers:
        plan.check(number)


def test_the_decoders_are_whole_again() -> None:
    """Faults leave nothing behind."""
    for decoder in all_decoders():
        if decoder.name in set().union(*(concerned for _, concerned, _ in FAULTS.values())):
            decoder.settle()
    assert DEFAULT.lanes == 2
