"""The chart of speed against likeness, with its front and with names that do not overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from cxr_edge.benchmark import svg
from cxr_edge.benchmark.charts import engine_legend, engine_styles
from cxr_edge.benchmark.columns import delta, figure
from cxr_edge.benchmark.report import Report, Row
from cxr_edge.benchmark.summary import headline_row
from cxr_edge.benchmark.svg import FONT, WIDTH, Box, Chart, Drawing

FLOOR = 1e-7
"""Smaller differences are drawn here: float32 does not tell them apart."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, WIDTH - 8, 28.0, 350.0
_AREA = 420.0  # of the largest file's mark
_LEAST_AREA = 40.0
_GAPS = (3.0, 12.0, 24.0, 40.0)
_WAYS = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1))


@dataclass(frozen=True, slots=True)
class _Point:
    number: int  # of the row, from 1
    row: Row
    ms: float
    delta: float
    flips: int
    x: float
    y: float
    area: float

    @property
    def radius(self) -> float:
        return math.sqrt(self.area / math.pi) + 2


def pareto_chart(report: Report) -> Chart | None:
    """p50 against max |Δscore|; null: no row has both."""
    found = [(n, r) for n, r in enumerate(report.rows, 1) if r.latency and r.parity]
    if not found:
        return None
    base = headline_row(report)
    spans = [row.latency.p50_ms for _, row in found if row.latency]
    reference = base.latency.p50_ms if base and base.latency else None
    across = svg.log_axis([*spans, *([reference] if reference else [])], _LEFT, _RIGHT)
    upright = _differences([row.parity.max_abs_delta for _, row in found if row.parity])
    points = _points(found, across, upright)
    content = [
        svg.x_axis(across, _TOP, _BOTTOM, "p50 of one inference, ms (log scale)"),
        svg.y_axis(upright, _LEFT, _RIGHT, "↑ max |Δscore| (log scale)", _tick),
    ]
    if reference:
        content.append(svg.line(across.at(reference), _TOP, across.at(reference), _BOTTOM, "mean"))
    front = pareto_front([(p.ms, p.delta) for p in points])
    content.append(f'<path class="fg front" d="{_steps([points[n] for n in front])}"/>')
    styles = engine_styles(report)
    for point in sorted(points, key=lambda each: -each.area):  # small ones above large ones
        content.append(_mark(point, styles[point.row.engine]))
    content += _labels(points, front)
    legend = [
        *engine_legend(report, [p.row for p in points]),
        (svg.key("fg hollow", _crossed(0, 12, 7, 100)), "decides some inputs otherwise"),
        (svg.key("fg front", "M1 3H12V11H23"), "Pareto front: nothing is both faster and closer"),
    ]
    if base and reference:
        legend.append((svg.key("mean", "M12 0v14"), f"p50 of {base.name}"))
    return Chart(
        "pareto",
        "Fast and alike",
        "Best is the lower left corner. The area of a mark is the size of its file, the number "
        "its place in the table; differences up to 1e-7, which is float32's own rounding, lie at "
        "the bottom.",
        (Drawing(svg.drawing(content, _BOTTOM + 40, "p50 against largest difference")),),
        (*legend, *((f"<b>{p.number}</b>", p.row.name) for p in points)),
    )


def pareto_front(costs: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the items that no other beats in both costs, by rising first cost."""
    order = sorted(range(len(costs)), key=lambda place: costs[place])
    front: list[int] = []
    for place in order:
        if not front or costs[place][1] < costs[front[-1]][1]:
            front.append(place)
    return front


def _differences(values: Sequence[float]) -> svg.Axis:
    """Whole decades, the lowest of them at least :data:`FLOOR`."""
    low = max(math.floor(math.log10(max(min(values), FLOOR))), -7)
    high = max(math.ceil(math.log10(max(*values, FLOOR))), low + 1)
    ticks = tuple(10.0**power for power in range(low, high + 1))
    return svg.Axis(0.7 * 10.0**low, 1.3 * 10.0**high, _BOTTOM, _TOP, True, ticks)


def _tick(value: float) -> str:
    # 10.0**-7 is not quite 1e-7.
    power = round(math.log10(value))
    return f"≤1e{power}" if power <= -7 else f"1e{power}" if power else "1"


def _points(rows: Sequence[tuple[int, Row]], across: svg.Axis, upright: svg.Axis) -> list[_Point]:
    largest = max((row.bytes or 0 for _, row in rows), default=0) or 1
    points = []
    for number, row in rows:
        if row.latency and row.parity:
            ms, difference = row.latency.p50_ms, max(row.parity.max_abs_delta, FLOOR)
            area = max(_AREA * (row.bytes or 0) / largest, _LEAST_AREA)
            x, y = across.at(ms), upright.at(difference)
            points.append(_Point(number, row, ms, difference, row.parity.flips, x, y, area))
    return points


def _steps(front: Sequence[_Point]) -> str:
    """A stair through the front, open at both ends."""
    path = f"M{front[0].x:.1f} {_TOP:.1f}"
    for point in front:
        path += f"H{point.x:.1f}V{point.y:.1f}"
    return f"{path}H{_RIGHT:.1f}"


def _mark(point: _Point, style: int) -> str:
    row, colour = point.row, style % svg.COLOURS
    size = f"{row.bytes / 1000:,.0f} kB" if row.bytes else "size not known"
    hint = (
        f"{point.number} {row.name}: {figure(point.ms)} ms, "
        f"max |Δscore| {delta(row.parity.max_abs_delta if row.parity else 0)}, "
        f"{point.flips} flips, {size}"
    )
    if point.flips:
        kind, path = "hollow", _crossed(style, point.x, point.y, point.area)
    else:
        kind, path = "fill seen", svg.mark(style, point.x, point.y, point.area)
    return f'<path class="c{colour} {kind}" d="{path}"><title>{escape(hint)}</title></path>'


def _crossed(style: int, x: float, y: float, area: float) -> str:
    """A hollow mark with a cross in it."""
    r = math.sqrt(area) / 4
    cross = (
        f"M{x - r:.1f} {y - r:.1f}l{2 * r:.1f} {2 * r:.1f}m{-2 * r:.1f} 0l{2 * r:.1f} {-2 * r:.1f}"
    )
    return svg.mark(style, x, y, area) + cross


def _labels(points: Sequence[_Point], front: Sequence[int]) -> list[str]:
    """A number beside each mark, and names where there is room, those of the front first."""
    taken: list[Box] = [
        (p.x - p.radius, p.y - p.radius, p.x + p.radius, p.y + p.radius) for p in points
    ]
    first = [*front, *(n for n in range(len(points)) if n not in front)]
    placed: dict[int, Box] = {}
    for number in first:
        short = _room(points[number], svg.text_width(str(points[number].number)), taken)
        if short:
            placed[number] = short
            taken.append(short)
    parts = []
    for number in first:
        if number not in placed:
            continue
        point, box, text = points[number], placed[number], str(points[number].number)
        longer = f"{text} {svg.clip(point.row.name, 240)}"
        others = [each for each in taken if each is not box]
        if wide := _room(point, svg.text_width(longer), others, _GAPS[:1]):
            taken, box, text = [*others, wide], wide, longer
        parts += _label(point, box, text)
    return parts


def _label(point: _Point, box: Box, text: str) -> list[str]:
    # Aligned with the mark, because texts are narrower than their boxes.
    if box[0] > point.x:
        place, kind = box[0], "halo"
    elif box[2] < point.x:
        place, kind = box[2], "end halo"
    else:
        place, kind = (box[0] + box[2]) / 2, "mid halo"
    parts = [svg.label(place, box[3] - 3.5, text, kind)]
    x = min(max(point.x, box[0]), box[2])
    y = min(max(point.y, box[1]), box[3])
    if math.hypot(point.x - x, point.y - y) > point.radius + _GAPS[1] / 2:
        parts.insert(0, svg.line(point.x, point.y, x, y, "lead"))
    return parts


def _room(
    point: _Point, width: float, taken: Sequence[Box], gaps: Sequence[float] = _GAPS
) -> Box | None:
    """The nearest free place for a text beside a mark."""
    height = FONT + 2
    for gap in gaps:
        for dx, dy in _WAYS:
            far = point.radius + gap
            x = point.x + dx * (far * (0.75 if dy else 1) + width / 2)
            y = point.y + dy * (far * (0.75 if dx else 1) + height / 2)
            box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            inside = box[0] >= _LEFT and box[2] <= _RIGHT and box[1] >= _TOP and box[3] <= _BOTTOM
            if inside and not any(_overlap(box, each) for each in taken):
                return box
    return None


def _overlap(one: Box, other: Box) -> bool:
    across = one[0] < other[2] and other[0] < one[2]
    return across and one[1] < other[3] and other[1] < one[3]
