"""The page of several benchmarks, side by side."""

from __future__ import annotations

from cxr_edge.report.benchmark.columns import COLUMNS
from cxr_edge.report.machines import summary, tables
from cxr_edge.report.machines.charts import machine_figures
from cxr_edge.report.machines.merge import SideBySide
from cxr_edge.report.page import render_page


def machines_page(merged: SideBySide) -> bytes:
    """Draw the page.

    Returns:
        A UTF-8 HTML document that fetches nothing.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
    """
    figures = machine_figures(merged)
    return render_page(
        "machines.html.j2",
        title=summary.title(merged),
        figures=figures,
        charts_in_order=figures,
        differences=summary.differences(merged),
        different_bundles=not merged.one_bundle,
        verdict=summary.verdict(merged),
        warnings=summary.warnings(merged),
        notes=summary.run_notes(merged),
        speed=tables.speed_table(merged),
        tail=tables.tail_table(merged),
        resources=tables.resources_table(merged),
        every=tables.all_figures_table(merged),
        problems=summary.problems(merged),
        machines=tables.machines_table(merged),
        definitions=[(column.heading, column.definition) for column in COLUMNS],
    )
