"""The page of ``seeds.json``: several runs on the same images."""

from __future__ import annotations

import altair as alt

from cxr_edge.metrics.evaluation import SeedsDocument
from cxr_edge.metrics.evaluation_sources import spread_meaning
from cxr_edge.report.charts import Figure, records, significant
from cxr_edge.report.evaluation import summary
from cxr_edge.report.page import render_page
from cxr_edge.report.row_axis import OFFSET_PX, height_px, row_values, rows_y
from cxr_edge.report.tables import Cell, Heading, Table, TableRow
from cxr_edge.report.theme import TEXT


def seeds_page(document: SeedsDocument) -> bytes:
    """Draw the page.

    Returns:
        A UTF-8 HTML document that fetches nothing.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
    """
    figure = spread_figure(document)
    return render_page(
        "seeds.html.j2",
        title=f"{len(document.models)} runs on {document.data.name}",
        figures=[figure],
        verdict=_verdict(document),
        table=_table(document),
        figure=figure,
        models=[(run, model.description) for run, model in document.models.items()],
        facts=[
            ("images", f"{document.data.name}: {summary.images_text(document.data)}"),
            ("made", summary.date_text(document.origin)),
            ("with", ", ".join(f"{name} {v}" for name, v in document.origin.versions.items())),
        ],
        command=document.origin.command,
    )


def _verdict(document: SeedsDocument) -> list[str]:
    parts = [
        f"{summary.figure_name(name)} {spread.mean:.3f} ± {spread.standard_deviation:.3f}"
        for name, spread in document.figures.items()
    ]
    return [
        f"Over {len(document.models)} runs: {', '.join(parts)}.",
        f"± is one sample standard deviation: {spread_meaning(list(document.models.values()))}.",
    ]


def _table(document: SeedsDocument) -> Table:
    names = list(document.figures)
    rows = [
        TableRow(
            (
                Cell(run, run),
                *(Cell(f"{v:.4f}", v) for v in (document.figures[n].runs[run] for n in names)),
            )
        )
        for run in document.models
    ]
    for title in ("mean", "standard deviation"):
        values = [
            spread.mean if title == "mean" else spread.standard_deviation
            for spread in document.figures.values()
        ]
        rows.append(TableRow((Cell(title, title), *(Cell(f"{v:.4f}", v) for v in values)), "best"))
    headings = [
        Heading("run"),
        *(
            Heading(summary.figure_name(name), summary.definition(name), numeric=True)
            for name in names
        ),
    ]
    return Table(headings, rows, "Figures of each run")


def spread_figure(document: SeedsDocument) -> Figure:
    """Every run's figures as points, their mean as a tick."""
    names = list(document.figures)
    runs = [
        {"row": name, "run": run, "value": significant(value)}
        for name, spread in document.figures.items()
        for run, value in spread.runs.items()
    ]
    means = [{"row": n, "value": significant(s.mean)} for n, s in document.figures.items()]
    x = alt.X("value:Q", title="value", scale=alt.Scale(zero=False))
    texts = {n: f"{s.mean:.3f} ± {s.standard_deviation:.3f}" for n, s in document.figures.items()}
    y = rows_y(texts)
    points = (
        alt.Chart(records(runs))
        .mark_point(filled=True, size=60, opacity=0.7, yOffset=OFFSET_PX)
        .encode(
            x=x,
            y=y,
            tooltip=[
                alt.Tooltip("run:N"),
                alt.Tooltip("row:N", title="figure"),
                alt.Tooltip("value:Q", format=".4f"),
            ],
        )
    )
    ticks = (
        alt.Chart(records(means))
        .mark_tick(color=TEXT, thickness=2, size=20, yOffset=OFFSET_PX)
        .encode(x=x, y=y, tooltip=alt.Tooltip("value:Q", title="mean", format=".4f"))
    )
    return Figure(
        "spread",
        "Runs",
        "A point is a run, the tick their mean.",
        alt.layer(points, ticks, row_values(texts)).properties(height=height_px(names)),
        wide=True,
    )
