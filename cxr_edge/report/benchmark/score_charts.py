"""Charts of scores: the rows' beside the original's, and beside the true labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import altair as alt
import numpy as np

from cxr_edge.benchmark.report import Answers, Report
from cxr_edge.metrics import BINS, Flags, Floats, reliability_bins, roc_area, roc_curve
from cxr_edge.report.axes import SQUARE_PX, TICKS, UNIT, diagonal
from cxr_edge.report.benchmark.columns import delta
from cxr_edge.report.charts import Figure, records, significant
from cxr_edge.report.theme import MUTED, SERIES, TEXT, WARNING

ORIGINAL = "original"
_DASHES = ([1, 0], [7, 3], [2, 3], [9, 3, 2, 3])


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
