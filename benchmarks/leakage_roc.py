"""ROC curves on logarithmic axes, as inline SVG: what counts is where few are accused falsely."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _RIGHT = 320.0, 240.0, 54.0, 32.0, 20.0
_ACCUSED: Final = 0.01
_LOW: Final = -3
"""Both axes begin at 10^-3."""

Curve = Sequence[Sequence[float]]
"""Points (false-positive rate, true-positive rate), ascending."""


def chart(curves: Sequence[Curve], *, interval: tuple[float, float] | None = None) -> str:
    """Curves in the colours c0, c1, ... of the page, over a grid of decades and the diagonal.

    `interval` is that of the true-positive rate at 1 % false positives, drawn as a bar.
    """
    decades = range(_LOW, 1)
    lines = "".join(
        f'<path class="lines" d="M{_x(10.0**k):.1f} {_y(1):.1f}V{_y(10.0**_LOW):.1f}'
        f'M{_x(10.0**_LOW):.1f} {_y(10.0**k):.1f}H{_x(1):.1f}"/>'
        for k in decades
    )
    under = _HEIGHT - 18
    labels = "".join(
        f'<text x="{_x(10.0**k):.1f}" y="{under:.1f}" text-anchor="middle">{_label(k)}</text>'
        f'<text x="{_LEFT - 4:.1f}" y="{_y(10.0**k) + 3:.1f}" text-anchor="end">{_label(k)}</text>'
        for k in decades
    )
    names = (
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:.1f}" y="{_HEIGHT - 3:.1f}" '
        'text-anchor="middle">wrongly accused</text>'
        f'<text transform="translate(11 {(_HEIGHT - _BOTTOM) / 2:.1f}) rotate(-90)" '
        'text-anchor="middle">found</text>'
    )
    diagonal = (
        f'<path class="chance" d="M{_x(10.0**_LOW):.1f} {_y(10.0**_LOW):.1f}'
        f'L{_x(1):.1f} {_y(1):.1f}"/>'
    )
    drawn = "".join(
        f'<polyline class="c{k % 6}" points="{_points(curve)}"/>' for k, curve in enumerate(curves)
    )
    bar = ""
    if interval is not None:
        low, high, middle = _y(interval[0]), _y(interval[1]), _x(_ACCUSED)
        bar = f'<path class="whisker" d="M{middle - 4:.1f} {low:.1f}h8m-4 0V{high:.1f}m-4 0h8"/>'
    return (
        f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" '
        f'aria-label="Share found over share wrongly accused, both logarithmic">'
        f"{lines}{diagonal}{labels}{names}{drawn}{bar}</svg>"
    )


def _points(curve: Curve) -> str:
    """A curve goes up before it goes right: between two thresholds nothing is interpolated."""
    corners, before = [], 0.0
    for false, true in curve:
        corners += [(false, before), (false, true)]
        before = true
    corners.append((1.0, 1.0))
    return " ".join(f"{_x(false):.1f},{_y(true):.1f}" for false, true in corners)


def _label(power: int) -> str:
    return f"{100 * 10.0**power:g} %"


def _fraction(rate: float) -> float:
    return 1 - max(math.log10(max(rate, 10.0**_LOW)), _LOW) / _LOW


def _x(rate: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * _fraction(rate)


def _y(rate: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - 8) * _fraction(rate)
