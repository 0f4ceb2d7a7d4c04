"""Charts of time: what is fast and alike, how steady it is, where the time goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxr_edge.benchmark import svg
from cxr_edge.benchmark.columns import figure, limit_share, percent
from cxr_edge.benchmark.report import EndToEnd, Latency, Layer, Report, Row
from cxr_edge.benchmark.svg import WIDTH, Chart, Drawing

MOST_OPERATIONS = 12
"""How many of a row's operations are drawn."""
_ROW_HEIGHT = 40.0
_AXIS_HEIGHT = 40.0
# Read, decode and so on, in the order of a prediction.
_STEPS = (
    ("read", "read_ms"),
    ("decode", "decode_ms"),
    ("preprocess", "preprocess_ms"),
    ("infer", "infer_ms"),
    ("post", "post_ms"),
)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, with what stands above it."""

    name: str
    """On the left."""
    figure: str
    """On the right."""
    parts: tuple[tuple[float, str, str], ...]
    """Lengths, one after the other, with class and hint."""
    tick: float | None = None
    """A length that is marked on its own."""


def engine_styles(report: Report) -> dict[str, int]:
    """Engine → number of its colour and shape, in the order of the rows."""
    engines = dict.fromkeys(row.engine for row in report.rows)
    return {engine: number for number, engine in enumerate(engines)}


def engine_legend(report: Report, drawn: Sequence[Row]) -> list[tuple[str, str]]:
    """Keys of the engines of some rows."""
    styles = engine_styles(report)
    engines = dict.fromkeys(row.engine for row in drawn)
    return [
        (svg.key(f"c{styles[e] % svg.COLOURS} fill", svg.mark(styles[e], 12, 7, 100)), e)
        for e in engines
    ]


def latency_chart(report: Report) -> Chart | None:
    """Every inference of every row, with its quantiles; null: nothing was measured."""
    rows = [(row, row.latency) for row in report.rows if row.latency]
    if not rows:
        return None
    rows.sort(key=lambda item: item[1].p50_ms)
    spans = [v for _, t in rows for v in (t.p50_ms, t.max_ms, *t.samples_ms)]
    axis = svg.log_axis(spans, 8, WIDTH - 8)
    bottom = len(rows) * _ROW_HEIGHT + 4
    styles = engine_styles(report)
    parts = [svg.x_axis(axis, 0, bottom, "one inference, ms (log scale)")]
    for place, (row, latency) in enumerate(rows):
        colour = styles[row.engine] % svg.COLOURS
        parts += _distribution(row, latency, axis, place * _ROW_HEIGHT, colour)
    legend = [
        *engine_legend(report, [row for row, _ in rows]),
        (svg.key("fg stroke", "M4 3v8M9 3v8M12 3v8M20 3v8"), "one inference each"),
        (svg.key("fg box", svg.mark(1, 12, 7, 130)), "the middle half, with the p50 as a bar"),
        (svg.key("fg stroke", "M2 7h20M14 3v8M22 3v8"), "to the p90 and the p99"),
        (svg.key("fg hollow", svg.mark(0, 12, 7, 30)), "the slowest"),
    ]
    return Chart(
        "latency",
        "How steady each row is",
        "A narrow box and a short line are a steady row; a line that runs far to the right is "
        "what a user sometimes waits for. The p50 stands at the right.",
        (Drawing(svg.drawing(parts, bottom + _AXIS_HEIGHT, "Distribution of latencies")),),
        tuple(legend),
    )


def _distribution(row: Row, times: Latency, axis: svg.Axis, top: float, colour: int) -> list[str]:
    """Name and p50, the samples as thin lines, the box above them."""
    middle, kind = top + 26, f"c{colour}"
    lower, upper = times.p50_ms, times.p50_ms
    parts = _names(row.name, f"{figure(times.p50_ms)} ms", top + 13)
    if times.samples_ms:
        lower, upper = np.quantile(times.samples_ms, [0.25, 0.75])
        places = sorted({round(axis.at(v) * 2) / 2 for v in times.samples_ms})
        rug = "".join(f"M{x:.1f} {middle + 4:.1f}v6" for x in places)
        parts.append(f'<path class="{kind} stroke faint" d="{rug}"/>')
    left, right, p50 = axis.at(lower), axis.at(upper), axis.at(times.p50_ms)
    p90, p99 = axis.at(times.p90_ms), axis.at(times.p99_ms)
    hint = f"{row.name}: p50 {figure(times.p50_ms)}, p90 {figure(times.p90_ms)}, p99 {figure(times.p99_ms)}, max {figure(times.max_ms)} ms"  # noqa: E501
    whisker = f"M{right:.1f} {middle:.1f}L{p99:.1f} {middle:.1f}M{p90:.1f} {middle - 4:.1f}v8M{p99:.1f} {middle - 4:.1f}v8"  # noqa: E501
    return [
        *parts,
        f'<path class="{kind} stroke" d="{whisker}"/>',
        svg.bar(left, middle - 5, right - left, 10, f"{kind} box", hint),
        svg.line(p50, middle - 7, p50, middle + 7, f"{kind} stroke thick"),
        f'<path class="{kind} hollow" d="{svg.mark(0, axis.at(times.max_ms), middle, 30)}"/>',
    ]


def end_to_end_chart(report: Report) -> Chart | None:
    """From a file to a decision, step by step; null: nothing was measured."""
    rows = [(row, row.end_to_end) for row in report.rows if row.end_to_end]
    if not rows:
        return None
    rows.sort(key=lambda item: item[1].total_ms)
    bars = [
        Bar(row.name, f"{figure(spent.total_ms)} ms", _steps(spent), spent.total_ms)
        for row, spent in rows
    ]
    legend = [(svg.key(f"c{n} fill"), name) for n, (name, _) in enumerate(_STEPS)]
    legend.append((svg.key("fg stroke thick", "M12 1v12"), "total, measured on its own"))
    return Chart(
        "end-to-end",
        "From a file to a decision",
        "Look at which step is longest: where it is not the network, a faster network helps "
        "little. The total stands at the right.",
        (Drawing(_bars(bars, "one image, ms (medians over images)", "Steps of a prediction")),),
        tuple(legend),
    )


def _steps(spent: EndToEnd) -> tuple[tuple[float, str, str], ...]:
    return tuple(
        (float(getattr(spent, field)), f"c{n} fill", f"{name} {figure(getattr(spent, field))} ms")
        for n, (name, field) in enumerate(_STEPS)
    )


def operations_chart(row: str, layers: Sequence[Layer], number: int) -> Chart:
    """The slowest operations of a row."""
    slowest = sorted(layers, key=lambda layer: -layer.ms)[:MOST_OPERATIONS]
    bars = [
        Bar(
            layer.name,
            f"{figure(layer.ms)} ms, {percent(layer.share)}",
            ((layer.ms, "c0 fill", layer.name),),
        )
        for layer in slowest
    ]
    share = sum(layer.share for layer in slowest)
    return Chart(
        f"operations-{number}",
        f"Slowest operations of {row}",
        f"Together they take {percent(share)} of the time, by onnxruntime's own profiler; "
        "the first is what to work on.",
        (Drawing(_bars(bars, "mean of an inference, ms", f"Slowest operations of {row}")),),
    )


def limit_chart(report: Report) -> Chart | None:
    """How close each row comes to what the machine can do; null: not known."""
    found = [(share, row) for row in report.rows if (share := limit_share(row)) is not None]
    if not found:
        return None
    found.sort(key=lambda item: -item[0])
    styles = engine_styles(report)
    bars = [
        Bar(
            row.name,
            percent(share),
            ((100 * share, f"c{styles[row.engine] % svg.COLOURS} fill", row.precision),),
        )
        for share, row in found
    ]
    return Chart(
        "limit",
        "Share of what the machine can do",
        "A bar of 100 % would be a network that does nothing but multiply, at the measured rate "
        "of one thread for its precision; the rest is memory, small operations and overhead. "
        "Several threads can exceed it.",
        (Drawing(_bars(bars, "time at the limit over p50, %", "Share of the limit", 100)),),
        tuple(engine_legend(report, [row for _, row in found])),
    )


def _bars(bars: Sequence[Bar], title: str, name: str, least: float = 0) -> str:
    """Horizontal bars below their names: names have the whole width, also on a telephone."""
    ends = [max(sum(part[0] for part in each.parts), each.tick or 0) for each in bars]
    axis = svg.linear_axis(max(*ends, least, 0) * 1.02, 8, WIDTH - 12)
    bottom = len(bars) * _ROW_HEIGHT + 4
    content = [svg.x_axis(axis, 0, bottom, title)]
    for place, each in enumerate(bars):
        top = place * _ROW_HEIGHT
        content += _names(each.name, each.figure, top + 13)
        reached = 0.0
        for length, kind, hint in each.parts:
            left, right = axis.at(reached), axis.at(reached + length)
            content.append(svg.bar(left, top + 19, right - left, 14, kind, hint))
            reached += length
        if each.tick is not None:
            at = axis.at(each.tick)
            content.append(svg.line(at, top + 16, at, top + 36, "fg stroke thick"))
    return svg.drawing(content, bottom + _AXIS_HEIGHT, name)


def _names(name: str, right: str, y: float) -> list[str]:
    """What stands above a bar: a name at the left, a figure at the right."""
    room = WIDTH - svg.text_width(right) - 16
    return [
        svg.label(4, y, svg.clip(name, room), "halo"),
        svg.label(WIDTH - 4, y, right, "end halo"),
    ]
