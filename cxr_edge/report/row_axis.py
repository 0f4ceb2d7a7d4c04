"""Horizontal charts with one line a row, whose names stand above the marks.

Names beside the marks would leave no room for the marks on a telephone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import altair as alt

from cxr_edge.report.charts import Chart, records
from cxr_edge.report.theme import TEXT

ROW_HEIGHT_PX = 42
OFFSET_PX = 8
"""How far below the middle of its line a mark lies (``yOffset``)."""
_ABOVE_PX = 13
_LETTER_PX = 8
"""A bold digit and its space, rather too much."""


def height_px(names: Collection[str]) -> int:
    """The height of a chart with these rows."""
    return ROW_HEIGHT_PX * len(names)


def rows_y(values: Mapping[str, str]) -> alt.Y:
    """The upright axis: the field ``row``.

    Args:
        values: row → text at its right end, in the order of the rows; a name that would reach
            into it is cut.
    """
    room = 16 + _LETTER_PX * max(map(len, values.values()), default=0)
    axis = alt.Axis(
        title=None,
        labelAlign="left",
        labelPadding=-1,
        labelOffset=-_ABOVE_PX,
        labelColor=TEXT,
        labelLimit=alt.ExprRef(f"width - {room}"),
        labelOverlap=False,
        ticks=False,
        domain=False,
        grid=False,
    )
    return alt.Y("row:N", scale=alt.Scale(domain=list(values)), axis=axis)


def row_values(values: Mapping[str, str]) -> alt.Chart:
    """A layer that writes a text at the right end of each row, beside its name.

    Args:
        values: row → text.
    """
    data = [{"row": row, "value": text} for row, text in values.items()]
    right: Any = alt.value(alt.expr("width"))
    texts: alt.Chart = (
        alt.Chart(records(data))
        .mark_text(align="right", dy=-_ABOVE_PX, fontWeight=600)
        .encode(y=rows_y(values), x=right, text="value:N")
    )
    return texts


def stacked_bars(
    values: Mapping[str, str],
    parts: Sequence[dict[str, object]],
    *,
    x_title: str,
    order: Sequence[str],
    legend: bool = True,
    colours: Sequence[str],
    x_max: float | None = None,
) -> Chart:
    """Bars of parts laid end to end, one bar a row.

    Args:
        values: row → text at its right end, in the order of the rows.
        parts: ``row``, ``part``, ``start``, ``end`` and, for the tooltip, ``value``.
        x_title: what the lengths are, with their unit.
        order: names of the parts.
        legend: whether the parts need a legend.
        colours: of the parts.
        x_max: the axis reaches at least this far.
    """
    most = max((float(str(part["end"])) for part in parts), default=0.0)
    limit = max(most, x_max or 0.0) * 1.01 or 1.0
    bars = (
        alt.Chart(records(parts))
        .mark_bar(height=14, yOffset=OFFSET_PX)
        .encode(
            x=alt.X("start:Q", title=x_title, scale=alt.Scale(domain=[0, limit], nice=False)),
            x2="end:Q",
            y=rows_y(values),
            color=alt.Color(
                "part:N",
                scale=alt.Scale(domain=list(order), range=list(colours)),
                legend=alt.Legend(title=None, orient="top", direction="horizontal", columns=3)
                if legend
                else None,
            ),
            tooltip=[alt.Tooltip("row:N"), alt.Tooltip("part:N"), alt.Tooltip("value:N")],
        )
    )
    return alt.layer(bars, row_values(values)).properties(height=height_px(values))
