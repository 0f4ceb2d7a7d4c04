"""Charts of several runs: a line for each row, a mark for each run."""

from __future__ import annotations

from dataclasses import dataclass

import altair as alt

from cxr_edge.benchmark.report import Row
from cxr_edge.report.benchmark.columns import AVERAGE, FIRST, P50, P90, PEAK, RATE, TIMES, Column
from cxr_edge.report.charts import Figure, records, significant
from cxr_edge.report.machines.merge import MergedRow, SideBySide
from cxr_edge.report.row_axis import OFFSET_PX, ROW_HEIGHT_PX, row_values, rows_y
from cxr_edge.report.theme import SERIES

_STEP_PX = 8
"""Between the marks of two runs in one row."""
_END_PX = 8
"""Between the outermost marks and the ends of the axis."""


@dataclass(frozen=True, slots=True)
class _Chart:
    """One figure of every row in every run."""

    name: str
    title: str
    caption: str
    x_title: str
    point: Column
    end: Column | None = None
    """Where a line from the mark ends; None: no line."""
    logarithmic: bool = False


_CHARTS = (
    _Chart(
        "latency",
        "Time of one inference",
        "The dot is the median, the line reaches to the p90. The scale is logarithmic: equal "
        "distances are equal ratios.",
        "one inference, ms (log scale)",
        P50,
        P90,
        logarithmic=True,
    ),
    _Chart(
        "float32",
        "Times as fast as float32 on the same machine",
        "The float32 baseline of each machine is at 1; farther right is faster. What differs "
        "between machines is what their instructions make of 8-bit files.",
        "times as fast as the stock float32 ONNX",
        TIMES,
    ),
    _Chart(
        "first",
        "Time to the first answer",
        "From the start of a process to its first answer.",
        "process start to first answer, ms (log scale)",
        FIRST,
        logarithmic=True,
    ),
    _Chart(
        "memory",
        "Memory",
        "The dot is the largest resident memory of the row's own process, the line reaches to its "
        "average while inferences repeat.",
        "resident memory, MB",
        PEAK,
        AVERAGE,
    ),
    _Chart(
        "throughput",
        "Throughput",
        "Image files classified per second with one worker for each usable CPU.",
        "images per second, all CPUs (log scale)",
        RATE,
        logarithmic=True,
    ),
)


def machine_figures(merged: SideBySide) -> list[Figure]:
    """The figures of which any run measured something."""
    figures = (_figure(chart, merged) for chart in _CHARTS)
    return [figure for figure in figures if figure is not None]


def _figure(chart: _Chart, merged: SideBySide) -> Figure | None:
    texts = {}
    for line in merged.rows:
        values = [_number(chart.point, row) for row in line.rows]
        if any(value is not None for value in values):
            texts[line.name] = " | ".join(
                "\N{EN DASH}" if row is None or value is None else chart.point.cell(row)
                for row, value in zip(line.rows, values, strict=True)
            )
    if not texts:
        return None
    layers = [
        layer
        for place in range(len(merged.runs))
        for layer in _run_layers(chart, merged, place, texts)
    ]
    height_px = max(ROW_HEIGHT_PX, 2 * (OFFSET_PX + _STEP_PX * len(merged.runs)) + 6)
    drawn = alt.layer(*layers, row_values(texts)).properties(height=height_px * len(texts))
    return Figure(chart.name, chart.title, chart.caption, drawn, wide=chart is _CHARTS[0])


def _run_layers(
    chart: _Chart, merged: SideBySide, place: int, texts: dict[str, str]
) -> list[alt.Chart]:
    """The marks of one run; layers of runs without a mark are left out."""
    run = merged.runs[place]
    marks = [mark for line in merged.rows if (mark := _mark(chart, line, place, run.title))]
    if not marks:
        return []
    scale = (
        alt.Scale(type="log", nice=False, padding=_END_PX)
        if chart.logarithmic
        else alt.Scale(zero=False, padding=_END_PX)
    )
    runs = [run.title for run in merged.runs]
    colour = alt.Color(
        "run:N",
        scale=alt.Scale(domain=runs, range=list(SERIES[: len(runs)])),
        legend=alt.Legend(title=None, direction="vertical", columns=1),
    )
    tooltip = [
        alt.Tooltip("row:N"),
        alt.Tooltip("run:N"),
        alt.Tooltip("text:N", title=chart.point.heading),
    ]
    base = alt.Chart(records(marks))
    x, y = alt.X("value:Q", title=chart.x_title, scale=scale), rows_y(texts)
    offset = OFFSET_PX + _STEP_PX * place
    point = base.mark_point(size=70, opacity=1, yOffset=offset).encode(
        x=x, y=y, color=colour, tooltip=tooltip
    )
    if chart.end is None:
        return [point]
    rule = base.mark_rule(strokeWidth=2, yOffset=offset).encode(
        x="value:Q", x2="end:Q", y=y, color=colour
    )
    return [rule, point]


def _mark(chart: _Chart, line: MergedRow, place: int, run: str) -> dict[str, object] | None:
    row = line.rows[place]
    value = _number(chart.point, row)
    if row is None or value is None:
        return None
    end = _number(chart.end, row) if chart.end else None
    return {
        "row": line.name,
        "run": run,
        "value": significant(value),
        "end": significant(value if end is None else end),
        "text": chart.point.cell(row),
    }


def _number(column: Column | None, row: Row | None) -> float | None:
    """A positive figure; a logarithmic axis has no place for others."""
    value = column.value(row) if column and row else None
    return value if isinstance(value, int | float) and value > 0 else None
