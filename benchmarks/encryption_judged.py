"""What the encryption benchmark promises, and whether a run bears it out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .encryption_bounds import MASKS
from .encryption_cell import CLIENT, MERGE_AND_OPEN, cpu
from .encryption_memory import SEAL as SEALING
from .encryption_ours import DEFAULT_PROFILE, NAME
from .encryption_task import ENCRYPT
from .encryption_tenseal import NVFLARE

SIZE: Final = 1_000_000
MEMBERS: Final = 8
BYTES: Final[Mapping[str, float]] = {DEFAULT_PROFILE: 3.8, "12-bit": 2.6}
"""Bytes a parameter, by profile."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One promise.

    Parameters
    ----------
    line : str
    value : float
    limit : float
        The most that `value` may be, or the least if `least`.
    least : bool
    judged : bool
        False where the figure is told and nothing is promised of it.
    """

    line: str
    value: float
    limit: float
    least: bool = False
    judged: bool = True

    @property
    def held(self) -> bool:
        """Whether the promise is kept; a figure that is not a number keeps none."""
        return self.value >= self.limit if self.least else self.value <= self.limit

    def to_json(self) -> dict[str, Any]:
        """Plain values, and the words."""
        value = self.value if math.isfinite(self.value) else None
        return vars(self) | {"value": value, "held": self.held, "words": str(self)}

    def __str__(self) -> str:
        verdict = ("holds" if self.held else "MISSED") if self.judged else "told"
        bound = f"{'at least' if self.least else 'at most'} {self.limit:g}"
        return f"{verdict}: {self.line}: {self.value:.3g}, {bound}"


def judge(rows: Sequence[Mapping[str, Any]], memory: Sequence[Mapping[str, Any]]) -> list[Line]:
    """All promises that these rows can bear out."""
    lines = [*_errors(rows)]
    at = [row for row in rows if (row["size"], row["members"]) == (SIZE, MEMBERS)]
    if at:
        lines += _against(at)
    lines += _linear(rows, memory)
    for one in memory:
        for stage, extra in one["extra_bytes"].items():
            line = f"{stage}: extra memory over the model's, {_power(one['size'])} parameters"
            share = extra / one["model_bytes"]
            lines.append(Line(line=line, value=share, limit=2.0, judged=stage == SEALING))
    return lines


def _errors(rows: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    opened = [row for row in rows if row["error"] is not None]
    if opened:
        worst = max(row["error"] / row["allowed_error"] for row in opened)
        yield Line(
            line="every opened mean is the true one: error over its bound", value=worst, limit=1
        )


def _against(at: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    ours, where = first(at, NAME), f"{_power(SIZE)} parameters, {MEMBERS} members"
    nvflare, masks = first(at, NVFLARE), first(at, MASKS)
    by, beside = _ratio(nvflare, ours, ENCRYPT), ours["beside_bytes"]
    yield Line(
        line=f"CPU to encrypt and serialise, {NVFLARE} over ours, {where}",
        value=by, limit=20, least=True,
    )  # fmt: skip
    yield Line(
        line="the same with quantisation",
        value=_ratio(nvflare, ours, CLIENT), limit=20, least=True, judged=False,
    )  # fmt: skip
    theirs, sent = nvflare["payload_bytes"], ours["payload_bytes"]
    yield Line(line=f"bytes, {NVFLARE} over ours", value=theirs / sent, limit=15, least=True)
    yield Line(
        line="the same with the envelopes that share our key",
        value=theirs / (sent + beside), limit=15, least=True, judged=False,
    )  # fmt: skip
    yield Line(
        line=f"CPU of a member with quantisation, ours over {MASKS}",
        value=_ratio(ours, masks, CLIENT), limit=4,
    )  # fmt: skip
    yield Line(
        line="the same without quantisation",
        value=_ratio(ours, masks, ENCRYPT), limit=4, judged=False,
    )  # fmt: skip
    yield Line(
        line="ms of CPU to encrypt and serialise, dealing included",
        value=_or_nan(cpu(ours, ENCRYPT)), limit=25,
    )  # fmt: skip
    yield Line(
        line=f"ms of CPU to merge {MEMBERS} and open",
        value=_or_nan(cpu(ours, MERGE_AND_OPEN)),
        limit=40,
    )
    for profile, limit in BYTES.items():
        found = [row for row in at if (row["contestant"], row["profile"]) == (NAME, profile)]
        if found:
            value = found[0]["payload_bytes"] / SIZE
            yield Line(line=f"bytes a parameter, {profile}", value=value, limit=limit)


def _linear(
    rows: Sequence[Mapping[str, Any]], memory: Sequence[Mapping[str, Any]]
) -> Iterator[Line]:
    """CPU a parameter does not grow from the judged size to the largest, nor beyond."""
    mine = [row for row in rows if row["members"] == MEMBERS and is_default(row)]
    spent = {row["size"]: _or_nan(cpu(row, CLIENT)) for row in reversed(mine)}
    alone = {one["size"]: float(one["client_ms"]) for one in memory}
    for small, ms in ((SIZE, spent), (min(alone, default=0), alone)):
        large = max(ms, default=0)
        if small in ms and large > small:
            ratio = (ms[large] / large) / (ms[small] / small)
            line = f"CPU a parameter, {_power(large)} over {_power(small)} parameters"
            yield Line(line=line, value=ratio, limit=1.25)


def first(rows: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """The first row of a contestant: of ours, the default engine and profile."""
    return next(row for row in rows if row["contestant"] == name)


def is_default(row: Mapping[str, Any]) -> bool:
    """Whether the row is of ours, with the default profile."""
    return (row["contestant"], row["profile"]) == (NAME, DEFAULT_PROFILE)


def _ratio(above: Mapping[str, Any], below: Mapping[str, Any], part: str) -> float:
    return _or_nan(cpu(above, part)) / _or_nan(cpu(below, part))


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _power(size: int) -> str:
    return f"{size:.0e}".replace("e+0", "e")
