"""The tables of several runs, the same in every form: terminal, Markdown and page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cxr_edge.benchmark.report import Row
from cxr_edge.report.benchmark.columns import (
    AVERAGE,
    COLUMNS,
    FIRST,
    FLIPS,
    MAX_DELTA,
    NOT_MEASURED,
    OUTCOME,
    P50,
    P90,
    P99,
    PEAK,
    RATE,
    RATE_1,
    ROW,
    TIMES,
    Column,
    figure,
)
from cxr_edge.report.machines.merge import MergedRow, SideBySide
from cxr_edge.report.machines.summary import facts
from cxr_edge.report.tables import Cell, Heading, Table, TableRow

OTHER_FILE = "other file"
_RATIO = (
    "p50 of this run divided by run A's: 2 takes twice as long. Only of the same model file; a "
    "baseline is the same if the bundle is."
)


def speed_table(merged: SideBySide) -> Table:
    """Latency, ratios within and across machines, and decisions: a line for each row."""
    return _table(merged, (P50,), (TIMES, FLIPS, MAX_DELTA), "Speed and decisions", ratios=True)


def tail_table(merged: SideBySide) -> Table:
    """The slower inferences: a line for each row."""
    return _table(merged, (P90, P99), (), "Slower inferences")


def resources_table(merged: SideBySide) -> Table:
    """Start, memory and throughput: a line for each row."""
    columns = (FIRST, PEAK, AVERAGE, RATE_1, RATE)
    return _table(merged, columns, (), "First answer, memory and throughput")


def all_figures_table(merged: SideBySide) -> Table:
    """Every figure of every run: a line for each row and run."""
    columns = [column for column in COLUMNS if column is not ROW]
    headings = [Heading("row", ROW.definition), Heading("run", "The letter of the run.")]
    headings += [_heading(column, column.heading) for column in columns]
    rows = [
        TableRow(
            (
                Cell(line.name, line.name),
                Cell(run.letter, run.letter),
                *(_cell(column, row) for column in columns),
            ),
            "" if row.outcome == "measured" else "muted",
        )
        for line in merged.rows
        for run, row in zip(merged.runs, line.rows, strict=True)
        if row
    ]
    return Table(headings, rows, "All figures of every run")


def machines_table(merged: SideBySide) -> Table:
    """What each machine is and how it was measured: a line for each fact."""
    headings = [Heading(""), *(Heading(run.title) for run in merged.runs)]
    rows = [
        TableRow((Cell(name, name), *(Cell(value, value, "long") for value in values)))
        for name, values in facts(merged)
    ]
    return Table(headings, rows, "Machines and measurements", sortable=False)


def _table(
    merged: SideBySide,
    before: Sequence[Column],
    after: Sequence[Column],
    caption: str,
    *,
    ratios: bool = False,
) -> Table:
    """Each column once for each run, the runs of a column side by side; ratios between the two."""
    headings = [Heading("row", ROW.definition)]
    cells: list[Callable[[MergedRow], Cell]] = [lambda line: Cell(line.name, line.name)]

    def add(columns: Sequence[Column]) -> None:
        for column in columns:
            for place, run in enumerate(merged.runs):
                headings.append(_heading(column, f"{run.letter}: {column.heading}"))
                cells.append(lambda line, c=column, n=place: _cell(c, line.rows[n]))  # type: ignore[misc]

    add(before)
    if ratios:
        for place, run in list(enumerate(merged.runs))[1:]:
            headings.append(Heading(f"{run.letter} / A", _RATIO, numeric=True))
            cells.append(lambda line, n=place: _ratio_cell(line, n))  # type: ignore[misc]
    add(after)
    rows = [TableRow(tuple(cell(line) for cell in cells)) for line in merged.rows]
    return Table(headings, rows, caption)


def _heading(column: Column, text: str) -> Heading:
    return Heading(text, column.definition, numeric=column.write is not None)


def _cell(column: Column, row: Row | None) -> Cell:
    """Whatever was not measured says so, and why in a word."""
    if row is None:
        return Cell("no row", None, "absent")
    text, value = column.cell(row), column.value(row)
    if value is None:
        outcome = "" if row.outcome == "measured" else row.outcome
        return Cell(text or outcome, None, "absent")
    if column is FLIPS and row.parity:
        return Cell(text, value, "warning" if row.parity.flips else "good")
    return Cell(text, value, "long" if column is OUTCOME else "")


def _ratio_cell(line: MergedRow, run: int) -> Cell:
    ratio = line.ratio(run)
    if ratio is not None:
        return Cell(figure(ratio), ratio)
    both = line.rows[0] is not None and line.rows[run] is not None
    return Cell(NOT_MEASURED if line.same_file[run] or not both else OTHER_FILE, None, "absent")
