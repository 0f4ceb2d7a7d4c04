"""Charts of scores: how far each row's lie from the original's."""

from __future__ import annotations

from typing import Literal

import altair as alt
import numpy as np

from cxr_edge.benchmark.report import Answers, Report
from cxr_edge.report.axes import TICKS, UNIT
from cxr_edge.report.benchmark.columns import delta
from cxr_edge.report.charts import Figure, records, significant
from cxr_edge.report.theme import MUTED, WARNING


def score_name(report: Report) -> str:
    """What the scores are."""
    return f"P({report.positive_label})" if report.positive_label else "P(decided label)"


def difference_charts(report: Report) -> list[Figure]:
    """For each row with scores: how far they lie from the original's."""
    return [
        _difference_chart(answers, number, report) for number, answers in enumerate(report.answers)
    ]


def _difference_chart(answers: Answers, number: int, report: Report) -> Figure:
    name = score_name(report)
    scores = zip(answers.original, answers.exported, answers.flipped, strict=True)
    data = [
        {"original": significant(original), "difference": significant(exported - original)}
        | ({"changed": 1.0} if flipped else {})
        for original, exported, flipped in scores
    ]
    deltas = np.subtract(answers.exported, answers.original)
    largest = float(np.abs(deltas).max(initial=0.0))
    base = (
        alt.Chart(records(data))
        .transform_calculate(score=alt.datum.original + alt.datum.difference)
        .transform_calculate(decision=alt.expr.if_(alt.datum.changed, "changed (flip)", "same"))
    )
    x = alt.X(
        "original:Q", title=f"{name} by the original", scale=UNIT, axis=alt.Axis(values=TICKS)
    )
    y = _difference_axis(largest)
    tooltip = [
        alt.Tooltip("original:Q", title="original", format=".4f"),
        alt.Tooltip("score:Q", title="this row", format=".4f"),
        alt.Tooltip("difference:Q", title="difference", format=".2~e"),
        alt.Tooltip("decision:N", title="decision"),
    ]
    same = (
        base.transform_filter(alt.datum.decision == "same")
        .mark_point(filled=True, size=22, opacity=0.75)
        .encode(x=x, y=y, tooltip=tooltip)
    )
    changed = (
        base.transform_filter(alt.datum.decision != "same")
        .mark_point(filled=True, size=120, shape="cross", color=WARNING, angle=45)
        .encode(x=x, y=y, tooltip=tooltip)
    )
    layers: list[alt.Chart] = [_rule("y", 0, f"{name}: no difference"), same, changed]
    if report.threshold is not None:
        layers.insert(0, _rule("x", report.threshold, f"threshold {report.threshold:.4g}"))
    flips = sum(answers.flipped)
    return Figure(
        f"scores-{number + 1}",
        answers.row,
        f"max |Δscore| {delta(largest)}; {flips} of {len(data):,} decisions changed.",
        alt.layer(*layers).properties(height=220),
    )


def _difference_axis(largest: float) -> alt.Y:
    """As much above zero as below; never so fine that float32's rounding looks like noise."""
    reach = max(1.1 * largest, 1e-6)
    number = "~g" if reach > 1e-3 else "~e"
    label = f"datum.value == 0 ? '0' : format(datum.value, '{number}')"
    return alt.Y(
        "difference:Q",
        title="Δscore: this row minus the original",
        scale=alt.Scale(domain=[-reach, reach], nice=False),
        axis=alt.Axis(tickCount=5, labelExpr=label),
    )


def _rule(axis: Literal["x", "y"], value: float, text: str) -> alt.Chart:
    """A dashed line across the chart at a value of an axis."""
    base = alt.Chart(records([{"at": value, "text": text}]))
    rule: alt.Chart = base.mark_rule(color=MUTED, strokeDash=[4, 3]).encode(
        **{axis: "at:Q"}, tooltip=alt.Tooltip("text:N", title=" ")
    )
    return rule
