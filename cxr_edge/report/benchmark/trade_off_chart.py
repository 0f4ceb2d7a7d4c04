"""The chart of speed against accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt

from cxr_edge.benchmark.report import Latency, Report, Row
from cxr_edge.report.benchmark.columns import delta, figure
from cxr_edge.report.benchmark.speed_charts import engine_colour
from cxr_edge.report.benchmark.summary import baseline_row
from cxr_edge.report.charts import Figure, records
from cxr_edge.report.theme import BACKGROUND, MUTED, WARNING

DELTA_FLOOR = 1e-7
"""Smaller score differences are drawn here: they are float32's own rounding."""
_OVER_TITLE = 34
"""Distance of a legend that stands over an upright axis's title, pixels."""
_SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")


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
    base_row = baseline_row(report)
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
        "vertical line is the float32 baseline.",
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
    base = baseline_row(report)
    if base is None or base.latency is None:
        return []
    data = [{"p50": base.latency.p50_ms, "row": base.name, "ms": figure(base.latency.p50_ms)}]
    return [
        alt.Chart(records(data))
        .mark_rule(color=MUTED, clip=True)
        .encode(x="p50:Q", tooltip=[alt.Tooltip("row:N"), alt.Tooltip("ms:N", title="p50, ms")])
    ]
