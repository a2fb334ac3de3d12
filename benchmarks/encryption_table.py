"""The encryption benchmark's figures as Markdown, and their place in a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .encryption_cell import CLIENT, MERGE_AND_OPEN
from .encryption_judged import MEMBERS, SIZE, is_default
from .encryption_ours import DEALING, NAME, OPENING
from .encryption_task import DECODE, ENCODE, ENCRYPT, MERGE, OPEN

BEGIN: Final = "<!-- encryption: python -m benchmarks.encryption -->"
END: Final = "<!-- end of encryption -->"
_DETAIL: Final = (ENCODE, ENCRYPT, MERGE, OPEN, DECODE)


def markdown(result: Mapping[str, Any]) -> str:
    """One table of all parts at the judged size, one of all sizes, and what memory it takes."""
    rows = result["rows"]
    at = [row for row in rows if (row["size"], row["members"]) == (SIZE, MEMBERS)]
    parts = [list(_detail(at)) if at else [], list(_sizes(rows)), list(_memory(result["memory"]))]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def into(page: Path, result: Mapping[str, Any]) -> None:
    """Replace what stands between the marks of a page.

    Raises
    ------
    ValueError
        If the page lacks a mark.
    """
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    page.write_text(f"{before}{BEGIN}\n{markdown(result)}\n{END}{after}", encoding="utf-8")


def _detail(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield (
        f"| {_count(SIZE)} parameters, {MEMBERS} members: ms of CPU | "
        + " | ".join(_DETAIL)
        + " | bytes a parameter | + to others | largest error |"
    )
    yield "|---" * (len(_DETAIL) + 4) + "|"
    for row in rows:
        cells = [_span(row, part) for part in _DETAIL]
        error = "" if row["error"] is None else f"{row['error']:.1e}"
        sent = [f"{row[key] / row['size']:.2f}" for key in ("payload_bytes", "beside_bytes")]
        yield f"| {_name(row)} | " + " | ".join([*cells, *sent, error]) + " |"
    yield ""
    ours = next(row for row in rows if is_default(row))
    yield (
        f"Medians (least – most). Of our {ENCRYPT}, sharing the key takes {_span(ours, DEALING)}; "
        f"{OPENING} takes {_span(ours, OPENING)}."
    )


def _sizes(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A member's CPU and that of merging and opening; ours by each engine, default precision."""
    shown = [row for row in rows if row["contestant"] != NAME or is_default(row)]
    thorough_first = sorted(shown, key=lambda row: bool(row["members"] != MEMBERS))
    names = list(dict.fromkeys(_name(row) for row in thorough_first))
    found = {(row["size"], row["members"], _name(row)): row for row in shown}
    yield "| ms of CPU: a member / merge and open | " + " | ".join(names) + " |"
    yield "|---" * (1 + len(names)) + "|"
    for size, members in dict.fromkeys((row["size"], row["members"]) for row in shown):
        cells = [_pair(found.get((size, members, name))) for name in names]
        yield f"| {_count(size)} parameters, {members} members | " + " | ".join(cells) + " |"


def _memory(memory: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in memory:
        extra = ", ".join(
            f"{stage} {value / one['model_bytes']:.1f}"
            for stage, value in one["extra_bytes"].items()
        )
        yield f"Extra memory at {_count(one['size'])} parameters, over float32's: {extra}."


def _name(row: Mapping[str, Any]) -> str:
    if row["contestant"] != NAME:
        return str(row["contestant"])
    return f"{row['contestant']}, {row['engine']}, {row['profile']}"


def _span(row: Mapping[str, Any], part: str) -> str:
    if part not in row["ms"]:
        return ""
    middle, least, most = row["ms"][part]["cpu"]
    return f"{_ms(middle)} ({_ms(least)} – {_ms(most)})"


def _pair(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    both = [_ms(row["ms"][part]["cpu"][0]) if part in row["ms"] else "–" for part in _PAIR]
    return " / ".join(both)


_PAIR: Final = (CLIENT, MERGE_AND_OPEN)


def _ms(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _count(size: int) -> str:
    """A power of ten as such."""
    digits = str(size)
    return f"10{_superscript(len(digits) - 1)}" if digits.rstrip("0") == "1" else f"{size:,}"


def _superscript(number: int) -> str:
    return "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(number))
