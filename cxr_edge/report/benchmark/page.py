"""``report.html``: the page of a benchmark, for an engineer and a reviewer."""

from __future__ import annotations

from collections.abc import Sequence

from cxr_edge.benchmark.report import Report, Row
from cxr_edge.report.benchmark import score_charts, speed_charts, trade_off_chart, truth_charts
from cxr_edge.report.benchmark.columns import (
    COLUMNS,
    FLIPS,
    KEY_COLUMNS,
    NOT_MEASURED,
    OUTCOME,
    Column,
)
from cxr_edge.report.benchmark.summary import (
    SUITE_HEADS,
    SUITE_NOTE,
    best_row,
    date_text,
    headline,
    machine_facts,
    notes,
    roofline_sentences,
    suite_cells,
)
from cxr_edge.report.charts import Figure
from cxr_edge.report.page import render_page
from cxr_edge.report.tables import Cell, Heading, Table, TableRow


def report_page(report: Report) -> bytes:
    """The page of a benchmark, from its report alone.

    Returns:
        A UTF-8 HTML document that fetches nothing.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
    """
    sections = {name: figures for name, figures in _sections(report).items() if figures}
    measured = [row for row in report.rows if row.outcome == "measured"]
    return render_page(
        "benchmark.html.j2",
        title=f"Benchmark of {report.model}",
        figures=[figure for figures in sections.values() for figure in figures],
        report=report,
        date=date_text(report),
        verdict=headline(report),
        notes=notes(report),
        key_table=_rows_table(report, measured, KEY_COLUMNS, "Main figures of the measured rows"),
        full_table=_rows_table(report, report.rows, COLUMNS, "All figures of every row"),
        problems=[(row.name, OUTCOME.cell(row)) for row in report.rows if _failed(row)],
        definitions=[(column.heading, column.definition) for column in COLUMNS],
        sections=sections,
        machine=machine_facts(report),
        roofline=roofline_sentences(report),
        suite=_suite_table(report),
        suite_note=SUITE_NOTE,
    )


def report_figures(report: Report) -> list[Figure]:
    """Every figure of the page, in order."""
    return [figure for figures in _sections(report).values() for figure in figures]


def _sections(report: Report) -> dict[str, Sequence[Figure]]:
    """Headings and the figures below them."""
    layers = [(row, operations) for row, operations in report.layers.items() if operations]
    operations = [
        speed_charts.operations_chart(row, operations, number)
        for number, (row, operations) in enumerate(layers, 1)
    ]
    return {
        "Speed": _present(
            speed_charts.latency_chart(report),
            trade_off_chart.pareto_chart(report),
            speed_charts.start_chart(report),
        ),
        "Score differences": score_charts.difference_charts(report),
        "Scores against labels": truth_charts.truth_charts(report),
        "Where the time goes": [
            *_present(speed_charts.end_to_end_chart(report), speed_charts.roofline_chart(report)),
            *operations,
        ],
    }


def _present(*figures: Figure | None) -> list[Figure]:
    return [figure for figure in figures if figure is not None]


def _failed(row: Row) -> bool:
    return row.outcome != "measured" or bool(row.problems)


def _rows_table(
    report: Report, rows: Sequence[Row], columns: Sequence[Column], caption: str
) -> Table:
    best = best_row(report)
    return Table(
        [Heading(c.heading, c.definition, numeric=c.write is not None) for c in columns],
        [
            TableRow(
                tuple(_cell(column, row) for column in columns),
                "best" if row is best else "" if row.outcome == "measured" else "muted",
            )
            for row in rows
        ],
        caption,
    )


def _cell(column: Column, row: Row) -> Cell:
    tone = ""
    if column is FLIPS and row.parity:
        tone = "warning" if row.parity.flips else "good"
    elif column is OUTCOME:
        tone = "long"
    text = column.cell(row)
    return Cell(text, column.value(row), "absent" if text == NOT_MEASURED else tone)


def _suite_table(report: Report) -> Table:
    """Parts and peers, as ``make bench`` measured them."""
    headings = [Heading(head, numeric=place > 1) for place, head in enumerate(SUITE_HEADS)]
    rows = []
    for row in report.suite:
        values: tuple[str | float, ...] = (
            row.group,
            row.name,
            row.median_ms,
            row.iqr_ms,
            row.rounds,
        )
        cells = zip(suite_cells(row), values, strict=True)
        rows.append(TableRow(tuple(Cell(text, value) for text, value in cells)))
    return Table(headings, rows, "Results of make bench")
