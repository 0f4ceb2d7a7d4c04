"""Reliability of an evaluation's scores: observed frequency against score."""

from __future__ import annotations

import altair as alt

from cxr_edge.metrics.evaluation import Evaluation
from cxr_edge.report.axes import SQUARE_PX, TICKS, UNIT, diagonal
from cxr_edge.report.charts import Figure, records, significant
from cxr_edge.report.evaluation.summary import score_name
from cxr_edge.report.theme import MUTED, SERIES


def reliability_figure(evaluation: Evaluation) -> Figure:
    """Observed frequency against score, with intervals."""
    name = score_name(evaluation)
    event = evaluation.positive_label or "right decisions"
    data = [
        {
            "x": significant(group.score),
            "y": significant(group.share.value),
            "low": significant(group.share.low),
            "high": significant(group.share.high),
            "images": group.images,
            "range": f"{group.low:g} to {group.high:g}",
        }
        for group in evaluation.reliability
        if group.score is not None and group.share is not None
    ]
    tooltip = [
        alt.Tooltip("range:N", title="scores"),
        alt.Tooltip("images:Q", title="images"),
        alt.Tooltip("x:Q", title="mean score", format=".3f"),
        alt.Tooltip("y:Q", title=f"share of {event}", format=".3f"),
        alt.Tooltip("low:Q", title="95 % from", format=".3f"),
        alt.Tooltip("high:Q", title="to", format=".3f"),
    ]
    x = alt.X("x:Q", title=f"{name}, mean of a bin", scale=UNIT, axis=alt.Axis(values=TICKS))
    y = alt.Y("y:Q", title=f"share of {event}", scale=UNIT, axis=alt.Axis(values=TICKS))
    base = alt.Chart(records(data))
    counts = (
        alt.Chart(
            alt.Data(
                values=[
                    {"x": (group.low + group.high) / 2, "count": f"{group.images:,}"}
                    for group in evaluation.reliability
                    if group.images
                ]
            )
        )
        .mark_text(color=MUTED, baseline="bottom", dy=-3)
        .encode(x="x:Q", y=alt.datum(0), text="count:N")
    )
    error = evaluation.figures["ece"].value
    return Figure(
        "reliability",
        "Reliability of the scores",
        f"On the diagonal a score is the frequency of {event}; above it scores are too low, below "
        f"it too high. Bars are 95 % intervals; the numbers count the images of a bin. Calibration "
        f"error (ECE) {error:.3f}; a perfectly calibrated model with these scores would show "
        f"{evaluation.calibration_error_floor:.3f}.",
        alt.layer(
            diagonal(),
            counts,
            base.mark_line(strokeWidth=1.6).encode(x=x, y=y, order="x:Q"),
            base.mark_rule(color=SERIES[0]).encode(x=x, y="low:Q", y2="high:Q"),
            base.mark_point(filled=True, size=50).encode(x=x, y=y, tooltip=tooltip),
        ).properties(height=SQUARE_PX),
    )
