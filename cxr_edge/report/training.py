"""Charts of a training: how many images of what, and its epochs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import altair as alt

from cxr_edge.report.charts import Figure, records, significant
from cxr_edge.report.theme import SERIES

_BAR_PX = 26
_CURVE_PX = 260


def class_count_figure(counts: dict[str, dict[str, int]]) -> Figure:
    """Images of each label in each part.

    Args:
        counts: part → label → images.
    """
    parts = list(counts)
    data = [
        {"part": part, "label": label, "images": images, "text": f"{images:,}"}
        for part, by_label in counts.items()
        for label, images in by_label.items()
    ]
    labels = list(next(iter(counts.values())))
    base = alt.Chart(records(data)).encode(
        y=alt.Y("label:N", title=None, scale=alt.Scale(domain=labels)),
        yOffset=alt.YOffset("part:N", scale=alt.Scale(domain=parts)),
        x=alt.X("images:Q", title="images"),
    )
    colour = alt.Color(
        "part:N",
        scale=alt.Scale(domain=parts, range=list(SERIES[: len(parts)])),
        legend=alt.Legend(title=None, orient="bottom", direction="horizontal"),
    )
    bars = base.mark_bar().encode(color=colour, tooltip=["part:N", "label:N", "images:Q"])
    numbers = base.mark_text(align="left", dx=4).encode(text="text:N")
    return Figure(
        "class-counts",
        "Images by label",
        "Images of each label in training, validation and test.",
        alt.layer(bars, numbers).properties(height=_BAR_PX * len(data)),
    )


def history_figures(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> Iterator[Figure]:
    """A chart of each quantity over the epochs.

    Args:
        curves: quantity, with its unit in brackets if it has one → series such as ``training`` →
            its value after each epoch.
    """
    for title, series in curves.items():
        data = [
            {"epoch": number, "images": name, "value": significant(value)}
            for name, values in series.items()
            for number, value in enumerate(values, 1)
        ]
        epochs = max(map(len, series.values()))
        names = list(series)
        chart = (
            alt.Chart(records(data))
            .mark_line(point={"size": 30, "filled": True})
            .encode(
                x=alt.X(
                    "epoch:Q",
                    scale=alt.Scale(domain=[1, max(2, epochs)], nice=False),
                    axis=alt.Axis(tickMinStep=1, format="d"),
                ),
                y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False)),
                color=alt.Color(
                    "images:N",
                    scale=alt.Scale(domain=names, range=list(SERIES[: len(names)])),
                    legend=alt.Legend(title=None, orient="bottom", direction="horizontal"),
                ),
                tooltip=["images:N", "epoch:Q", alt.Tooltip("value:Q", title=title)],
            )
        )
        name = title.partition(" ")[0]
        yield Figure(
            f"history-{name}",
            name.capitalize(),
            f"{name.capitalize()} after each epoch.",
            chart.properties(height=_CURVE_PX),
        )
