"""Charts of scores beside the true labels: ROC and reliability."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np

from cxr_edge.benchmark.report import Report
from cxr_edge.metrics import BINS, Flags, Floats, reliability_bins, roc_area, roc_curve
from cxr_edge.report.axes import SQUARE_PX, TICKS, UNIT, diagonal
from cxr_edge.report.benchmark.score_charts import score_name
from cxr_edge.report.charts import Figure, records, significant
from cxr_edge.report.theme import MUTED, SERIES, TEXT

ORIGINAL = "original"
_DASHES = ([1, 0], [7, 3], [2, 3], [9, 3, 2, 3])


@dataclass(frozen=True, slots=True)
class _Series:
    name: str
    scores: Floats
    colour: str
    dash: list[int]


def _series(report: Report) -> Iterator[_Series]:
    """The original, then each row."""
    yield _Series(ORIGINAL, np.asarray(report.answers[0].original, np.float64), TEXT, [1, 0])
    for number, answers in enumerate(report.answers):
        scores = np.asarray(answers.exported, np.float64)
        colour = SERIES[number % len(SERIES)]
        yield _Series(answers.row, scores, colour, _DASHES[number % len(_DASHES)])


def truth_charts(report: Report) -> list[Figure]:
    """ROC and reliability; none without labelled inputs of a model with two labels."""
    if report.truth is None or not report.answers:
        return []
    positive = np.asarray(report.truth.positive, np.bool_)
    series = list(_series(report))
    both = bool(positive.any() and not positive.all())
    charts = [_roc_chart(series, positive, report)] if both else []
    return [*charts, _reliability_chart(series, positive, report)]


def _lines(
    data: Sequence[dict[str, object]],
    series: Sequence[_Series],
    names: Sequence[str],
    *,
    points: bool,
    legend_title: str,
    **encodings: object,
) -> list[alt.Chart]:
    """The original's line, broad and pale, below those of the rows.

    Args:
        data: points with the field ``series``.
        series: what is drawn, the original first.
        names: of the series, in the data and in the legend.
        points: whether points are marked.
        legend_title: above the names.
        encodings: position, order and tooltip.
    """
    base = alt.Chart(records(data))
    scale = alt.Scale(domain=list(names), range=[each.colour for each in series])
    dashes = alt.Scale(domain=list(names), range=[each.dash for each in series])
    legend = alt.Legend(
        title=legend_title, orient="bottom", direction="vertical", columns=1, symbolType="stroke",
        symbolSize=300,
    )  # fmt: skip
    encodings |= {
        "color": alt.Color("series:N", scale=scale, legend=legend),
        "strokeDash": alt.StrokeDash("series:N", scale=dashes, legend=legend),
    }
    marked: dict[str, object] | bool = {"size": 40, "filled": True} if points else False
    original = base.transform_filter(alt.datum.series == names[0])
    others = base.transform_filter(alt.datum.series != names[0])
    return [
        original.mark_line(strokeWidth=6, opacity=0.25).encode(**encodings),
        others.mark_line(strokeWidth=1.6, point=marked).encode(**encodings),
    ]


def corners(x: Floats, y: Floats) -> list[int]:
    """Indices of the points of a curve where it turns, its ends included.

    Args:
        x: (N,) rising, N at least 2.
        y: (N,) rising.
    """
    steps_x, steps_y = np.diff(x), np.diff(y)
    # Rounding would make a turn of almost every point of a slope.
    turns = ~np.isclose(steps_x[:-1] * steps_y[1:], steps_x[1:] * steps_y[:-1], atol=1e-12)
    return [0, *(np.flatnonzero(turns) + 1).tolist(), len(x) - 1]


def _roc_chart(series: Sequence[_Series], positive: Flags, report: Report) -> Figure:
    names: list[str] = []
    data: list[dict[str, object]] = []
    for each in series:
        curve = roc_curve(positive, each.scores)
        name = f"{roc_area(positive, each.scores):.4f} {each.name}"
        names.append(name)
        false, true = curve.false_positive_rate, curve.true_positive_rate
        data += [
            {"series": name, "x": significant(false[n]), "y": significant(true[n]), "order": n}
            for n in corners(false, true)
        ]
    lines = _lines(
        data,
        series,
        names,
        points=False,
        legend_title="area under the curve, row",
        x=alt.X("x:Q", title="false positive rate", scale=UNIT, axis=alt.Axis(values=TICKS)),
        y=alt.Y("y:Q", title="true positive rate", scale=UNIT, axis=alt.Axis(values=TICKS)),
        order="order:Q",
        tooltip=[
            alt.Tooltip("series:N", title="row"),
            alt.Tooltip("x:Q", title="false positive rate", format=".1%"),
            alt.Tooltip("y:Q", title="true positive rate", format=".1%"),
        ],
    )
    count = f"{int(positive.sum()):,} of {len(positive):,} inputs are {report.positive_label}"
    return Figure(
        "roc",
        f"ROC of {report.positive_label}",
        f"{count}. A row whose curve lies on the original's (the broad one) ranks the images as "
        "the original does.",
        alt.layer(diagonal(), *lines).properties(height=SQUARE_PX),
    )


def _reliability_chart(series: Sequence[_Series], positive: Flags, report: Report) -> Figure:
    names = [each.name for each in series]
    data: list[dict[str, object]] = []
    for each in series:
        bins = reliability_bins(positive, each.scores)
        data += [
            {
                "series": each.name,
                "x": significant(bins.scores[index]),
                "y": significant(bins.shares[index]),
                "count": int(bins.counts[index]),
                "range": f"{index / BINS:g} to {(index + 1) / BINS:g}",
            }
            for index in range(BINS)
            if bins.counts[index]
        ]
    lines = _lines(
        data,
        series,
        names,
        points=True,
        legend_title="row",
        x=alt.X(
            "x:Q",
            title=f"{score_name(report)}, mean of a bin",
            scale=UNIT,
            axis=alt.Axis(values=TICKS),
        ),
        y=alt.Y(
            "y:Q",
            title=f"share of {report.positive_label}",
            scale=UNIT,
            axis=alt.Axis(values=TICKS),
        ),
        order="x:Q",
        tooltip=[
            alt.Tooltip("series:N", title="row"),
            alt.Tooltip("range:N", title="scores"),
            alt.Tooltip("count:Q", title="images"),
            alt.Tooltip("x:Q", title="mean score", format=".3f"),
            alt.Tooltip("y:Q", title=f"share of {report.positive_label}", format=".3f"),
        ],
    )
    images = [
        {"x": (index + 0.5) / BINS, "count": f"{count:,}"}
        for index, count in enumerate(reliability_bins(positive, series[0].scores).counts)
        if count
    ]
    counts = (
        alt.Chart(records(images))
        .mark_text(color=MUTED, baseline="bottom", dy=-3)
        .encode(x="x:Q", y=alt.datum(0), text="count:N")
    )
    return Figure(
        "reliability",
        "Reliability of the scores",
        f"On the diagonal a score is the chance that the label is {report.positive_label}; above "
        "it scores are too low, below it too high. At the bottom stands how many images a tenth of "
        "the axis holds, by the original's scores: few images say little.",
        alt.layer(diagonal(), counts, *lines).properties(height=SQUARE_PX),
    )
