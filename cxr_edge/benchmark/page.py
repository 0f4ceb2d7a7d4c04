"""``report.html``: one self-contained page of a benchmark, for an engineer and a reviewer."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from cxr_edge.benchmark import charts, pareto, scores
from cxr_edge.benchmark.columns import COLUMNS
from cxr_edge.benchmark.markup import document, figure, rows_table, suite_table
from cxr_edge.benchmark.report import Report
from cxr_edge.benchmark.summary import (
    SUITE_NOTE,
    best_row,
    headline,
    limit_sentences,
    machine_facts,
)
from cxr_edge.benchmark.svg import Chart
from cxr_edge.report.html import facts, notice


def report_page(report: Report) -> bytes:
    """The page of a benchmark.

    Args:
        report: what was measured.

    Returns:
        A UTF-8 HTML document that fetches nothing; its only script sorts the table.
    """
    body = [*_first(report), *_table(report), *_charts(report), *_again(report)]
    return document(f"Benchmark of {report.model}", body)


def _first(report: Report) -> Iterator[str]:
    yield notice()
    said = "".join(f"<p>{escape(text)}</p>" for text in headline(report))
    yield f'<div class="headline">{said}</div>'
    if report.warnings:
        items = "".join(f"<li>{escape(text)}</li>" for text in report.warnings)
        yield f'<div class="warnings" role="note"><h2>Warnings</h2><ul>{items}</ul></div>'
    yield "<h2>Machine and measurement</h2>"
    yield facts(machine_facts(report))


def _table(report: Report) -> Iterator[str]:
    best = best_row(report)
    yield "<h2>Every row</h2>"
    if report.headline:
        yield f"<p>The headline baseline is {escape(report.headline)}.</p>"
    yield rows_table(report, best.name if best else None)
    absent = [row for row in report.rows if row.outcome != "measured"]
    if absent:
        items = (f"<li>{escape(f'{r.name}: {r.outcome}, {r.reason}')}</li>" for r in absent)
        yield f"<p>Not measured:</p><ul>{''.join(items)}</ul>"
    yield "<details><summary>What the columns mean</summary>"
    yield facts((column.heading, column.definition) for column in COLUMNS)
    yield "</details>"


def _charts(report: Report) -> Iterator[str]:
    yield from _section("Speed", [pareto.pareto_chart(report), charts.latency_chart(report)])
    operations = [
        charts.operations_chart(row, layers, number)
        for number, (row, layers) in enumerate(report.layers.items(), 1)
        if layers
    ]
    yield from _section("Where the time goes", [charts.end_to_end_chart(report), *operations])
    answers = [scores.parity_chart(report), *scores.truth_charts(report)]
    yield from _section("Answers", answers)
    yield from _suite(report)
    yield "<h2>What this machine can do</h2>"
    yield f"<p>{escape(' '.join(limit_sentences(report)))}</p>"
    yield from _grid([charts.limit_chart(report)])


def _suite(report: Report) -> Iterator[str]:
    """Parts and peers, as the suites measured them."""
    if report.suite:
        yield "<h2>Parts and peers, by <code>make bench</code></h2>"
        yield f"<p>{escape(SUITE_NOTE)}</p>"
        yield suite_table(report.suite)


def _section(title: str, drawn: list[Chart | None]) -> Iterator[str]:
    """A heading above charts; nothing where there are none."""
    if any(drawn):
        yield f"<h2>{escape(title)}</h2>"
        yield from _grid(drawn)


def _grid(drawn: list[Chart | None]) -> Iterator[str]:
    found = [figure(chart) for chart in drawn if chart]
    if found:
        yield f'<div class="charts">{"".join(found)}</div>'


def _again(report: Report) -> Iterator[str]:
    yield "<h2>Make it again</h2>"
    yield f"<pre><code>{escape(report.command)}</code></pre>"
