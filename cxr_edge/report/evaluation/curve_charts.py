"""ROC and precision-recall of an evaluation; with reliability, all its curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import altair as alt

from cxr_edge.metrics.evaluation import Evaluation, RocPoints
from cxr_edge.report.axes import SQUARE_PX, TICKS, UNIT, diagonal
from cxr_edge.report.charts import Figure, records, significant
from cxr_edge.report.evaluation.reliability_chart import reliability_figure
from cxr_edge.report.theme import MUTED, SERIES, TEXT

_CORNERS = (0.1, 0.2, 0.3, 0.5)
"""Sides that the enlarged corner of a ROC chart may have."""
_MOST_NAMED = len(SERIES)
"""Curves that a legend still tells apart."""


@dataclass(frozen=True, slots=True)
class _Curve:
    name: str
    points: RocPoints
    colour: str
    dash: list[int]


def curve_figures(evaluation: Evaluation) -> Iterator[Figure]:
    """Every chart of curves that the document allows."""
    if evaluation.roc:
        yield roc_figure(evaluation)
        yield roc_corner_figure(evaluation)
    if evaluation.precision_recall:
        yield precision_recall_figure(evaluation)
    yield reliability_figure(evaluation)


def roc_figure(evaluation: Evaluation) -> Figure:
    """The whole ROC chart."""
    curves = _roc_curves(evaluation)
    caption = "The dashed diagonal is chance."
    if evaluation.baseline and len(curves) > len(evaluation.roc):
        caption += (
            " The baseline sees only brightness and sharpness: what the model adds lies between "
            "the two curves."
        )
    if evaluation.threshold is not None:
        caption += " The cross is the model's threshold."
    return Figure(
        "roc", f"ROC{_of_positive(evaluation)}", caption, _roc_chart(evaluation, curves, 1.0)
    )


def roc_corner_figure(evaluation: Evaluation) -> Figure:
    """The corner of the ROC chart where good models differ."""
    curves = _roc_curves(evaluation)
    side = _corner_side(evaluation)
    return Figure(
        "roc-corner",
        "ROC, the upper left corner",
        f"The same curves where at most {side:.0%} of the other images are called positive and at "
        f"most {side:.0%} of the positive ones are missed.",
        _roc_chart(evaluation, curves, side),
    )


def _roc_curves(evaluation: Evaluation) -> list[_Curve]:
    curves = []
    one = len(evaluation.roc) == 1
    for number, (label, points) in enumerate(evaluation.roc.items()):
        area = evaluation.figures.get("auc" if one else f"auc {label}")
        suffix = f": area {area.value:.3f}" if area else ""
        name = f"{'model' if one else label}{suffix}"
        curves.append(_Curve(name, points, SERIES[number % len(SERIES)], [1, 0]))
    baseline = evaluation.baseline
    if baseline and one:
        area = baseline.comparison.figures.get("auc")
        name = f"baseline: area {area.value:.3f}" if area else "baseline"
        for points in baseline.roc.values():
            curves.append(_Curve(name, points, SERIES[1], [6, 3]))
    return curves


def _corner_side(evaluation: Evaluation) -> float:
    """The smallest side that shows the threshold's point, or most of the first curve's bend."""
    operating = _operating_point(evaluation)
    for side in _CORNERS:
        if operating:
            false, true = operating
            if false <= 0.8 * side and true >= 1 - 0.8 * side:
                return side
        else:
            points = next(iter(evaluation.roc.values()))
            rates = zip(points.false_positive_rate, points.true_positive_rate, strict=True)
            if any(false <= side / 2 and true >= 1 - side / 2 for false, true in rates):
                return side
    return _CORNERS[-1]


def _operating_point(evaluation: Evaluation) -> tuple[float, float] | None:
    """False and true positive rate at the threshold; None for more than two labels."""
    figures = evaluation.figures
    if "sensitivity" not in figures or "specificity" not in figures:
        return None
    return 1 - figures["specificity"].value, figures["sensitivity"].value


def _roc_chart(evaluation: Evaluation, curves: Sequence[_Curve], side: float) -> alt.LayerChart:
    data = []
    for curve in curves:
        points = curve.points
        rows = zip(
            points.false_positive_rate, points.true_positive_rate, points.thresholds, strict=True
        )
        for order, (false, true, threshold) in enumerate(rows):
            row: dict[str, object] = {
                "curve": curve.name,
                "x": significant(false),
                "y": significant(true),
                "order": order,
            }
            if threshold is not None:
                row["threshold"] = significant(threshold)
            data.append(row)
    x, y = (
        alt.X(
            "x:Q",
            title="false positive rate (1 - specificity)",
            scale=alt.Scale(domain=[0, side], nice=False),
            axis=alt.Axis(tickCount=5, format="~%"),
        ),
        alt.Y(
            "y:Q",
            title="true positive rate (sensitivity)",
            scale=alt.Scale(domain=[1 - side, 1], nice=False),
            axis=alt.Axis(tickCount=5, format="~%"),
        ),
    )
    lines = (
        alt.Chart(records(data))
        .mark_line(clip=True)
        .encode(
            x=x,
            y=y,
            order="order:Q",
            color=_colours(curves),
            strokeDash=_dashes(curves),
            tooltip=[
                alt.Tooltip("curve:N", title="curve"),
                alt.Tooltip("x:Q", title="false positive rate", format=".1%"),
                alt.Tooltip("y:Q", title="true positive rate", format=".1%"),
                alt.Tooltip("threshold:Q", title="threshold", format=".3f"),
            ],
        )
    )
    layers: list[alt.Chart] = [*([diagonal()] if side == 1 else []), lines]
    if operating := _operating_point(evaluation):
        point = {"x": operating[0], "y": operating[1], "threshold": evaluation.threshold}
        layers.append(
            alt.Chart(records([point]))
            .mark_point(shape="cross", filled=True, color=TEXT, size=110, clip=True)
            .encode(
                x=x,
                y=y,
                tooltip=[
                    alt.Tooltip("threshold:Q", title="the model's threshold", format=".4f"),
                    alt.Tooltip("x:Q", title="false positive rate", format=".1%"),
                    alt.Tooltip("y:Q", title="true positive rate", format=".1%"),
                ],
            )
        )
    return alt.layer(*layers).properties(height=SQUARE_PX)


def _colours(curves: Sequence[_Curve]) -> alt.Color:
    names = [curve.name for curve in curves]
    scale = alt.Scale(domain=names, range=[curve.colour for curve in curves])
    return alt.Color("curve:N", scale=scale, legend=_legend(curves))


def _dashes(curves: Sequence[_Curve]) -> alt.StrokeDash:
    names = [curve.name for curve in curves]
    scale = alt.Scale(domain=names, range=[curve.dash for curve in curves])
    return alt.StrokeDash("curve:N", scale=scale, legend=_legend(curves))


def _legend(curves: Sequence[object]) -> alt.Legend | None:
    if len(curves) > _MOST_NAMED:
        return None
    return alt.Legend(
        title=None, orient="bottom", direction="vertical", columns=1, symbolType="stroke",
        symbolSize=300,
    )  # fmt: skip


def _of_positive(evaluation: Evaluation) -> str:
    return f" of {evaluation.positive_label}" if evaluation.positive_label else ", one label each"


def precision_recall_figure(evaluation: Evaluation) -> Figure:
    """Precision against recall, one curve a label."""
    data = []
    curves = list(evaluation.precision_recall.items())
    for label, points in curves:
        rows = zip(points.recall, points.precision, points.thresholds, strict=True)
        data += [
            {
                "curve": label,
                "x": significant(recall),
                "y": significant(precision),
                "threshold": significant(threshold),
                "order": order,
            }
            for order, (recall, precision, threshold) in enumerate(rows)
        ]
    scale = alt.Scale(
        domain=[label for label, _ in curves],
        range=[SERIES[number % len(SERIES)] for number in range(len(curves))],
    )
    lines = (
        alt.Chart(records(data))
        .mark_line()
        .encode(
            x=alt.X(
                "x:Q",
                title="recall (sensitivity)",
                scale=UNIT,
                axis=alt.Axis(values=TICKS, format="~%"),
            ),
            y=alt.Y("y:Q", title="precision", scale=UNIT, axis=alt.Axis(values=TICKS, format="~%")),
            order="order:Q",
            color=alt.Color(
                "curve:N", scale=scale, legend=_legend(curves) if len(curves) > 1 else None
            ),
            tooltip=[
                alt.Tooltip("curve:N", title="label"),
                alt.Tooltip("x:Q", title="recall", format=".1%"),
                alt.Tooltip("y:Q", title="precision", format=".1%"),
                alt.Tooltip("threshold:Q", title="threshold", format=".3f"),
            ],
        )
    )
    chance = [{"label": label, "y": points.share} for label, points in curves]
    rules = (
        alt.Chart(records(chance))
        .mark_rule(strokeDash=[4, 3], color=MUTED)
        .encode(
            y="y:Q",
            tooltip=[
                alt.Tooltip("label:N", title="share of"),
                alt.Tooltip("y:Q", title="precision of chance", format=".1%"),
            ],
        )
    )
    return Figure(
        "precision-recall",
        f"Precision and recall{_of_positive(evaluation)}",
        "Precision depends on how frequent a label is among these images (dashed): elsewhere, "
        "where it is rarer, precision is lower at the same recall.",
        alt.layer(rules, lines).properties(height=SQUARE_PX),
    )
