"""What was decided of which images, and how the scores spread."""

from __future__ import annotations

from collections.abc import Iterator

import altair as alt

from cxr_edge.metrics.evaluation import Evaluation
from cxr_edge.report.charts import Figure, records
from cxr_edge.report.evaluation.summary import score_name
from cxr_edge.report.theme import BACKGROUND, MUTED, SERIES, TEXT, WARNING

_CELL_PX = (64, 22)
"""Height of a row of the confusion matrix: of few labels, of many."""
_MOST_NUMBERED = 12
"""Labels up to which the cells of a confusion matrix show their numbers."""
_MOST_HISTOGRAMS = 4
"""Labels up to which each has a histogram of its own."""
_HISTOGRAM_PX = 150


def confusion_figure(evaluation: Evaluation) -> Figure:
    """The confusion matrix: shares of a row as colours, images as numbers."""
    labels = list(evaluation.labels)
    data = []
    for label, row in zip(labels, evaluation.confusion, strict=True):
        total = sum(row)
        for decision, count in zip(labels, row, strict=True):
            share = count / total if total else 0.0
            data.append(
                {
                    "label": label,
                    "decision": decision,
                    "images": count,
                    "share": round(share, 4),
                    "text": f"{count:,}",
                    "percent": f"{share:.1%}",
                }
            )
    few = len(labels) <= _MOST_NUMBERED
    base = alt.Chart(records(data)).encode(
        x=alt.X(
            "decision:N",
            title="decided",
            sort=labels,
            scale=alt.Scale(domain=labels),
            axis=alt.Axis(labelAngle=0 if few else -90, grid=False, orient="top"),
        ),
        y=alt.Y(
            "label:N",
            title=None,
            sort=labels,
            scale=alt.Scale(domain=labels),
            axis=alt.Axis(grid=False),
        ),
    )
    cells = base.mark_rect(stroke=BACKGROUND, strokeWidth=2, color=SERIES[0]).encode(
        fillOpacity=alt.FillOpacity(
            "share:Q", scale=alt.Scale(domain=[0, 1], range=[0.06, 0.75]), legend=None
        ),
        tooltip=[
            alt.Tooltip("label:N", title="true label"),
            alt.Tooltip("decision:N", title="decided"),
            alt.Tooltip("images:Q", title="images"),
            alt.Tooltip("share:Q", title="of this label", format=".1%"),
        ],
    )
    layers = [cells]
    if few:
        number = base.mark_text(color=TEXT, fontSize=15, fontWeight="bold", dy=-8)
        percent = base.mark_text(color=TEXT, dy=10)
        layers += [number.encode(text="text:N"), percent.encode(text="percent:N")]
    return Figure(
        "confusion",
        "Decisions",
        "A row is a true label: how many of its images were decided as what, and the share of the "
        "row. Right decisions lie on the diagonal.",
        alt.layer(*layers).properties(height=_CELL_PX[0 if few else 1] * len(labels)),
    )


def histogram_figures(evaluation: Evaluation) -> Iterator[Figure]:
    """How the scores of each label's images spread, wrong decisions apart."""
    histogram = evaluation.histogram
    labels = list(histogram.by_label)
    if len(labels) <= _MOST_HISTOGRAMS:
        for number, label in enumerate(labels, 1):
            yield _histogram(
                evaluation,
                f"scores-{number}",
                f"Scores of {label} images",
                histogram.by_label[label],
                histogram.wrong[label],
            )
        return
    bins = range(len(histogram.edges) - 1)
    counts = tuple(sum(histogram.by_label[label][i] for label in labels) for i in bins)
    wrong = tuple(sum(histogram.wrong[label][i] for label in labels) for i in bins)
    yield _histogram(evaluation, "scores", "Scores of all images", counts, wrong)


def _histogram(
    evaluation: Evaluation, name: str, title: str, counts: tuple[int, ...], wrong: tuple[int, ...]
) -> Figure:
    edges = evaluation.histogram.edges
    data = []
    for index, (total, errors) in enumerate(zip(counts, wrong, strict=True)):
        for decision, images in (("right", total - errors), ("wrong", errors)):
            if images:
                data.append(
                    {
                        "low": edges[index],
                        "high": edges[index + 1],
                        "images": images,
                        "decision": decision,
                    }
                )
    x_scale = alt.Scale(domain=[0, 1], nice=False)
    # A square root shows the few images between the heaps at the ends.
    y_scale = alt.Scale(type="sqrt", domainMin=0)
    colour = alt.Color(
        "decision:N",
        scale=alt.Scale(domain=["right", "wrong"], range=[SERIES[0], WARNING]),
        legend=alt.Legend(title="decided", orient="bottom", direction="horizontal"),
    )
    bars = (
        alt.Chart(records(data))
        .mark_bar(opacity=0.8, orient="vertical")
        .encode(
            x=alt.X("low:Q", title=score_name(evaluation), scale=x_scale),
            x2="high:Q",
            y=alt.Y(
                "images:Q", title="images (square-root axis)", stack=None, scale=y_scale,
                axis=alt.Axis(tickCount=4),
            ),
            y2=alt.datum(0),
            color=colour,
            tooltip=[
                alt.Tooltip("low:Q", title="scores from", format=".2f"),
                alt.Tooltip("high:Q", title="to", format=".2f"),
                alt.Tooltip("decision:N", title="decided"),
                alt.Tooltip("images:Q", title="images"),
            ],
        )
    )  # fmt: skip
    layers: list[alt.Chart] = []
    band = evaluation.model.spec.uncertain_band
    if band:
        layers.append(
            alt.Chart(records([{"low": band[0], "high": band[1]}]))
            .mark_rect(color=MUTED, opacity=0.15)
            .encode(x=alt.X("low:Q", scale=x_scale), x2="high:Q")
        )
    layers.append(bars)
    if evaluation.threshold is not None:
        layers.append(
            alt.Chart(records([{"at": evaluation.threshold}]))
            .mark_rule(color=TEXT, strokeDash=[4, 3])
            .encode(
                x=alt.X("at:Q", scale=x_scale),
                tooltip=alt.Tooltip("at:Q", title="threshold", format=".4f"),
            )
        )
    caption = f"{sum(counts):,} images, {sum(wrong):,} of them decided wrongly."
    if evaluation.threshold is not None:
        caption += f" The dashed line is the threshold, {evaluation.threshold:.4g}."
    if band:
        caption += " Scores in the grey band are called uncertain."
    return Figure(name, title, caption, alt.layer(*layers).properties(height=_HISTOGRAM_PX))
