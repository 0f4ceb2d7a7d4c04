"""What other pictures of the same things do to the figures: shifts, and copies."""

from __future__ import annotations

import altair as alt

from cxr_edge.metrics.evaluation import CopyComparison, Evaluation, FigureComparison
from cxr_edge.report.axes import SQUARE_PX, UNIT, diagonal
from cxr_edge.report.charts import Figure, records, significant
from cxr_edge.report.evaluation.summary import score_name
from cxr_edge.report.row_axis import OFFSET_PX, height_px, row_values, rows_y
from cxr_edge.report.theme import MUTED, SERIES, WARNING


def shift_figure(shifts: dict[str, FigureComparison]) -> Figure:
    """Change of accuracy by each shift, with its interval."""
    changes = {shift: comparison.difference["accuracy"] for shift, comparison in shifts.items()}
    data = [
        {
            "row": shift,
            "change": significant(change.value),
            "low": significant(change.low),
            "high": significant(change.high),
            "accuracy": significant(shifts[shift].figures["accuracy"].value),
        }
        for shift, change in changes.items()
    ]
    texts = {shift: f"{change.value + 0.0:+.3f}" for shift, change in changes.items()}
    base = alt.Chart(records(data)).encode(y=rows_y(texts))
    tooltip = [
        alt.Tooltip("row:N", title="shift"),
        alt.Tooltip("accuracy:Q", title="accuracy", format=".3f"),
        alt.Tooltip("change:Q", title="change", format="+.3f"),
        alt.Tooltip("low:Q", title="95 % from", format="+.3f"),
        alt.Tooltip("high:Q", title="to", format="+.3f"),
    ]
    axis = alt.X("change:Q", title="change of accuracy", axis=alt.Axis(format="+~g", tickCount=4))
    zero = alt.Chart(records([{"at": 0}])).mark_rule(color=MUTED, strokeDash=[4, 3])
    intervals = base.mark_rule(color=SERIES[0], yOffset=OFFSET_PX)
    points = base.mark_point(filled=True, size=60, yOffset=OFFSET_PX)
    return Figure(
        "shifts",
        "Shifted images",
        "The same images blurred, darkened, compressed and so on, against the unchanged ones; bars "
        "are 95 % intervals. A point far to the left is a change that this model cannot cope with.",
        alt.layer(
            zero.encode(x="at:Q"),
            intervals.encode(x="low:Q", x2="high:Q"),
            points.encode(x=axis, tooltip=tooltip),
            row_values(texts),
        ).properties(height=height_px(list(shifts))),
    )


def copies_figure(evaluation: Evaluation, copies: CopyComparison) -> Figure:
    """Scores of the same images at two resolutions."""
    name = score_name(evaluation)
    data = [
        {"x": significant(score), "y": significant(copy), "decision": "same", "file": ""}
        for score, copy in zip(copies.scores, copies.copy_scores, strict=True)
    ]
    data += [
        {
            "x": significant(pair.score),
            "y": significant(pair.copy_score),
            "decision": "changed",
            "file": pair.name,
        }
        for pair in copies.changed
    ]
    points = (
        alt.Chart(records(data))
        .mark_point(filled=True, opacity=0.7)
        .encode(
            x=alt.X("x:Q", title=f"{name} of the evaluated file", scale=UNIT),
            y=alt.Y("y:Q", title=f"{name} of its copy", scale=UNIT),
            color=alt.Color(
                "decision:N",
                scale=alt.Scale(domain=["same", "changed"], range=[SERIES[0], WARNING]),
                legend=alt.Legend(title="decision", orient="bottom", direction="horizontal"),
            ),
            size=alt.condition(alt.datum.decision == "changed", alt.value(90), alt.value(25)),
            tooltip=[
                alt.Tooltip("file:N", title="file"),
                alt.Tooltip("x:Q", title="score", format=".4f"),
                alt.Tooltip("y:Q", title="of its copy", format=".4f"),
                alt.Tooltip("decision:N", title="decision"),
            ],
        )
    )
    shown = len(copies.scores) + len(copies.changed)
    kept = "" if shown == copies.pairs else f"; {shown:,} of them are drawn"
    return Figure(
        "copies",
        "The same images at another resolution",
        f"{copies.pairs:,} pairs{kept}. A point off the diagonal is an image whose score depends "
        "on its resolution.",
        alt.layer(diagonal(), points).properties(height=SQUARE_PX),
    )
