"""Small inline SVG charts for the report. Colours come from the page's style sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 260.0, 18.0


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A horizontal axis shared by the rows of a table.

    Parameters
    ----------
    low, high : float
        Its ends; `low < high`.
    mark : float or None
        Where the reference line stands.
    """

    low: float
    high: float
    mark: float | None = None

    @classmethod
    def around(cls, values: Sequence[float], *, step: float, mark: float | None = None) -> Axis:
        """A share's axis, in [0, 1], on multiples of `step`, that holds all values and the mark."""
        held = [*values, *([] if mark is None else [mark])]
        low = int(min(held) / step - 0.25) * step
        high = (int(max(held) / step + 0.25) + 1) * step
        return cls(low=max(0.0, round(low, 6)), high=min(1.0, round(high, 6)), mark=mark)

    def at(self, value: float) -> float:
        """Position of a value, in units of the drawing."""
        return 4 + (_WIDTH - 8) * (value - self.low) / (self.high - self.low)


def interval(axis: Axis, value: float, low: float, high: float) -> str:
    """A point with its interval. Decorative: the numbers stand beside it in the table."""
    middle = _HEIGHT / 2
    mark = "" if axis.mark is None else _vertical(axis.at(axis.mark), "mark")
    return (
        f'<svg class="interval" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" aria-hidden="true">{mark}'
        f'<line class="whisker" x1="{axis.at(low):.1f}" x2="{axis.at(high):.1f}" '
        f'y1="{middle:g}" y2="{middle:g}"/>'
        f'<circle class="dot" cx="{axis.at(value):.1f}" cy="{middle:g}" r="4.5"/></svg>'
    )


def scale(axis: Axis, form: str = "{:.2f}") -> str:
    """The axis itself, for a table's head: both ends and the reference line's value."""
    ends = [(axis.low, "start"), (axis.high, "end")]
    texts = [
        f'<text x="{axis.at(value):.1f}" y="13" text-anchor="{anchor}">{form.format(value)}</text>'
        for value, anchor in ends
    ]
    share = 0.0 if axis.mark is None else (axis.mark - axis.low) / (axis.high - axis.low)
    if axis.mark is not None and 0.15 < share < 0.85:  # else it would cover an end's number
        texts.append(
            f'<text class="marktext" x="{axis.at(axis.mark):.1f}" y="13" text-anchor="middle">'
            f"{form.format(axis.mark)}</text>"
        )
    return (
        f'<svg class="interval" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" aria-hidden="true">'
        f"{''.join(texts)}</svg>"
    )


def _vertical(x: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_HEIGHT:g}"/>'


def lines(
    rounds: Sequence[int], series: Mapping[str, Sequence[float]], *, limit: float, title: str
) -> str:
    """Lines over rounds with their names at their ends, and a dashed line at `limit`.

    Parameters
    ----------
    rounds : sequence of int
        At least one.
    series : mapping of str to sequence of float
        One value a round each.
    limit : float
    title : str
        What a screen reader says in place of the drawing.
    """
    width, height, left, right, top, bottom = 720.0, 280.0, 44.0, 190.0, 14.0, 34.0
    most = max([limit, *(value for values in series.values() for value in values)]) * 1.06
    span = max(len(rounds) - 1, 1)

    def x(index: int) -> float:
        return left + (width - left - right) * index / span

    def y(value: float) -> float:
        return top + (height - top - bottom) * (1 - value / most)

    parts = []
    ticks = max(1, round(most / 5))
    for tick in range(0, int(most) + 1, ticks):
        parts.append(
            f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y(tick):.1f}" '
            f'y2="{y(tick):.1f}"/><text x="{left - 8}" y="{y(tick) + 4:.1f}" '
            f'text-anchor="end">{tick}</text>'
        )
    every = max(1, len(rounds) // 12)
    for index, number in enumerate(rounds):
        if index % every == 0:
            parts.append(
                f'<text x="{x(index):.1f}" y="{height - 10}" text-anchor="middle">{number}</text>'
            )
    parts.append(
        f'<line class="limit" x1="{left}" x2="{width - right}" y1="{y(limit):.1f}" '
        f'y2="{y(limit):.1f}"/>'
    )
    labels = [(y(limit), f"budget {limit:g}", "limittext")]
    for index, (name, values) in enumerate(series.items()):
        points = " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(values))
        parts.append(f'<polyline class="line s{index % 6}" points="{points}"/>')
        parts += [
            f'<circle class="point s{index % 6}" cx="{x(i):.1f}" cy="{y(v):.1f}" r="3"/>'
            for i, v in enumerate(values)
        ]
        labels.append((y(values[-1]), f"{name} {values[-1]:.2f}", f"label s{index % 6}"))
    for place, text, kind in _apart(labels, 17.0):
        parts.append(
            f'<text class="{kind}" x="{width - right + 10}" y="{place + 4:.1f}">'
            f"{escape(text)}</text>"
        )
    return (
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def _apart(labels: list[tuple[float, str, str]], gap: float) -> list[tuple[float, str, str]]:
    """Move labels down just far enough that none covers another."""
    placed: list[tuple[float, str, str]] = []
    for place, text, kind in sorted(labels):
        lowest = placed[-1][0] + gap if placed else place
        placed.append((max(place, lowest), text, kind))
    return placed
