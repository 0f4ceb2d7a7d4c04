"""Charts of time: latency and its spread, the start of a process, and where the time goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import altair as alt
import numpy as np

from cxr_edge.benchmark.report import FirstAnswer, Latency, Layer, Report, Row
from cxr_edge.report.benchmark.columns import (
    NOT_MEASURED,
    figure,
    percent,
    roofline_share,
    start_ms,
)
from cxr_edge.report.charts import Chart, Figure, records, significant
from cxr_edge.report.row_axis import OFFSET_PX, height_px, row_values, rows_y, stacked_bars
from cxr_edge.report.theme import SERIES, TEXT

MOST_OPERATIONS = 12
"""Operations of a row that are drawn."""
_START_STEPS = ("interpreter", "import", "load", "first")
_FILE_STEPS = ("read", "decode", "preprocess", "infer", "post")


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
        "The vertical tick is the median (at the right in figures), the bar the middle half of all "
        "inferences, the line reaches to the p99 (of fewer than 300, the p90), the ring is the "
        "slowest; each thin mark below is one inference. A wide bar or a far ring is what a user "
        "sometimes waits for.",
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
        "p99": latency.p90_ms if latency.p99_ms is None else latency.p99_ms,
        "max": latency.max_ms,
    }
    texts = {f"{name}_text": figure(value) for name, value in numbers.items()}
    if latency.p99_ms is None:
        texts["p99_text"] = NOT_MEASURED
    return {"row": row.name, "engine": row.engine, "low": low, "high": high, **numbers, **texts}


def start_chart(report: Report) -> Figure | None:
    """Parts of a first answer; None: not measured."""
    steps = {row.name: _start_steps(row.start) for row in report.rows if row.start}
    totals = {row.name: total for row in report.rows if (total := start_ms(row)) is not None}
    if not steps:
        return None
    return Figure(
        "start",
        "Start of a process, up to its first answer",
        "The interpreter (not measured by older reports), importing the runtime and the engine, "
        "reading and opening the file, the first inference; medians over processes of their own. "
        "The total stands at the right.",
        _steps_chart(steps, totals, _START_STEPS, "start of a fresh process, ms"),
    )


def _start_steps(start: FirstAnswer) -> dict[str, float]:
    steps = {name: float(getattr(start, f"{name}_ms")) for name in _START_STEPS[1:]}
    rest = 0.0 if start.to_first_ms is None else start.to_first_ms - sum(steps.values())
    return {_START_STEPS[0]: max(rest, 0.0), **steps}


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
