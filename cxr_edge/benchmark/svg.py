"""Pieces of hand-written SVG: axes, marks and texts that know about how wide they are.

Coordinates are units of a drawing's viewBox. A drawing has the width of a column of the page, and
:data:`FONT` is chosen so that its letters are still nine pixels high on a telephone. Colours are
CSS classes; the page's style gives them values, in light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

WIDTH = 460.0
"""Of a drawing."""
FONT = 13.0
"""Height of letters."""
COLOURS = 8
"""Classes c0 to c7."""
DASHES = ("none", "7 3", "2 3", "9 3 2 3")
"""Line styles, for those who see no colours."""
SHAPES = 5
"""Circle, square, triangle, diamond, triangle upside down."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """One SVG."""

    svg: str
    """Its markup."""
    heading: str = ""
    """What stands above it; text."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure of the page."""

    name: str
    """Its id."""
    title: str
    """What it shows; text."""
    caption: str
    """What to look at; text."""
    drawings: tuple[Drawing, ...]
    """One, or small multiples."""
    legend: tuple[tuple[str, str], ...] = ()
    """Markup of a key, and the text beside it."""


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to places."""

    low: float
    """The value at ``start``."""
    high: float
    """The value at ``end``."""
    start: float
    """Place of the smallest value."""
    end: float
    """Place of the largest."""
    log: bool
    """Whether equal factors are equally far apart."""
    ticks: tuple[float, ...]
    """Values that are written at the axis."""

    def at(self, value: float) -> float:
        """The place of a value; what lies outside is drawn at the end."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, low))
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return self.start + share * (self.end - self.start)


def linear_axis(high: float, start: float, end: float, *, most: int = 6) -> Axis:
    """An axis from 0 to at least ``high``."""
    high = high if high > 0 else 1.0
    step = _step(high, most)
    ticks = tuple(step * n for n in range(int(high / step) + 1))
    return Axis(0.0, high, start, end, False, ticks)


def log_axis(values: Iterable[float], start: float, end: float, *, most: int = 7) -> Axis:
    """A logarithmic axis with room around ``values``, which are above 0."""
    found = [max(value, 1e-6) for value in values] or [1.0]
    low, high = min(found) / 1.2, max(found) * 1.2
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = -(-len(decades) // most)
    choices = [
        [digit * 10.0**power for power in decades for digit in digits]
        for digits in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,))
    ]
    choices.append([10.0**power for power in decades[::every]])
    ticks: tuple[float, ...] = ()
    for choice in choices:
        ticks = tuple(value for value in choice if low <= value <= high)
        if len(ticks) <= most:
            break
    if len(ticks) < 3:  # less than a factor of two
        step = _step(high - low, most - 2)
        ticks = tuple(step * n for n in range(math.ceil(low / step), int(high / step) + 1))
    return Axis(low, high, start, end, True, ticks)


def _step(span: float, most: int) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that gives at most ``most`` steps."""
    power = 10.0 ** math.floor(math.log10(span / most))
    return next(n * power for n in (1, 2, 2.5, 5, 10) if span / (n * power) <= most)


def number(value: float) -> str:
    """A tick."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def text_width(text: str, size: float = FONT) -> float:
    """About how wide a text is, by a wide font (DejaVu Sans); rather too much."""
    units = 0.0
    for letter in text:
        if letter in "mwMW@%…—":
            units += 1.0
        elif letter in "iljI.,:;|'!()[]- /":
            units += 0.4
        elif letter.isupper() or letter in "+=<>|Δ&≤~":
            units += 0.85
        else:
            units += 0.65 if ord(letter) < 0x2E80 else 1.05
    return units * size


def clip(text: str, width: float) -> str:
    """As much of a text as has room."""
    if text_width(text) <= width:
        return text
    while text and text_width(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def label(x: float, y: float, text: str, kind: str = "") -> str:
    """A text; ``kind`` is its classes: ``end`` and ``mid`` align it, ``soft`` greys it."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line of a class."""
    return f'<path class="{kind}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>'


def polyline(points: Iterable[tuple[float, float]]) -> str:
    """The ``d`` of a path through points."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def dots(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> str:
    """The ``d`` of a path that is a dot at each point; those at the same place are one."""
    places = np.unique(np.stack([x.round(1), y.round(1)], axis=1), axis=0)
    return "".join(f"M{a:.1f} {b:.1f}h0" for a, b in places)


def bar(x: float, y: float, width: float, height: float, kind: str, hint: str = "") -> str:
    """A rectangle; ``hint`` is shown under a pointer."""
    title = f"<title>{escape(hint)}</title>" if hint else ""
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" '
        f'height="{height:.1f}">{title}</rect>'
    )


def mark(shape: int, x: float, y: float, area: float) -> str:
    """The ``d`` of a mark: one of :data:`SHAPES`, all equally large."""
    kind = shape % SHAPES
    if kind == 0:
        r = math.sqrt(area / math.pi)
        return f"M{x - r:.1f} {y:.1f}a{r:.1f} {r:.1f} 0 1 0 {2 * r:.1f} 0a{r:.1f} {r:.1f} 0 1 0 {-2 * r:.1f} 0z"  # noqa: E501
    half = math.sqrt(area) / 2
    wide = math.sqrt(area * 4 / math.sqrt(3)) / 2  # half the side of a triangle of that area
    corners: Sequence[tuple[float, float]] = {
        1: ((-half, -half), (half, -half), (half, half), (-half, half)),
        2: ((-wide, wide * 0.8), (0, -wide * 0.93), (wide, wide * 0.8)),
        3: ((0, -1.41 * half), (1.41 * half, 0), (0, 1.41 * half), (-1.41 * half, 0)),
        4: ((-wide, -wide * 0.8), (0, wide * 0.93), (wide, -wide * 0.8)),
    }[kind]
    return polyline((x + dx, y + dy) for dx, dy in corners) + "z"


def x_axis(
    axis: Axis, top: float, bottom: float, title: str, write: Callable[[float], str] = number
) -> str:
    """Lines at the ticks, their values below and the title below these: 38 units."""
    parts = []
    reached = -math.inf
    for tick in axis.ticks:
        place, text = axis.at(tick), write(tick)
        parts.append(line(place, top, place, bottom, "grid"))
        half = text_width(text) / 2
        place = min(max(place, half), WIDTH - half)
        if place - half > reached:
            parts.append(label(place, bottom + 15, text, "mid soft"))
            reached = place + half + 4
    parts.append(label((axis.start + axis.end) / 2, bottom + 33, title, "mid"))
    return "".join(parts)


def y_axis(
    axis: Axis, left: float, right: float, title: str, write: Callable[[float], str] = number
) -> str:
    """Lines at the ticks, their values to the left, the title above the axis."""
    parts = [label(0, axis.end - 10, title)]
    for tick in axis.ticks:
        parts.append(line(left, axis.at(tick), right, axis.at(tick), "grid"))
        parts.append(label(left - 6, axis.at(tick) + 4.5, write(tick), "end soft"))
    return "".join(parts)


def drawing(content: Iterable[str], height: float, name: str, width: float = WIDTH) -> str:
    """The SVG; ``name`` is for those who cannot see it."""
    return (
        f'<svg role="img" aria-label="{escape(name)}" viewBox="0 0 {width:.0f} {height:.0f}">'
        f"{''.join(content)}</svg>"
    )


def key(kind: str, shape: str = "") -> str:
    """A key of a legend, 24 x 14 units; without a shape a square of that class."""
    path = shape or mark(1, 12, 7, 120)
    return f'<svg class="key" aria-hidden="true" viewBox="0 0 24 14"><path class="{kind}" d="{path}"/></svg>'  # noqa: E501
