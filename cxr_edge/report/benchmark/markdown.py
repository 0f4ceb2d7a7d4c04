"""``report.md``: a benchmark for terminals, issues and the README."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from cxr_edge.benchmark.report import Report, Row
from cxr_edge.bundle.manifest import NOTICE
from cxr_edge.files import printable
from cxr_edge.report.benchmark.columns import COLUMNS, Column, figure, percent
from cxr_edge.report.benchmark.summary import (
    SUITE_HEADS,
    SUITE_NOTE,
    comparable,
    headline,
    machine_facts,
    notes,
    roofline_sentences,
    suite_cells,
)

_SPECIAL = re.compile(r"([\\`*_\[\]|~#])")


def report_markdown(report: Report) -> str:
    """The whole report, without its plots.

    Args:
        report: what was measured.

    Returns:
        GitHub's Markdown, with a final newline.
    """
    blocks = [
        f"# Benchmark of {plain(report.model)}",
        f"**{NOTICE}**",
        *map(plain, headline(report)),
        *_warnings(report),
        "## Machine and measurement",
        markdown_table(["", "value"], [[*map(plain, fact)] for fact in machine_facts(report)]),
        "## All rows",
        plain(" ".join(notes(report))),
        rows_table(COLUMNS, report.rows),
        "\n".join(f"- **{plain(c.heading)}**: {plain(c.definition)}" for c in COLUMNS),
        *_end_to_end(report),
        *_operations(report),
        *_suite(report),
        "## Roofline",
        plain(" ".join(roofline_sentences(report))),
        "## Command to reproduce this report",
        # Indented, because a fence could occur in the command.
        "\n".join(f"    {line}" for line in report.command.splitlines()),
    ]
    return "\n\n".join(blocks) + "\n"


def compact_table(report: Report, columns: Sequence[Column]) -> str:
    """A table of the exported files and baselines with one thread.

    Args:
        report: what was measured.
        columns: of the table.

    Returns:
        A Markdown table, with a final newline.
    """
    return rows_table(columns, comparable(report)) + "\n"


def rows_table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """A Markdown table of some columns; numbers stand at the right."""
    cells = [[plain(column.cell(row)) for column in columns] for row in rows]
    right = [column.write is not None for column in columns]
    return markdown_table([plain(column.heading) for column in columns], cells, right)


def plain(text: str) -> str:
    """A text on one line, with everything escaped that Markdown or HTML would take for markup."""
    text = printable(" ".join(text.split()))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", text)


def markdown_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] | None = None
) -> str:
    """A Markdown table.

    Args:
        heads: titles of the columns, escaped.
        rows: cells, escaped; as many in each row as there are heads.
        right: whether each column stands at the right; None: none does.
    """
    rule = ["---:" if at_right else "---" for at_right in right or [False] * len(heads)]
    lines = [heads, rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _warnings(report: Report) -> Iterator[str]:
    if report.warnings:
        yield "## Warnings"
        yield "\n".join(f"- {plain(text)}" for text in report.warnings)


def _end_to_end(report: Report) -> Iterator[str]:
    rows = [
        [
            plain(row.name),
            *map(figure, (e.read_ms, e.decode_ms, e.preprocess_ms, e.infer_ms, e.post_ms)),
            figure(e.total_ms),
        ]
        for row in report.rows
        if (e := row.end_to_end)
    ]
    if rows:
        heads = ["row", "read", "decode", "preprocess", "infer", "post", "total"]
        yield "## From a file to a decision, ms"
        yield markdown_table(heads, rows, [False, *[True] * (len(heads) - 1)])


def _suite(report: Report) -> Iterator[str]:
    if report.suite:
        yield "## Parts and peers, by `make bench`"
        yield SUITE_NOTE
        cells = [[*map(plain, suite_cells(row))] for row in report.suite]
        yield markdown_table(SUITE_HEADS, cells, [False, False, True, True, True])


def _operations(report: Report) -> Iterator[str]:
    for name, layers in report.layers.items():
        rows = [[plain(layer.name), figure(layer.ms), percent(layer.share)] for layer in layers]
        if rows:
            yield f"## Slowest operations of {plain(name)}"
            yield markdown_table(["operation", "ms", "share"], rows, [False, True, True])
