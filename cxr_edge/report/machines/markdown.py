"""Several benchmarks side by side as Markdown, which needs no extra."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cxr_edge.bundle.manifest import NOTICE
from cxr_edge.report.benchmark.markdown import markdown_table, plain
from cxr_edge.report.machines import summary, tables
from cxr_edge.report.machines.merge import SideBySide
from cxr_edge.report.tables import Table


def machines_markdown(merged: SideBySide) -> str:
    """Everything but the charts, in GitHub's Markdown, with a final newline."""
    blocks = [
        f"# {plain(summary.title(merged))}",
        f"**{NOTICE}**",
        *_listed("## What differs", summary.differences(merged)),
        _list(summary.verdict(merged)),
        *_listed("## Warnings", summary.warnings(merged)),
        "## Speed and decisions",
        _table(tables.speed_table(merged)),
        plain(" ".join(summary.run_notes(merged))),
        "## Slower inferences",
        _table(tables.tail_table(merged)),
        "## First answer, memory and throughput",
        _table(tables.resources_table(merged)),
        *_listed("## Not measured", [": ".join(pair) for pair in summary.problems(merged)]),
        "## Machines and measurements",
        _table(tables.machines_table(merged)),
        "## All figures",
        _table(tables.all_figures_table(merged)),
    ]
    return "\n\n".join(blocks) + "\n"


def _listed(heading: str, sentences: Sequence[str]) -> Iterator[str]:
    if sentences:
        yield heading
        yield _list(sentences)


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {plain(sentence)}" for sentence in sentences)


def _table(table: Table) -> str:
    heads = [plain(heading.text) for heading in table.headings]
    rows = [[plain(cell.text) for cell in row.cells] for row in table.rows]
    return markdown_table(heads, rows, [heading.numeric for heading in table.headings])
