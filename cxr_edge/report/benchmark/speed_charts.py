"""Charts of time: the trade-off with accuracy, the spread, and where the time goes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import altair as alt
import numpy as np

from cxr_edge.benchmark.report import Latency, Layer, Report, Row
from cxr_edge.report.benchmark.columns import delta, figure, percent, roofline_share, start_ms
from cxr_edge.report.benchmark.summary import headline_row
from cxr_edge.report.charts import Chart, Figure, records, significant
from cxr_edge.report.row_axis import OFFSET_PX, height_px, row_values, rows_y, stacked_bars
from cxr_edge.report.theme import BACKGROUND, MUTED, SERIES, TEXT, WARNING

MOST_OPERATIONS = 12
"""Operations of a row that are drawn."""
DELTA_FLOOR = 1e-7
"""Smaller score differences are drawn here: they are float32's own rounding."""
_START_STEPS = ("import", "load", "first")
_FILE_STEPS = ("read", "decode", "preprocess", "infer", "post")
_OVER_TITLE = 34
"""Distance of a legend that stands over an upright axis's title, pixels."""
_SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")


def engine_colour(report: Report, rows: Iterable[Row], offset: int = 14) -> alt.Color:
    """Colour by engine, the same in every chart of a report; the legend lists those of ``rows``."""
    every = list(dict.fromkeys(row.engine for row in report.rows))
    engines = list(dict.fromkeys(row.engine for row in rows))
    colours = [SERIES[every.index(engine) % len(SERIES)] for engine in engines]
    return alt.Color(
        "engine:N",
        scale=alt.Scale(domain=engines, range=colours),
        legend=alt.Legend(title="engine", direction="horizontal", columns=3, offset=offset),
    )


def pareto_front(costs: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the items that no other beats in both costs, by rising first cost."""
    front: list[int] = []
    for index in sorted(range(len(costs)), key=lambda index: costs[index]):
        if not front or costs[index][1] < costs[front[-1]][1]:
            front.append(index)
    return front


def pareto_chart(report: Report) -> Figure | None:
    """Latency against the largest score difference; None: no row has both."""
    rows = [(row, row.latency) for row in report.rows if row.latency and row.parity]
    points = [_point(row, latency) for row, latency in rows]
    if not points:
        return None
    base_row = headline_row(report)
    baseline = base_row.latency.p50_ms if base_row and base_row.latency else None
    costs = [(float(str(p["p50"])), float(str(p["delta"]))) for p in points]
    front = [points[index] for index in pareto_front(costs)]
    spans = [cost[0] for cost in costs] + ([baseline] if baseline else [])
    x = alt.X(
        "p50:Q",
        title="p50 of one inference, ms (log scale)",
        scale=alt.Scale(type="log", domain=[min(spans) / 1.2, max(spans) * 1.2], nice=False),
    )
    decades = [10.0**power for power in _decades([cost[1] for cost in costs])]
    y = alt.Y(
        "delta:Q",
        title="max |Δscore| (log scale)",
        scale=alt.Scale(type="log", domain=[decades[0] / 1.5, decades[-1] * 1.5], nice=False),
        axis=alt.Axis(format="~e", values=decades),
    )
    files = list(dict.fromkeys(str(point["file"]) for point in points))
    shape = alt.Shape(
        "file:N",
        scale=alt.Scale(domain=files, range=[_SHAPES[n % len(_SHAPES)] for n in range(len(files))]),
        legend=alt.Legend(title="file", direction="horizontal", columns=2, offset=_OVER_TITLE),
    )
    tooltip = [
        alt.Tooltip(f"{field}:N", title=title)
        for field, title in (
            ("row", "row"), ("ms", "p50"), ("difference", "max |Δscore|"),
            ("flips", "flips"), ("size", "size"),
        )
    ]  # fmt: skip
    colour = engine_colour(report, (row for row, _ in rows), offset=_OVER_TITLE)
    base = alt.Chart(records(points))
    marks = base.mark_point(size=110, opacity=0.9, stroke=BACKGROUND, strokeWidth=1).encode(
        x=x,
        y=y,
        color=colour,
        shape=shape,
        tooltip=tooltip,
    )
    rings = (
        base.transform_filter(alt.datum.changed > 0)
        .mark_point(filled=False, size=330, shape="circle", color=WARNING, strokeWidth=2)
        .encode(x=x, y=y, tooltip=tooltip)
    )
    step = (
        alt.Chart(records(front))
        .mark_line(interpolate="step-after", color=MUTED, strokeDash=[3, 3], strokeWidth=1.5)
        .encode(x=x, y=y)
    )
    layers: list[alt.Chart] = [step, *_baseline_rule(report), rings, marks]
    return Figure(
        "pareto",
        "Speed against accuracy",
        "Best is the lower left corner: fast, with scores close to the original's. On the dashed "
        "line nothing is both faster and closer. A ring marks changed decisions. "
        f"Differences up to {DELTA_FLOOR:.0e} are float32 rounding and lie at the bottom. The "
        "upright rule is the headline baseline.",
        alt.layer(*layers).properties(height=340),
    )


def _point(row: Row, latency: Latency) -> dict[str, object]:
    assert row.parity is not None  # noqa: S101 - callers look first
    changed = row.parity.flips
    return {
        "row": row.name,
        "file": row.artifact or row.kind,
        "engine": row.engine,
        "p50": latency.p50_ms,
        "delta": max(row.parity.max_abs_delta, DELTA_FLOOR),
        "ms": f"{figure(latency.p50_ms)} ms",
        "difference": delta(row.parity.max_abs_delta),
        "changed": changed,
        "flips": f"{changed:,} flip{'s' if changed != 1 else ''}",
        "size": f"{row.bytes / 1000:,.0f} kB" if row.bytes else "",
    }


def _decades(deltas: Sequence[float]) -> range:
    """Powers of ten around these differences, at least two."""
    low = math.floor(math.log10(min(deltas)))
    return range(low, max(math.ceil(math.log10(max(deltas))), low + 1) + 1)


def _baseline_rule(report: Report) -> list[alt.Chart]:
    base = headline_row(report)
    if base is None or base.latency is None:
        return []
    data = [{"p50": base.latency.p50_ms, "row": base.name, "ms": figure(base.latency.p50_ms)}]
    return [
        alt.Chart(records(data))
        .mark_rule(color=MUTED, clip=True)
        .encode(x="p50:Q", tooltip=[alt.Tooltip("row:N"), alt.Tooltip("ms:N", title="p50, ms")])
    ]


def latency_chart(report: Report) -> Figure | None:
    """Every inference of every row with its quantiles; None: nothing was measured."""
    rows = [(row, row.latency) for row in report.rows if row.latency]
    if not rows:
        return None
    rows.sort(key=lambda item: item[1].p50_ms)
    medians = {row.name: f"{figure(latency.p50_ms)} ms" for row, latency in rows}
    boxes = [_box(row, latency) for row, latency in rows]
    samples = [
        {"row": row.name, "engine": row.engine, "ms": [*map(significant, latency.samples_ms)]}
        for row, latency in rows
        if latency.samples_ms
    ]
    x = alt.X(
        "ms:Q", title="one inference, ms (log scale)", scale=alt.Scale(type="log", nice=False)
    )
    y, colour = rows_y(medians), engine_colour(report, (row for row, _ in rows))
    tooltip = [alt.Tooltip("row:N")]
    tooltip += [
        alt.Tooltip(f"{name}_text:N", title=title)
        for name, title in (
            ("p50", "p50, ms"), ("p90", "p90, ms"), ("p99", "p99, ms"), ("max", "slowest, ms"),
        )
    ]  # fmt: skip
    base = alt.Chart(records(boxes))
    layers = [
        alt.Chart(records(samples))
        .transform_flatten(["ms"])
        .mark_tick(thickness=1, height=7, opacity=0.3, yOffset=OFFSET_PX + 8)
        .encode(x=x, y=y, color=colour),
        base.mark_rule(yOffset=OFFSET_PX).encode(x="p50:Q", x2="p99:Q", y=y, color=colour),
        base.mark_bar(height=10, yOffset=OFFSET_PX).encode(
            x="low:Q", x2="high:Q", y=y, color=colour, tooltip=tooltip
        ),
        base.mark_tick(thickness=2, height=16, color=TEXT, yOffset=OFFSET_PX).encode(
            x="p50:Q", y=y, tooltip=tooltip
        ),
        base.mark_point(filled=False, size=32, yOffset=OFFSET_PX).encode(
            x="max:Q", y=y, color=colour, tooltip=tooltip
        ),
        row_values(medians),
    ]
    return Figure(
        "latency",
        "Latency and its spread",
        "The upright tick is the median (at the right in figures), the bar the middle half of all "
        "inferences, the line reaches to the p99, the ring is the slowest; each thin mark below "
        "is one inference. A wide bar or a far ring is what a user sometimes waits for.",
        alt.layer(*layers).properties(height=height_px(medians)),
        wide=True,
    )


def _box(row: Row, latency: Latency) -> dict[str, object]:
    low = high = latency.p50_ms
    if latency.samples_ms:
        low, high = np.quantile(latency.samples_ms, [0.25, 0.75]).tolist()
    numbers = {
        "p50": latency.p50_ms,
        "p90": latency.p90_ms,
        "p99": latency.p99_ms,
        "max": latency.max_ms,
    }
    texts = {f"{name}_text": figure(value) for name, value in numbers.items()}
    return {"row": row.name, "engine": row.engine, "low": low, "high": high, **numbers, **texts}


def start_chart(report: Report) -> Figure | None:
    """Parts of a first answer; None: not measured."""
    steps = {
        row.name: {name: float(getattr(row.start, f"{name}_ms")) for name in _START_STEPS}
        for row in report.rows
        if row.start
    }
    totals = {row.name: total for row in report.rows if (total := start_ms(row)) is not None}
    if not steps:
        return None
    return Figure(
        "start",
        "Start of a process, up to its first answer",
        "Importing the runtime and the engine, reading and opening the file, the first inference; "
        "medians over fresh processes. The total stands at the right.",
        _steps_chart(steps, totals, _START_STEPS, "start of a fresh process, ms"),
    )


def end_to_end_chart(report: Report) -> Figure | None:
    """From a file to a decision, step by step; None: not measured."""
    steps = {
        row.name: {name: float(getattr(row.end_to_end, f"{name}_ms")) for name in _FILE_STEPS}
        for row in report.rows
        if row.end_to_end
    }
    totals = {row.name: row.end_to_end.total_ms for row in report.rows if row.end_to_end}
    if not steps:
        return None
    return Figure(
        "end-to-end",
        "From an image file to a decision",
        "Where the longest step is not the inference, a faster network helps little. The figure "
        "at the right is the whole prediction, timed separately.",
        _steps_chart(steps, totals, _FILE_STEPS, "one image, ms (medians over images)"),
    )


def _steps_chart(
    steps: dict[str, dict[str, float]],
    totals: dict[str, float],
    order: Sequence[str],
    x_title: str,
) -> Chart:
    names = sorted(steps, key=lambda name: totals[name])
    parts: list[dict[str, object]] = []
    for name in names:
        reached = 0.0
        for step, ms in steps[name].items():
            end = reached + ms
            value = f"{figure(ms)} ms"
            parts.append({"row": name, "part": step, "start": reached, "end": end, "value": value})
            reached = end
    values = {name: f"{figure(totals[name])} ms" for name in names}
    return stacked_bars(values, parts, x_title=x_title, order=order, colours=SERIES[: len(order)])


def operations_chart(row: str, layers: Sequence[Layer], number: int) -> Figure:
    """The slowest operations of a row.

    Args:
        row: its name.
        layers: its operations, at least one.
        number: of the figure, from 1.
    """
    slowest = sorted(layers, key=lambda layer: -layer.ms)[:MOST_OPERATIONS]
    share = sum(layer.share for layer in slowest)
    # Two operations may have one name.
    names = [f"{place}. {layer.name}" for place, layer in enumerate(slowest, 1)]
    values = {
        name: f"{figure(layer.ms)} ms, {percent(layer.share)}"
        for name, layer in zip(names, slowest, strict=True)
    }
    parts: list[dict[str, object]] = [
        {"row": name, "part": "operation", "start": 0, "end": layer.ms, "value": values[name]}
        for name, layer in zip(names, slowest, strict=True)
    ]
    return Figure(
        f"operations-{number}",
        f"Slowest operations of {row}",
        f"Together {percent(share)} of the time of all operations, by onnxruntime's profiler.",
        stacked_bars(values, parts, x_title="mean per inference, ms", order=["operation"],
                     legend=False, colours=SERIES[:1]),
    )  # fmt: skip


def roofline_chart(report: Report) -> Figure | None:
    """How close each row comes to the roofline; None: unknown."""
    shares = {row.name: share for row in report.rows if (share := roofline_share(row)) is not None}
    if not shares:
        return None
    names = sorted(shares, key=lambda name: -shares[name])
    values = {name: percent(shares[name]) for name in names}
    parts: list[dict[str, object]] = [
        {"row": name, "part": "share", "start": 0, "end": 100 * shares[name], "value": values[name]}
        for name in names
    ]
    return Figure(
        "roofline",
        "Share of the roofline",
        "At 100 % a network would do nothing but multiply, at the rate measured on one thread "
        "for its precision; the rest is memory, small operations and overhead.",
        stacked_bars(values, parts, x_title="roofline time over p50, %", order=["share"],
                     legend=False, colours=SERIES[:1], x_max=100),
    )  # fmt: skip
