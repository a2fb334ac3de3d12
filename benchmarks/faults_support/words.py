"""What relays, keepers and sites said, cut into the scenarios in which they said it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .study import Study

_TELLING = re.compile(
    r"ended by signal|ended with code|begins again|is back|joined$|joined,|seals of members"
    r"|run ends here|waiting for members|taking it up|of this study have ended|chain .*answer"
    r"|did not let it in|shut out"
)
"""Lines that are no warnings, and say who or what was missing."""
_ORDINARY = re.compile(r"fraction_evaluate is set")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_WIDTH = 260


@dataclass(frozen=True)
class Mark:
    """A moment, and how long each text was."""

    when: float
    lengths: tuple[int, ...]


def mark(study: Study) -> Mark:
    """Now."""
    return Mark(time.time(), tuple(len(text) for text in _texts(study)))


def between(study: Study, start: Mark, end: Mark, *, sites: bool = False) -> str:
    """What keepers and relays said from one moment to another, or what sites did."""
    parts = []
    own = range(1, 1 + len(study.local.sites))
    for at, text in enumerate(_texts(study)):
        if (at in own) is not sites:
            continue
        first = start.lengths[at] if at < len(start.lengths) else 0
        last = end.lengths[at] if at < len(end.lengths) else 0
        parts.append(text[first:last])
    return "\n".join(parts)


def telling(text: str) -> list[str]:
    """Lines that say that something was wrong."""
    found: list[str] = []
    for line in text.splitlines():
        worth = re.search("WARNING|ERROR", line) or _TELLING.search(line)
        if worth and not _ORDINARY.search(line):
            found.append(_plain(line))
    return list(dict.fromkeys(found))


def naming(text: str, pattern: str) -> list[str]:
    """Lines that say what they must."""
    return [_plain(line) for line in text.splitlines() if re.search(pattern, line, re.I)]


def read(path: Path) -> str:
    """A log without colours; empty if there is none."""
    data = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return _COLOUR.sub("", data)


def last(study: Study) -> str:
    """The relay's last line."""
    lines: Sequence[str] = [line for line in study.relay.text().splitlines() if line.strip()]
    return " ".join(lines[-1:])[:300]


def _plain(line: str) -> str:
    """Without the level, so that lines compare."""
    return re.sub(r"^\s*(INFO|WARNING|ERROR)\s*:\s*", "", line).strip()[:_WIDTH]


def _texts(study: Study) -> Iterator[str]:
    yield study.events()
    for site in study.local.sites:
        yield read(site.logs / "supernode.log")
    for relay in study.relays:
        yield relay.text()
